"""How much later than it is decoded each sample of an MP4 is shown: its composition offsets.

FFmpeg tells what it read of all other tables of a file (`stream.index_entries`) without a look at the packets; this one
it keeps. It is read here for files that are plain: one movie box, no fragments, one edit at most, and no box in
the sample table that could change the meaning of the others. For all others there is no answer, and the packets tell.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy import ndarray

TOP = (b"ftyp", b"free", b"skip", b"wide", b"mdat", b"moov", b"uuid", b"udta", b"meta")
MOVIE = (b"mvhd", b"trak", b"udta", b"meta", b"iods", b"free")
SAMPLES = (b"stsd", b"stts", b"stss", b"ctts", b"stsc", b"stsz", b"stco", b"co64", b"sdtp", b"free")
NESTED = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf")
# boxes of one kind of place; more than this is no plain file
MOST_BOXES = 1000
# a file of fragments has some boxes for each; no more than these are looked at
MOST_FRAGMENTS = 1_000_000
# above this FFmpeg takes a table for damaged
MOST_OFFSET = 1 << 28
ENTRY = 8


class _NotPlainError(Exception):
    """A file that is left to FFmpeg."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A box's kind, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


def composition_offsets(path: Path, track: int, samples: int) -> ndarray | None:
    """Return the offset of each of the `samples` of a track, int64, in its time base; None for files not plain.

    track: the number in the track's header. Nothing larger than `samples` entries is read.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            movie = _only(_boxes(file, 0, end, TOP), b"moov")
            tracks = [box for box in _boxes(file, movie.start, movie.end, MOVIE) if box.kind == b"trak"]
            ours = [box for box in tracks if _track_number(file, box) == track]
            if len(ours) != 1:
                raise _NotPlainError
            _check_edits(file, ours[0])
            return _offsets(file, _sample_table(file, ours[0]), samples)
    except (_NotPlainError, OSError, struct.error):
        return None


def whole_boxes(path: Path) -> bool:
    """Tell whether the boxes of a file, and those in its movie and fragments, follow each other without a gap.

    Media that are cut off are none: the packets tell whether pictures are missing.
    """
    try:
        with path.open("rb") as file:
            return _filled(file, file.seek(0, 2))
    except (_NotPlainError, OSError, struct.error):
        return False


def media_seconds(path: Path, track: int) -> float | None:
    """Return how long a track's samples last by its header; None where that is not told."""
    try:
        with path.open("rb") as file:
            movie = _only(_boxes(file, 0, file.seek(0, 2)), b"moov")
            inside = _boxes(file, movie.start, movie.end)
            ours = [box for box in inside if box.kind == b"trak" and _track_number(file, box) == track]
            # with fragments, it is that of the first samples alone
            if len(ours) != 1 or any(box.kind == b"mvex" for box in inside):
                return None
            header = _inside(file, _inside(file, ours[0], b"mdia"), b"mdhd")
            file.seek(header.start)
            version = struct.unpack(">B3x", file.read(4))[0]
            # two times, then ticks a second and the duration
            kind = ">16xIQ" if version == 1 else ">8xII"
            ticks, duration = struct.unpack(kind, file.read(struct.calcsize(kind)))
    except (_NotPlainError, OSError, struct.error):
        return None
    unknown = duration in (0, 0xFFFFFFFF if version == 0 else 0xFFFFFFFFFFFFFFFF)
    return None if unknown or not ticks else duration / ticks


def _filled(file: BinaryIO, end: int) -> bool:
    seen, waiting = 0, [(0, end, 0)]
    while waiting:
        start, stop, depth = waiting.pop()
        # a movie's tables lie five boxes deep
        if depth > len(NESTED):
            return False
        for box in _walk(file, start, stop, MOST_FRAGMENTS, last_open=depth == 0):
            seen += 1
            if seen > MOST_FRAGMENTS:
                return True
            if box.kind in NESTED:
                waiting.append((box.start, box.end, depth + 1))
    return True


def _boxes(file: BinaryIO, start: int, end: int, allowed: tuple[bytes, ...] = ()) -> list[_Box]:
    """Return the boxes between two places, which they have to fill; `allowed`: the kinds there may be, if given."""
    found = list(_walk(file, start, end))
    if allowed and any(box.kind not in allowed for box in found):
        raise _NotPlainError
    return found


def _walk(file: BinaryIO, start: int, end: int, most: int = MOST_BOXES, last_open: bool = False) -> Iterator[_Box]:
    """Yield boxes that fill what lies between two places. last_open: media may be cut off, or tell no length."""
    for _ in range(most):
        if start == end:
            return
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        if last_open and (size == 0 or (kind == b"mdat" and start + size > end)):
            size = end - start
        if size < header or start + size > end:
            raise _NotPlainError
        yield _Box(kind, start + header, start + size)
        start += size
    raise _NotPlainError


def _only(boxes: list[_Box], kind: bytes) -> _Box:
    """Return the one box of a kind."""
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise _NotPlainError
    return found[0]


def _inside(file: BinaryIO, box: _Box, kind: bytes) -> _Box:
    return _only(_boxes(file, box.start, box.end), kind)


def _track_number(file: BinaryIO, track: _Box) -> int:
    header = _inside(file, track, b"tkhd")
    file.seek(header.start)
    version = struct.unpack(">B", file.read(1))[0]
    # two times of 4 or 8 bytes come first
    file.seek(header.start + (20 if version == 1 else 12))
    return int(struct.unpack(">I", file.read(4))[0])


def _check_edits(file: BinaryIO, track: _Box) -> None:
    """Refuse a track that is shown in several pieces; FFmpeg's index has one piece, or a pause and one, cut out."""
    edits = [box for box in _boxes(file, track.start, track.end) if box.kind == b"edts"]
    if len(edits) > 1:
        raise _NotPlainError
    for box in edits:
        start = _inside(file, box, b"elst").start
        file.seek(start)
        version, count = struct.unpack(">B3xI", file.read(8))
        if count == 2:
            # durations and times of 4 or 8 bytes; a pause is an edit from -1
            kind = ">8xq" if version == 1 else ">4xi"
            if struct.unpack(kind, file.read(struct.calcsize(kind)))[0] == -1:
                continue
        if count > 1:
            raise _NotPlainError


def _sample_table(file: BinaryIO, track: _Box) -> list[_Box]:
    table = _inside(file, _inside(file, _inside(file, track, b"mdia"), b"minf"), b"stbl")
    return _boxes(file, table.start, table.end, SAMPLES)


def _offsets(file: BinaryIO, table: list[_Box], samples: int) -> ndarray:
    if all(box.kind != b"ctts" for box in table):
        return np.zeros(samples, np.int64)
    box = _only(table, b"ctts")
    file.seek(box.start + 4)
    (entries,) = struct.unpack(">I", file.read(4))
    # an entry is of one sample or more
    if entries > samples or 8 + entries * ENTRY > box.end - box.start:
        raise _NotPlainError
    data = file.read(entries * ENTRY)
    if len(data) < entries * ENTRY:
        raise _NotPlainError
    runs_E2 = np.frombuffer(data, ">u4").reshape(entries, 2)
    counts_E = runs_E2[:, 0].astype(np.int64)
    offsets_E = runs_E2[:, 1].astype(np.uint32).view(np.int32).astype(np.int64)
    if counts_E.sum() != samples or (np.abs(offsets_E) > MOST_OFFSET).any():
        raise _NotPlainError
    return np.repeat(offsets_E, counts_E)
