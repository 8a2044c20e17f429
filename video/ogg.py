"""Whether the pages of an Ogg file are those that were written: each has a checksum and a number.

FFmpeg leaves out a page whose checksum does not fit, and the pictures in it, without a word.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from video.crc import crc

MARK = b"OggS"
# mark, version, kind, position, stream, number, checksum, how many lengths follow
HEADER = struct.Struct("<4sBBqIIIB")
SUM = slice(22, 26)
# of the kind: a stream begins or ends here
BEGINS, ENDS = 2, 4
BLOCK_BYTES = 1 << 20
# marks that begin no page cost a page each to look at
MOST_WRONG = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    begins: bool
    ends: bool
    stream: int
    number: int
    length: int


def wrong_pages(path: Path) -> int:
    """Return how many pages of an Ogg file do not fit their checksum, are cut off, or are not there; 1,000 for more.

    What comes behind a page that ends a stream counts for nothing. The file is read once more for it.
    """
    wrong, place, ended = 0, 0, True
    following: dict[int, int] = {}
    with path.open("rb") as file:
        while wrong < MOST_WRONG and (at := _next_mark(file, place)) is not None:
            # nothing comes before the first page
            wrong += place == 0 < at
            page = _page(file, at)
            if page is None:
                wrong += 1
                place, ended = at + len(MARK), True
                continue
            missing = 0 if page.begins else page.number - following.get(page.stream, page.number)
            # pages that were found wrong are missing as well; numbers that run backward are another stream's
            wrong = max(wrong, missing) if missing > 0 else wrong
            following[page.stream] = page.number + 1
            place, ended = at + page.length, page.ends
        # the mark of the last page may be what is damaged
        return wrong + (not ended and place < file.seek(0, os.SEEK_END))


def _page(file: BinaryIO, place: int) -> _Page | None:
    """Return the page at a place; None where it is cut off or does not fit its checksum."""
    file.seek(place)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    _, _, kind, _, stream, number, told, segments = HEADER.unpack(header)
    lengths = file.read(segments)
    body = file.read(sum(lengths))
    page = header[: SUM.start] + bytes(4) + header[SUM.stop :] + lengths + body
    if len(lengths) < segments or len(body) < sum(lengths) or crc(page) != told:
        return None
    return _Page(begins=bool(kind & BEGINS), ends=bool(kind & ENDS), stream=stream, number=number, length=len(page))


def _next_mark(file: BinaryIO, place: int) -> int | None:
    """Return where the next page seems to begin, None for nowhere."""
    file.seek(place)
    kept = b""
    while block := file.read(BLOCK_BYTES if kept else len(MARK)):
        at = (kept + block).find(MARK)
        if at >= 0:
            return file.tell() - len(block) - len(kept) + at
        kept = (kept + block)[-len(MARK) + 1 :]
    return None
