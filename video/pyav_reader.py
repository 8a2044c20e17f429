"""Exact frames through PyAV: from the packet index, seek to the starting point before a frame and decode up to it.

Legend: U distinct frames wanted, F frames, H W pixels, C channels.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from av.video.frame import VideoFrame
from numpy import ndarray

from video.clip import ClipMeta, VideoClip
from video.errors import MediaError
from video.packets import PacketIndex, opened, quarter_turns

# demuxers that seek to a timestamp exactly
SEEKABLE = ("mov", "matroska")


class PyAvReader:
    """Reads any indexed file; holds no open file between calls, so it may be pickled and survives a fork."""

    name = "pyav"

    def __init__(self, index: PacketIndex) -> None:
        self.index = index

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        return self.index.meta

    def read(self, indices: Sequence[int]) -> VideoClip:
        """Return the frames of `indices` (any order, repeats allowed), upright, with their times.

        Raises MediaError when one of them does not decode: never another frame in its place.
        """
        wanted = checked_indices(indices, self.index)
        unique = sorted(set(wanted))
        return assemble(self.index, wanted, unique, _decode(self.index, unique), self.name)


def checked_indices(indices: Sequence[int], index: PacketIndex) -> tuple[int, ...]:
    """Return the indices as a tuple; ValueError when there are none or one is outside the clip."""
    wanted = tuple(int(frame) for frame in indices)
    if not wanted:
        raise ValueError(f"{index.path}: expected at least one frame index")
    wrong = [frame for frame in wanted if not 0 <= frame < index.num_frames]
    if wrong:
        raise ValueError(f"{index.path}: frame {wrong[0]} asked for, the clip has 0 to {index.num_frames - 1}")
    return wanted


def assemble(
    index: PacketIndex, wanted: tuple[int, ...], unique: list[int], frames_UHWC: ndarray, reader: str
) -> VideoClip:
    """Return the clip of the frames wanted, from its distinct frames in rising order."""
    position = {frame: i for i, frame in enumerate(unique)}
    order = [position[frame] for frame in wanted]
    frames_FHWC = frames_UHWC if order == list(range(len(unique))) else frames_UHWC[order]
    times_F = np.array([index.time_s(frame) for frame in wanted], dtype=np.float64)
    return VideoClip(frames_FHWC=frames_FHWC, times_F=times_F, indices=wanted, reader=reader, meta=index.meta)


class _Wanted:
    """The distinct frames to find, and the array that takes them."""

    def __init__(self, index: PacketIndex, unique: list[int]) -> None:
        self.index = index
        self.left = set(unique)
        self.frames_UHWC = np.empty((len(unique), *index.size, 3), dtype=np.uint8)
        self._position = {frame: i for i, frame in enumerate(unique)}

    def take(self, number: int | None, frame: VideoFrame) -> None:
        """Keep a decoded frame if it is wanted and whole."""
        if number in self.left and not frame.is_corrupt:
            self.frames_UHWC[self._position[number]] = _upright(self.index, frame)
            self.left.remove(number)


def _decode(index: PacketIndex, unique: list[int]) -> ndarray:
    """Return upright frames; those that seeking misses are decoded from the start of the file."""
    wanted = _Wanted(index, unique)
    if index.pts_F and any(name in index.container for name in SEEKABLE):
        _by_seeking(wanted)
    if wanted.left:
        _from_start(wanted)
    if wanted.left:
        times = ", ".join(f"{frame} ({index.time_s(frame):.2f} s)" for frame in sorted(wanted.left)[:3])
        raise MediaError(index.path, "damaged", f"{len(wanted.left)} of the frames asked for do not decode: {times}")
    return wanted.frames_UHWC


def _by_seeking(wanted: _Wanted) -> None:
    index = wanted.index

    def start_of(frame: int) -> int:
        return index.key_pts[max(0, bisect_right(index.key_pts, index.pts_F[frame]) - 1)]

    with opened(index.path) as (container, stream):
        for start, group in groupby(sorted(wanted.left), key=start_of):
            by_pts = {index.pts_F[frame]: frame for frame in group}
            last = max(by_pts)
            container.seek(start, stream=stream, backward=True)
            for frame in _in_order(index, container.decode(stream)):
                wanted.take(by_pts.get(frame.pts), frame)
                if frame.pts is None or frame.pts >= last:
                    break


def _from_start(wanted: _Wanted) -> None:
    index = wanted.index
    by_pts = {index.pts_F[frame]: frame for frame in wanted.left} if index.pts_F else {}
    with opened(index.path) as (container, stream):
        for position, frame in enumerate(_in_order(index, container.decode(stream))):
            wanted.take(by_pts.get(frame.pts) if index.pts_F else position, frame)
            if not wanted.left:
                break


def _in_order(index: PacketIndex, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield decoded frames; MediaError where timestamps run backward, since "the k-th frame" means nothing there."""
    latest: int | None = None
    for frame in frames:
        if latest is not None and frame.pts is not None and frame.pts <= latest:
            raise MediaError(index.path, "damaged", "timestamps run backward")
        latest = frame.pts
        yield frame


def _upright(index: PacketIndex, frame: VideoFrame) -> ndarray:
    """Return a decoded frame as RGB [H, W, C] uint8, turned upright."""
    picture_HWC = np.rot90(frame.to_ndarray(format="rgb24"), k=quarter_turns(index.path, frame))
    h, w = picture_HWC.shape[:2]
    if (h, w) != index.size:
        detail = f"its pictures change size, from {index.size.w}x{index.size.h} to {w}x{h}"
        raise MediaError(index.path, "unsupported", detail)
    return picture_HWC
