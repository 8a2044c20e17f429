"""Whether the deflated strips of a TIFF are those that were written: each ends with an Adler-32.

libtiff stops once a strip's pixels are there, so that damage which makes a strip longer is not noticed.
"""

import zlib
from itertools import islice
from typing import Any, BinaryIO

from PIL.TiffImagePlugin import (
    COMPRESSION,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
    TiffImageFile,
)

from anyres.errors import MediaError

# Adobe's number for it, and the one before
DEFLATE = (8, 32946)

_BLOCK_BYTES = 1 << 16
# of a pixel, at most: four channels of 32 bits
_PIXEL_BYTES = 16


def check_strips(image: TiffImageFile, name: str) -> None:
    """Inflate the strips or tiles of an open TIFF's present picture, and drop them; its file is left where it was.

    Other compressions have no checksum, and nothing is read. Raises MediaError ("damaged") for a strip that does not
    end with a checksum that fits.
    """
    tags, stream = image.tag_v2, image.fp
    if stream is None or tags.get(COMPRESSION) not in DEFLATE:
        return
    tiled = TILEOFFSETS in tags
    starts = _numbers(tags.get(TILEOFFSETS if tiled else STRIPOFFSETS))
    lengths = _numbers(tags.get(TILEBYTECOUNTS if tiled else STRIPBYTECOUNTS))
    # tiles go beyond the picture's edges
    padding = (tags[TILEWIDTH], tags[TILELENGTH]) if tiled else (0, 0)
    left = _PIXEL_BYTES * (image.width + padding[0]) * (image.height + padding[1])
    # a row may be a strip of its own, for each of four channels; smaller tiles than 16x16 are against the rules
    most = 4 * image.height * (1 if not tiled else 1 + image.width // 16)
    place = stream.tell()
    try:
        for start, length in islice(zip(starts, lengths, strict=False), most):
            stream.seek(start)
            left -= _inflated_bytes(stream, length, left, name)
    finally:
        stream.seek(place)


def _numbers(value: Any) -> tuple[int, ...]:
    return () if value is None else tuple(value) if isinstance(value, tuple | list) else (value,)


def _inflated_bytes(stream: BinaryIO, length: int, most: int, name: str) -> int:
    """Return how many bytes a strip holds, read in blocks; MediaError where they are no whole deflated stream."""
    inflating, found = zlib.decompressobj(), 0
    try:
        while not inflating.eof:
            # what did not fit into the last block comes first
            block = inflating.unconsumed_tail or stream.read(min(length, _BLOCK_BYTES))
            length -= 0 if inflating.unconsumed_tail else len(block)
            pixels = inflating.decompress(block, _BLOCK_BYTES)
            found += len(pixels)
            if found > most or not (block or pixels):
                raise MediaError(name, "damaged", "a strip of its TIFF does not end where its pixels do")
    except zlib.error as error:
        raise MediaError(name, "damaged", f"a strip of its TIFF does not fit its checksum ({error})") from error
    return found
