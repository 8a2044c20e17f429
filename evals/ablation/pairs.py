"""Every setting against every other one, on the same samples: differences, adjusted for being many."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

from evals.ablation.stats import benjamini_hochberg, tost
from evals.ablation.table import Comparison, Measured, compare, judged, members
from evals.score import MEAN

MARGIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The difference `new` - `base` of one row of the table; p_bh: adjusted for all pairs of the table.

    p_equal: of two one-sided tests that the difference is smaller than `margin` either way, adjusted likewise.
    """

    task: str
    new: str
    base: str
    n: int
    difference: float
    low: float
    high: float
    p: float
    p_bh: float
    test: str
    wins: int
    losses: int
    margin: float
    p_equal: float


class Compared:
    """Comparisons of the points of a sweep in one row of one task, each made once; None where samples differ."""

    def __init__(self, points: Sequence[Measured], task: str, name: str) -> None:
        self._name = name
        self._items = [members(point.results[task], name, point.groups.get(task, {})) for point in points]
        self._known: dict[tuple[int, int], Comparison | None] = {}

    def between(self, new: int, base: int) -> Comparison | None:
        """Return the comparison of two points by their indices; of one with itself too."""
        if (new, base) not in self._known:
            pair = judged(self._items[new], self._items[base])
            same = bool(pair.new) and [item.id for item in pair.new] == [item.id for item in pair.base]
            self._known[new, base] = compare(pair.new, pair.base, by_kind=self._name == MEAN) if same else None
        return self._known[new, base]

    def comparable(self) -> bool:
        """Tell whether all points have the same samples, and any."""
        return all(self.between(index, 0) is not None for index in range(len(self._items)))


def all_pairs(points: Sequence[Measured], task: str, name: str, label: str, margin: float = MARGIN) -> tuple[Pair, ...]:
    """Return every pair of points that have the same samples, in the row `name` of a task; later against earlier."""
    compared = Compared(points, task, name)
    found: list[Pair] = []
    for base in range(len(points)):
        for new in range(base + 1, len(points)):
            comparison = compared.between(new, base)
            if comparison is not None:
                n = len(members(points[new].results[task], name, points[new].groups.get(task, {})))
                found.append(_pair(label, points[new].setting, points[base].setting, n, comparison, margin))
    adjusted = benjamini_hochberg([pair.p for pair in found])
    equal = benjamini_hochberg([pair.p_equal for pair in found])
    return tuple(replace(pair, p_bh=p, p_equal=e) for pair, p, e in zip(found, adjusted, equal, strict=True))


def to_csv(pairs: Sequence[Pair]) -> str:
    """Return the pairs as CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [item.name for item in fields(Pair)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(pair) for pair in pairs)
    return out.getvalue()


def to_json(pairs: Sequence[Pair]) -> str:
    """Return the pairs as a JSON list of objects, one line each."""
    return "[\n" + ",\n".join(json.dumps(asdict(pair), allow_nan=False) for pair in pairs) + "\n]\n"


def _pair(label: str, new: str, base: str, n: int, comparison: Comparison, margin: float) -> Pair:
    difference = comparison.difference
    return Pair(
        task=label,
        new=new,
        base=base,
        n=n,
        difference=difference.value,
        low=difference.low,
        high=difference.high,
        p=comparison.p,
        p_bh=comparison.p,
        test=comparison.test,
        wins=comparison.wins,
        losses=comparison.losses,
        margin=margin,
        p_equal=tost(difference, margin),
    )
