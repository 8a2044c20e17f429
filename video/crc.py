"""The CRC-32 of FFV1 and Ogg: zlib's polynomial, but the highest bit of each byte first, from 0 and not inverted."""

import zlib

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_INVERTED = 0xFFFFFFFF


def reversed_bits(data: bytes) -> bytes:
    """Return bytes, the bits of each in reverse order: zlib.crc32 then goes through them as these formats do."""
    return data.translate(_REVERSED)


def register(data: bytes | memoryview, start: int = 0) -> int:
    """Return the register behind bytes whose bits are reversed, bits reversed as well. start: the one before them."""
    return zlib.crc32(data, start ^ _INVERTED) ^ _INVERTED


def crc(data: bytes) -> int:
    """Return the CRC of bytes as they are."""
    found = register(reversed_bits(data))
    return int.from_bytes(reversed_bits(found.to_bytes(4, "little")), "big")
