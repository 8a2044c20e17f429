"""Whether the chunks of a PNG are those that were written: each ends with a CRC-32, which PIL skips for pixels."""

import struct
import zlib
from typing import BinaryIO

from anyres.errors import MediaError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"IEND"

_HEADER = struct.Struct(">I4s")
_SUM = struct.Struct(">I")
# read at a time, whatever length a chunk has
_BLOCK_BYTES = 1 << 16


def check_chunks(stream: BinaryIO, name: str) -> None:
    """Read a PNG's chunks up to its end chunk and compare their checksums; the stream is left where it was.

    Raises MediaError for one that does not fit ("damaged"), and for a file that ends before its end chunk
    ("truncated").
    """
    place = stream.tell()
    stream.seek(len(SIGNATURE))
    try:
        while _checked(stream, name) != END:
            pass
    finally:
        stream.seek(place)


def _checked(stream: BinaryIO, name: str) -> bytes:
    """Return the type of the next chunk, whose checksum fits."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise MediaError(name, "truncated", "the file ends before the end chunk of its PNG")
    left, kind = _HEADER.unpack(header)
    found = zlib.crc32(kind)
    while left:
        block = stream.read(min(left, _BLOCK_BYTES))
        if not block:
            raise MediaError(name, "truncated", f"its {_shown(kind)} chunk is {left} bytes longer than the file")
        found = zlib.crc32(block, found)
        left -= len(block)
    told = stream.read(_SUM.size)
    if len(told) < _SUM.size:
        raise MediaError(name, "truncated", f"the checksum of its {_shown(kind)} chunk is cut off")
    if _SUM.unpack(told)[0] != found:
        raise MediaError(name, "damaged", f"the checksum of its {_shown(kind)} chunk does not fit")
    return kind


def _shown(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")
