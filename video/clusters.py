"""Which clusters of a Matroska file fit the checksums that they begin with. FFmpeg writes them, but compares none.

A file is read once more for it, in blocks. Of clusters without a checksum (WebM has none) only the heads of blocks are
read: FFmpeg passes over what is no element, and the pictures in it, without a word.
"""

import os
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from video.errors import MediaError
from video.matroska import EBML_HEADER, SEGMENT, element_size

CLUSTER, INFO, TRACKS = 0x1F43B675, 0x1549A966, 0x1654AE6B
# seek head, cues, attachments, chapters, tags
OTHERS = (0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367)
# of one byte: padding, and the checksum of a whole segment, which would cost more than its clusters'
SHORT = (b"\xec", b"\xbf")
KNOWN = (EBML_HEADER, SEGMENT, CLUSTER, INFO, TRACKS, *OTHERS, *(mark[0] for mark in SHORT))
DESCRIPTIONS = {INFO: "general information", TRACKS: "tracks"}

# a checksum comes first: its ID, its length, then 4 bytes, the lowest first
SUM_HEAD, SUM_BYTES = b"\xbf\x84", 4
CLUSTER_MARK = CLUSTER.to_bytes(4, "big")
BLOCK_BYTES = 1 << 20
# a file that is told to overlap itself is not read more often than this
MOST_READINGS = 2
# nor are more elements looked at: 18 hours have as many blocks
MOST_ELEMENTS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Where clusters begin and end, in rising order, and whether each fits its checksum, or has none.

    checked: at least one has a checksum. gaps: something in the file is no element, or not as long as it says.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    whole: tuple[bool, ...]
    checked: bool
    gaps: bool

    def holds(self, place: int) -> bool:
        """Tell whether what lies at a place of the file is what was written, as far as checksums tell."""
        if not self.checked:
            return True
        at = bisect_right(self.starts, place) - 1
        return at >= 0 and place < self.ends[at] and self.whole[at]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    kind: int
    body: int
    # None: not told
    end: int | None


def read_clusters(path: Path) -> Clusters:
    """Return the clusters of a Matroska file.

    What cannot be followed is left out, up to the next mark of a cluster. Raises MediaError where the description of
    its tracks does not fit its checksum.
    """
    with path.open("rb") as file:
        return _Walk(path, file).clusters()


class _Walk:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.size = os.fstat(file.fileno()).st_size
        # where the segment ends, if that is told
        self.segment_end: int | None = None
        self.left = MOST_READINGS * self.size
        self.checked = self.gaps = False
        self.elements = 0

    def clusters(self) -> Clusters:
        found: list[tuple[int, int, bool]] = []
        place: int | None = 0
        while place is not None and place < self.size and self.elements < MOST_ELEMENTS:
            self.elements += 1
            element = self._element(place)
            if element is None:
                self.gaps, place = True, self._next_mark(place + 1)
            elif element.kind == SEGMENT:
                self.segment_end, place = element.end, element.body
            elif element.end is None:
                # up to the next one; a cluster whose length is not told has no checksum
                following = self._next_mark(element.body)
                if element.kind == CLUSTER:
                    found.append((place, following or self.size, True))
                place = following
            else:
                fits = self._fits(element)
                if element.kind == CLUSTER:
                    found.append((place, element.end, fits))
                if not fits and element.kind in DESCRIPTIONS:
                    detail = f"its {DESCRIPTIONS[element.kind]} do not fit their checksum"
                    raise MediaError(self.path, "damaged", detail)
                # a length that is wrong leads nowhere
                followed = fits or element.end == self.size
                followed = followed or (element.end < self.size and self._element(element.end) is not None)
                place = element.end if followed else self._next_mark(place + 1)
        following = [start for start, _, _ in found[1:]] + [found[-1][1]] if found else []
        return Clusters(
            starts=tuple(start for start, _, _ in found),
            # each ends where the next one begins, or before
            ends=tuple(min(end, after) for (_, end, _), after in zip(found, following, strict=True)),
            whole=tuple(whole for _, _, whole in found),
            checked=self.checked,
            gaps=self.gaps,
        )

    def _element(self, place: int) -> _Element | None:
        """Return the element at a place; None where there is none of those that a file consists of."""
        self.file.seek(place)
        first = self.file.read(1)
        kind = int.from_bytes(first if first in SHORT else first + self.file.read(3), "big")
        if kind not in KNOWN:
            return None
        size = element_size(self.file)
        body = self.file.tell()
        if size is not None and body + size > self.size and kind not in (SEGMENT, CLUSTER):
            return None
        return _Element(kind=kind, body=body, end=None if size is None else body + size)

    def _fits(self, element: _Element) -> bool:
        """Tell whether an element fits the checksum that it begins with; True where it has none or is cut off."""
        assert element.end is not None
        self.file.seek(element.body)
        if element.kind not in (CLUSTER, *DESCRIPTIONS):
            return True
        if self.file.read(len(SUM_HEAD)) != SUM_HEAD:
            self.gaps = self.gaps or not self._filled(element)
            return True
        self.checked = self.checked or element.kind == CLUSTER
        if element.end > self.size:
            # the last one of a file that was cut off, which is told elsewhere, or of one that is still being written
            return self.segment_end is None or self.segment_end > self.size
        told = int.from_bytes(self.file.read(SUM_BYTES), "little")
        left = element.end - self.file.tell()
        self.left -= left
        if left < 0 or self.left < 0:
            return False
        found = 0
        while left:
            block = self.file.read(min(left, BLOCK_BYTES))
            if not block:
                return False
            found = zlib.crc32(block, found)
            left -= len(block)
        return found == told

    def _filled(self, element: _Element) -> bool:
        """Tell whether the elements in one follow each other up to its end; True for one that is cut off."""
        place = element.body
        while element.end is not None and place < element.end <= self.size:
            self.elements += 1
            if self.elements > MOST_ELEMENTS:
                return True
            self.file.seek(place)
            first = self.file.read(1)
            # an ID of 1 to 4 bytes, as many as its leading zero bits tell
            self.file.read(8 - first[0].bit_length())
            size = element_size(self.file)
            if first[0] < 0x10 or size is None:
                return False
            place = self.file.tell() + size
        return element.end is None or place == element.end or element.end > self.size

    def _next_mark(self, place: int) -> int | None:
        """Return where the next cluster seems to begin, None for nowhere."""
        self.file.seek(place)
        kept = b""
        while block := self.file.read(BLOCK_BYTES):
            self.left -= len(block)
            if self.left < 0:
                return None
            at = (kept + block).find(CLUSTER_MARK)
            if at >= 0:
                return self.file.tell() - len(block) - len(kept) + at
            kept = (kept + block)[-len(CLUSTER_MARK) + 1 :]
        return None
