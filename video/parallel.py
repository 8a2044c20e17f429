"""Decode the frames wanted of a clip fast: each group of pictures once, several groups at a time.

The decoders are threads: FFmpeg works outside Python's lock, so two of them keep two cores busy, nothing has to start
first and nothing has to be copied between processes. Each has a file of its own, open for one call only. FFmpeg's own
threads are not used: one that reports damage while its decoder is closed waits for Python's lock, and Python for it.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import av
from av.video.frame import VideoFrame

from video.container import opened
from video.gops import Gop, gops, shares
from video.packets import PacketIndex
from video.skipping import Unclean, seekable, shown, skippable

# more decoders than this wait for the same disk and memory
MOST_WORKERS = 8


def cores() -> int:
    """Return how many processors this process may use."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def decode_groups(
    index: PacketIndex, unique: Sequence[int], keep: Callable[[int, VideoFrame], None], workers: int | None = None
) -> set[int]:
    """Hand frames `unique` (rising) to `keep`, from any thread and in any order; return those that are still missing.

    Missing are all frames of a file that cannot seek, and those of groups that are not clean: damaged, out of order or
    interlaced. workers: decoders at a time, by default as many as there are processors.
    """
    if not seekable(index):
        return set(unique)
    first, *rest = shares(gops(index.pts_F, index.key_pts, unique), index.size, workers or cores())
    kept: set[int] = set()
    if not rest:
        _work(index, first, keep, kept)
        return set(unique) - kept
    with ThreadPoolExecutor(len(rest), thread_name_prefix="anyres-decoder") as pool:
        others = [pool.submit(_work, index, share, keep, kept) for share in rest]
        _work(index, first, keep, kept)
        for other in others:
            other.result()
    return set(unique) - kept


def _work(index: PacketIndex, share: Sequence[Gop], keep: Callable[[int, VideoFrame], None], kept: set[int]) -> None:
    """Decode one share; what is kept is added to `kept`."""
    with opened(index.path) as (container, stream):
        skip = skippable(index, stream)
        for gop in share:
            # what a group that is not clean gave is overwritten by the plain decoder
            found: list[int] = []
            try:
                for number, frame in shown(index, container, stream, gop, skip):
                    keep(number, frame)
                    found.append(number)
            except (Unclean, av.FFmpegError):
                continue
            kept.update(found)
