"""Which groups of pictures lead to the frames wanted, and who decodes them. Integers only.

A group begins where decoding can start. To show one of its frames, what comes before it has to be decoded, so a group
is visited once for all of its frames and left behind the last of them.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from anyres.geometry import HW

# below this many pixels decoded (some 20 frames of 720p), a second decoder costs more than it gives
WORTH_A_DECODER = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Gop:
    """A starting point (its presentation time), the frames wanted behind it, rising, and how many lead there."""

    start: int
    frames: tuple[int, ...]
    cost: int


def gops(pts_F: Sequence[int], key_pts: Sequence[int], unique: Sequence[int]) -> tuple[Gop, ...]:
    """Return the groups that hold the frames `unique` (rising), in order of presentation."""

    def start_of(frame: int) -> int:
        return key_pts[max(0, bisect_right(key_pts, pts_F[frame]) - 1)]

    found = []
    for start, members in groupby(unique, key=start_of):
        frames = tuple(members)
        # frames shown before the first starting point still need it
        before = bisect_right(pts_F, start) - 1
        found.append(Gop(start=start, frames=frames, cost=max(1, frames[-1] - before + 1)))
    return tuple(found)


def shares(groups: Sequence[Gop], size: HW, workers: int) -> tuple[tuple[Gop, ...], ...]:
    """Return what each of at most `workers` decoders does of a clip of `size` pixels, in order of presentation.

    The longest groups go first, each to who has the least to do. Little work stays with one decoder.
    """
    total = sum(group.cost for group in groups)
    workers = min(workers, len(groups), 1 + total * size.area // WORTH_A_DECODER)
    loads = [0] * workers
    found: list[list[Gop]] = [[] for _ in loads]
    for group in sorted(groups, key=lambda group: -group.cost):
        least = loads.index(min(loads))
        found[least].append(group)
        loads[least] += group.cost
    # a file is read forward
    return tuple(tuple(sorted(share, key=lambda group: group.start)) for share in found)


def batches(groups: Sequence[Gop], num_frames: int) -> tuple[tuple[Gop, ...], ...]:
    """Return groups in runs of at least `num_frames` frames wanted, the last one aside."""
    runs: list[tuple[Gop, ...]] = []
    run: list[Gop] = []
    for group in groups:
        run.append(group)
        if sum(len(member.frames) for member in run) >= num_frames:
            runs.append(tuple(run))
            run = []
    return (*runs, tuple(run)) if run else tuple(runs)
