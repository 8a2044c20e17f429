"""Batches of like lengths: every row once, within the bounds, few positions of padding, groups kept together."""

import itertools
import random

import pytest

from evals.batches import Batching, cut, next_rows, order


def drain(lengths: list[int], groups: list[int], batching: Batching, shared: bool) -> list[list[int]]:
    """Return the batches in which rows that come in this order are answered, as the loop does it."""
    batches, waiting = [], []

    def some() -> None:
        nonlocal waiting
        waiting = [waiting[row] for row in order([lengths[i] for i in waiting], [groups[i] for i in waiting])]
        inside = ([lengths[i] for i in waiting], [groups[i] for i in waiting])
        runs = next_rows(*inside, batching, [shared] * len(waiting))
        batches.extend([waiting[row] for row in run] for run in runs)
        waiting = [*waiting[: runs[0].start], *waiting[runs[-1].stop :]]

    for row in range(len(lengths)):
        waiting.append(row)
        while len(waiting) >= batching.window * batching.samples:
            some()
    while waiting:
        some()
    return batches


def padding(lengths: list[int], batches: list[list[int]]) -> float:
    positions = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    return 1 - sum(lengths) / positions


@pytest.mark.parametrize("shared", [False, True])
def test_every_row_once_within_the_bounds_and_little_padding(shared: bool) -> None:
    rng = random.Random(1)
    # images of natural sizes: 700 to 2900 visual tokens, one to four questions of 10 to 80 tokens each
    lengths, groups = [], []
    for group in range(600):
        visual = rng.choice([729, *range(1000, 2900, 37)])
        for _ in range(rng.randint(1, 4)):
            lengths.append(visual + rng.randint(10, 80))
            groups.append(group)
    batching = Batching(positions=1 << 20)
    batches = drain(lengths, groups, batching, shared)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(batching.fits([lengths[i] for i in batch]) for batch in batches)
    assert padding(lengths, batches) <= 0.03
    # in the order of the file, 16 at a time, it is far more
    plain = [list(range(start, min(start + 16, len(lengths)))) for start in range(0, len(lengths), 16)]
    assert padding(lengths, plain) > 0.2
    # sorting does not cost the batches their size
    assert len(lengths) / len(batches) > 8


def test_a_group_is_answered_in_one_go_where_it_shares_its_beginning() -> None:
    lengths = [1000 + (i * 13) % 50 for i in range(12)] + [400, 401, 402, 403]
    groups = [0] * 6 + [1] * 6 + [2, 3, 4, 5]
    batches = drain(lengths, groups, Batching(samples=4, window=3), shared=True)
    seen = [groups[row] for batch in batches for row in batch]
    # each group is one run of the sequence
    assert len([1 for a, b in itertools.pairwise(seen) if a != b]) == len(set(groups)) - 1


def test_runs_are_cut_by_samples_positions_and_padding() -> None:
    assert cut([10] * 5, Batching(samples=2)) == [range(2), range(2, 4), range(4, 5)]
    assert cut([10, 10, 10], Batching(positions=25)) == [range(2), range(2, 3)]
    # 100 and 103: 3 of 206 positions are padding; with 110: 17 of 330
    assert cut([100, 103, 110], Batching(padding=0.03)) == [range(2), range(2, 3)]
    assert cut([100], Batching(positions=1)) == [range(1)]


def test_bounds_are_checked() -> None:
    with pytest.raises(ValueError, match="padding"):
        Batching(padding=2)
    with pytest.raises(ValueError, match="window"):
        Batching(window=0)
