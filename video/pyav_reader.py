"""Exact frames through PyAV: from the packet index, seek to the starting point before a frame and decode up to it.

Clean groups of pictures are decoded fast (video.parallel); the plain decoder here takes what that leaves.

Legend: U distinct frames wanted, F frames, H W pixels, C channels.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy import ndarray

from anyres.geometry import HW
from anyres.limits import LIMITS, MediaLimits
from video.clip import ClipMeta, Flag, VideoClip
from video.container import frames_of, opened, packets_of, quarter_turns
from video.early import resized
from video.errors import MediaError
from video.packets import PacketIndex
from video.parallel import decode_groups
from video.skipping import seekable

# places between a frame's decoding and its showing: the most pictures that H.264 and HEVC hold back
MOST_MOVED = 16


class PyAvReader:
    """Reads any indexed file; holds no open file between calls, so it may be pickled."""

    name = "pyav"

    def __init__(self, index: PacketIndex, limits: MediaLimits = LIMITS) -> None:
        self.index = index
        self.timeline = index.timeline(limits)

    @property
    def meta(self) -> ClipMeta:
        """Return the clip's header."""
        return self.timeline.meta

    def read(self, indices: Sequence[int], size: HW | None = None, workers: int | None = None) -> VideoClip:
        """Return the frames of `indices` (any order, repeats allowed), upright, with their times.

        size: resize each as soon as it is decoded (video.early). workers: decoders at a time (video.parallel). Raises
        MediaError when one of them does not decode, or refers to one that does not: never another frame in its
        place.
        """
        wanted = self.timeline.checked(indices)
        unique = sorted(set(wanted))
        frames_UHWC = np.empty((len(unique), *(size or self.index.size), 3), dtype=np.uint8)
        position = {frame: i for i, frame in enumerate(unique)}

        def keep(number: int, frame: VideoFrame) -> None:
            frames_UHWC[position[number]] = resized(upright(self.index, frame), size)

        flags = _decode(self.index, unique, keep, workers)
        return self.timeline.assemble(wanted, unique, frames_UHWC, self.name, flags)


def check_decodes(index: PacketIndex, unique: Sequence[int]) -> tuple[Flag, ...]:
    """Decode frames and drop them; return the flags that reading them raises, MediaError where one is damaged.

    For backends that hide damage. It costs what decoding costs, without the conversion to RGB.
    """
    return _decode(index, unique, lambda number, frame: None)


class _Wanted:
    """The distinct frames to find, and what to do with each. corrupt: a frame beside them does not decode."""

    def __init__(self, index: PacketIndex, unique: Sequence[int], keep: Callable[[int, VideoFrame], None]) -> None:
        self.index, self.keep = index, keep
        self.left = set(unique)
        self.corrupt = False

    def take(self, number: int | None, frame: VideoFrame) -> None:
        """Keep a decoded frame if it is wanted."""
        if number in self.left:
            self.keep(number, frame)
            self.left.remove(number)

    def whole(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield position and frame of those that decode and refer to none that does not, in order of presentation.

        Damage lasts up to the next keyframe. A bidirectional frame waits for the next one of another kind, which it
        may refer to.
        """
        damaged = False
        waiting: list[tuple[int, VideoFrame]] = []
        try:
            for position, frame in enumerate(frames):
                self.corrupt = self.corrupt or frame.is_corrupt
                damaged = frame.is_corrupt or (damaged and not frame.key_frame)
                if not damaged:
                    waiting.append((position, frame))
                if frame.pict_type == PictureType.B:
                    continue
                yield from () if damaged else waiting
                waiting.clear()
        except av.FFmpegError:
            # what fails now was decoded after these: they do not refer to it
            yield from waiting
            raise
        yield from waiting


def _decode(
    index: PacketIndex, unique: Sequence[int], keep: Callable[[int, VideoFrame], None], workers: int | None = None
) -> tuple[Flag, ...]:
    """Hand every frame wanted to `keep`; those that seeking misses are decoded from the start of the file.

    Decoders are strict at first. What they stop at is decoded by one that is not: where that gives all frames whole,
    the flag "corrupt" is raised.
    """
    _check_sums(index, unique)
    kept = decode_groups(index, unique, keep, workers)
    wanted = _Wanted(index, sorted(set(unique) - kept.frames), keep)
    odd = kept.odd
    if wanted.left and seekable(index):
        _by_seeking(wanted)
    elif wanted.left:
        odd = _strictly_from_start(wanted)
    if wanted.left:
        _from_start(wanted)
    if wanted.left:
        detail = f"{len(wanted.left)} of the frames asked for do not decode: {_times(index, wanted.left)}"
        raise MediaError(index.path, "damaged", detail)
    return ("corrupt",) if wanted.corrupt or odd else ()


def _check_sums(index: PacketIndex, unique: Sequence[int]) -> None:
    """Raise MediaError where frames do not fit the file's checksums: decoders show them all the same."""
    damaged = index.damaged.intersection(unique)
    if damaged:
        found = f"{len(damaged)} of the frames asked for, or frames that they refer to, do not fit"
        raise MediaError(index.path, "damaged", f"{found} the checksums in the file: {_times(index, damaged)}")


def _times(index: PacketIndex, frames: Collection[int]) -> str:
    """Return the first few frames with their times, in words."""
    return ", ".join(f"{frame} ({index.time_s(frame):.2f} s)" for frame in sorted(frames)[:3])


def _by_seeking(wanted: _Wanted) -> None:
    index = wanted.index

    def start_of(frame: int) -> int:
        return index.key_pts[max(0, bisect_right(index.key_pts, index.pts_F[frame]) - 1)]

    with opened(index.path) as (container, stream):
        for start, group in groupby(sorted(wanted.left), key=start_of):
            by_pts = {index.pts_F[frame]: frame for frame in group}
            container.seek(start, stream=stream, backward=True)
            _group(wanted, _in_order(index, _from_key(container, stream)), by_pts)


def _from_key(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield frames from where the file stands; none where decoding cannot start there, whatever tables tell."""
    for number, packet in enumerate(packets_of(container, stream)):
        if number == 0 and not packet.is_keyframe:
            return
        yield from packet.decode()


def _group(wanted: _Wanted, frames: Iterator[VideoFrame], by_pts: Mapping[int, int]) -> None:
    """Take the frames of one group, by their times; stop behind the last."""
    last = max(by_pts)
    for _, frame in wanted.whole(frames):
        wanted.take(None if frame.pts is None else by_pts.get(frame.pts), frame)
        if frame.pts is None or frame.pts >= last:
            break


def _strictly_from_start(wanted: _Wanted) -> bool:
    """Take frames until a strict decoder finds something wrong; return whether it did. The rest are left."""
    try:
        _from_start(wanted, strict=True)
    except MediaError:
        # a decoder that is not strict tells whether it matters
        return True
    return wanted.corrupt


def _from_start(wanted: _Wanted, strict: bool = False) -> None:
    index = wanted.index
    by_place = index.reordered or not index.pts_F
    by_pts = {} if by_place else {index.pts_F[frame]: frame for frame in wanted.left}
    with opened(index.path, strict) as (container, stream):
        frames = frames_of(container, stream)
        ordered = _in_place(index, frames) if index.reordered else _in_order(index, frames)
        for position, frame in wanted.whole(ordered):
            wanted.take(position if by_place else by_pts.get(frame.pts), frame)
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


def _in_place(index: PacketIndex, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield decoded frames that carry the time of their packet's place, each when its own place is certain.

    It is once every packet that may be shown before it has given a frame: all up to MOST_MOVED behind it. Raises
    MediaError where one gives none, or more than one.
    """
    packet = {pts: number for number, pts in enumerate(index.pts_F)}
    seen: set[int] = set()
    waiting: deque[VideoFrame] = deque()
    place = complete = 0
    for frame in frames:
        number = packet.get(frame.pts)
        if number is None or number < complete or number in seen:
            raise MediaError(index.path, "damaged", f"more frames than packets, after frame {place}")
        waiting.append(frame)
        seen.add(number)
        while complete in seen:
            seen.remove(complete)
            complete += 1
        if len(waiting) > 2 * MOST_MOVED + 1:
            raise MediaError(index.path, "damaged", f"its packet {complete} gives no frame")
        while waiting and (complete > place + MOST_MOVED or complete == len(packet)):
            yield waiting.popleft()
            place += 1


def upright(index: PacketIndex, frame: VideoFrame) -> ndarray:
    """Return a decoded frame as RGB [H, W, C] uint8, turned upright; transparency is shown on white."""
    picture_HWC = np.rot90(_rgb(frame), k=quarter_turns(index.path, frame))
    h, w = picture_HWC.shape[:2]
    if (h, w) != index.size:
        detail = f"its pictures change size, from {index.size.w}x{index.size.h} to {w}x{h}"
        raise MediaError(index.path, "unsupported", detail)
    return picture_HWC


def _rgb(frame: VideoFrame) -> ndarray:
    # threads of its own for every picture would be slow to start, and hang in a process that was forked
    if not any(component.is_alpha for component in frame.format.components):
        return frame.to_ndarray(format="rgb24", threads=1)
    rgba = frame.to_ndarray(format="rgba", threads=1).astype(np.uint16)
    alpha = rgba[..., 3:]
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
