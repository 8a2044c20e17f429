"""Whether the slices of an FFV1 picture are those that were written: since version 3 each may end with a CRC.

FFmpeg only logs one that does not fit, and shows the slice of the picture before in its place. A slice ends with its
length in 3 bytes or, where the stream has checksums, with length, status and CRC in 8 (RFC 9043, section 4.9). The
picture itself tells which of the two: lengths of one kind lead from its last byte to its first, slice by slice, and
those of the other kind do so by chance in one of 16 million pictures.
"""

from video.crc import register, reversed_bits

LENGTH_BYTES = 3
PLAIN_FOOTER, CHECKED_FOOTER = LENGTH_BYTES, 8
# versions before 3 have no configuration record, or (2, never released) one without a checksum
RECORD_BYTES = 4

# the register in front of a slice and, where it is whole, behind it: checksums of kind 1, and of kind 2 (version 4)
STARTS = (0, 0x5E31029E)


def slices_fit(packet: bytes) -> bool:
    """Tell whether the slices of a picture fit their checksums, or have none; False also where they are not whole."""
    if _slices(packet, PLAIN_FOOTER) is not None:
        return True
    slices = _slices(packet, CHECKED_FOOTER)
    if slices is None:
        return False
    bits = memoryview(reversed_bits(packet))
    return any(all(register(bits[part], start) == start for part in slices) for start in STARTS)


def _slices(packet: bytes, footer: int) -> list[slice] | None:
    """Return the slices whose lengths lead exactly to the start of a picture; None where they do not."""
    found: list[slice] = []
    end = len(packet)
    while end:
        # the length is that of what comes before the footer
        length_at = end - footer
        start = length_at - int.from_bytes(packet[max(length_at, 0) : length_at + LENGTH_BYTES], "big")
        if length_at < 0 or start < 0:
            return None
        found.append(slice(start, end))
        end = start
    return found
