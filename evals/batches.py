"""Which questions are answered together: those of nearly the same length, so that few positions are padding.

Integers only. A batch of n rows has longest * n positions; those that no row fills are padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """Bounds of a micro-batch, and of what is collected to fill batches with questions of like length.

    samples, positions (longest sequence times samples), padding (share of the positions): of one micro-batch.
    window: so many batches' samples are collected; mib: of their pixels, and of media decoded ahead.
    """

    samples: int = 16
    positions: int = 32768
    padding: float = 0.03
    window: int = 8
    mib: int = 2048

    def __post_init__(self) -> None:
        if self.samples < 1 or self.positions < 1:
            raise ValueError(f"batch: expected at least 1 sample and 1 position, got {self.samples}, {self.positions}")
        if not 0 <= self.padding <= 1:
            raise ValueError(f"batch.padding: expected a share between 0 and 1, got {self.padding}")
        if self.window < 1 or self.mib < 1:
            raise ValueError(f"batch: expected a window and mib of at least 1, got {self.window}, {self.mib}")

    def fits(self, lengths: Sequence[int]) -> bool:
        """Return whether sequences of these lengths may be one batch."""
        positions = max(lengths) * len(lengths)
        within = len(lengths) <= self.samples and positions <= self.positions
        return within and positions - sum(lengths) <= self.padding * positions


def order(lengths: Sequence[int], groups: Sequence[int]) -> list[int]:
    """Return the rows sorted so that a group stays together: groups by their longest row, rows in them by length."""
    longest: dict[int, int] = {}
    for length, group in zip(lengths, groups, strict=True):
        longest[group] = max(length, longest.get(group, 0))
    return sorted(range(len(lengths)), key=lambda row: (longest[groups[row]], groups[row], lengths[row], row))


def cut(lengths: Sequence[int], batching: Batching) -> list[range]:
    """Return consecutive runs of rows, each within the bounds; a row beyond them is a run of its own."""
    runs: list[range] = []
    start = 0
    for row in range(1, len(lengths) + 1):
        if row == len(lengths) or not batching.fits(lengths[start : row + 1]):
            runs.append(range(start, row))
            start = row
    return runs


def next_rows(lengths: Sequence[int], groups: Sequence[int], batching: Batching, shared: Sequence[bool]) -> list[range]:
    """Return which of the sorted rows to answer now: the fullest batch, and those that share its last media.

    shared: rows whose beginning is kept for the others of their group, so that a group is best answered in one go.
    """
    runs = cut(lengths, batching)
    fullest = max(range(len(runs)), key=lambda place: (len(runs[place]), -place))
    first = last = fullest
    while first > 0 and _joined(runs[first - 1], runs[first], groups, shared):
        first -= 1
    while last + 1 < len(runs) and _joined(runs[last], runs[last + 1], groups, shared):
        last += 1
    return runs[first : last + 1]


def _joined(before: range, after: range, groups: Sequence[int], shared: Sequence[bool]) -> bool:
    return shared[after[0]] and groups[before[-1]] == groups[after[0]]
