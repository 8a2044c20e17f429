"""Decode the frames wanted of a clip fast: each group of pictures once, several groups at a time.

The decoders are threads: FFmpeg works outside Python's lock, so two of them keep two cores busy, nothing has to start
first and nothing has to be copied between processes. Each has a file of its own, open for one call only. FFmpeg's own
threads are not used: pictures of one group wait for each other, groups do not.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from video.container import opened
from video.gops import Gop, gops, queued
from video.packets import PacketIndex
from video.skipping import Unclean, seekable, shown, skippable

Keep = Callable[[int, VideoFrame], None]

# more decoders than this wait for the same disk and memory
MOST_WORKERS = 8


def cores() -> int:
    """Return how many processors this process may use."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


@dataclass(slots=True, kw_only=True)
class Kept:
    """The frames that were handed on, and whether a strict decoder found something wrong on the way."""

    frames: set[int] = field(default_factory=set)
    odd: bool = False


def decode_groups(index: PacketIndex, unique: Sequence[int], keep: Keep, workers: int | None = None) -> Kept:
    """Hand frames `unique` (rising) to `keep`, from any thread and in any order; return which.

    Missing are all frames of a file that cannot seek, and those of groups that are not clean: damaged, out of order,
    interlaced, or with anything that a strict decoder takes for an error. workers: decoders at a time, by default as
    many as there are processors.
    """
    kept = Kept()
    if not seekable(index):
        return kept
    groups, decoders = queued(gops(index.pts_F, index.key_pts, unique), index.size, workers or cores())
    # each takes the next one when it is done, the main thread too
    waiting = deque(groups)
    with ThreadPoolExecutor(max(1, decoders - 1), thread_name_prefix="anyres-decoder") as pool:
        others = [pool.submit(_work, index, waiting, keep, kept) for _ in range(decoders - 1)]
        _work(index, waiting, keep, kept)
        for other in others:
            other.result()
    return kept


def _work(index: PacketIndex, waiting: deque[Gop], keep: Keep, kept: Kept) -> None:
    """Decode groups until none waits; what is kept is added to `kept`."""
    with opened(index.path, strict=True) as (container, stream):
        skip = skippable(index, stream)
        while (gop := _next(waiting)) is not None:
            try:
                kept.frames.update(_clean(index, container, stream, gop, skip, keep))
            except Unclean as error:
                kept.odd = kept.odd or error.corrupt
            except av.FFmpegError:
                # of the container, which the plain decoder is told too
                continue


def _next(waiting: deque[Gop]) -> Gop | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _clean(
    index: PacketIndex, container: InputContainer, stream: VideoStream, gop: Gop, skip: bool, keep: Keep
) -> list[int]:
    """Hand the frames of one group to `keep` and return their numbers.

    Raises Unclean or FFmpeg's errors where it is not clean; what it gave is overwritten by the plain decoder.
    """
    found: list[int] = []
    for number, frame in shown(index, container, stream, gop, skip):
        keep(number, frame)
        found.append(number)
    return found
