"""Figures over groups of samples: accuracy+ (all questions on one image right), MME's sums, means over kinds.

Fu et al., "MME" (2023): a subtask scores 100 accuracy + 100 accuracy+, perception and cognition are the sums of theirs.
All are defined for any multiset of samples: a group that was drawn twice counts twice, and a kind without a sample
makes the figure nan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.task import Figure

if TYPE_CHECKING:
    from evals.result import Scored

MME = "mme@v1"


def accuracy_plus(samples: Sequence[Scored]) -> float:
    """Return the share of clusters whose samples are all right (of one kind each); nan without samples."""
    return _ratio(*_whole_groups(samples))


def mme_score(samples: Sequence[Scored], kinds: Sequence[str]) -> float:
    """Return the sum over `kinds` of 100 accuracy + 100 accuracy+; at most 200 for each of them."""
    return math.fsum(100 * (_mean(items) + accuracy_plus(items)) for items in _by_kind(samples, kinds))


def macro_mean(samples: Sequence[Scored], kinds: Sequence[str]) -> float:
    """Return the mean over `kinds` of the mean score of each, however many samples it has."""
    return math.fsum(_mean(items) for items in _by_kind(samples, kinds)) / len(kinds)


def accuracy_plus_figure(name: str = "accuracy+", kinds: Sequence[str] | None = None) -> Figure:
    """Return accuracy+ in [0, 1] over the samples of `kinds`, all of them by default."""

    def parts(samples: Sequence[Scored]) -> list[float]:
        return list(_whole_groups(_of(samples, kinds)))

    return Figure.of_sums(name, parts, lambda sums: _ratio(sums[0], sums[1]))


def mme_figure(name: str, kinds: Sequence[str]) -> Figure:
    """Return MME's sum over `kinds`: `mme_figure("perception", ...)` is out of 2000."""

    def parts(samples: Sequence[Scored]) -> list[float]:
        groups = _by_kind(samples, kinds)
        return [part for items in groups for part in (*_sum_and_count(items), *_whole_groups(items))]

    def total(sums: Sequence[float]) -> float:
        return 100 * math.fsum(_ratio(sums[i], sums[i + 1]) for i in range(0, len(sums), 2))

    return Figure.of_sums(name, parts, total, unit=f"of {200 * len(kinds)}")


def macro_mean_figure(name: str, kinds: Sequence[str]) -> Figure:
    """Return the unweighted mean over `kinds`, in units of the scores."""

    def parts(samples: Sequence[Scored]) -> list[float]:
        return [part for items in _by_kind(samples, kinds) for part in _sum_and_count(items)]

    def total(sums: Sequence[float]) -> float:
        return math.fsum(_ratio(sums[i], sums[i + 1]) for i in range(0, len(sums), 2)) / len(kinds)

    return Figure.of_sums(name, parts, total)


def sum_figure(name: str, kinds: Sequence[str] | None = None, unit: str = "") -> Figure:
    """Return the sum of the scores over the samples of `kinds`, all of them by default, as OCRBench counts its hits."""

    def parts(samples: Sequence[Scored]) -> list[float]:
        return [math.fsum(item.score for item in _of(samples, kinds))]

    return Figure.of_sums(name, parts, lambda sums: sums[0], unit=unit)


def _of(samples: Sequence[Scored], kinds: Sequence[str] | None) -> list[Scored]:
    return [item for item in samples if kinds is None or item.kind in kinds]


def _by_kind(samples: Sequence[Scored], kinds: Sequence[str]) -> list[list[Scored]]:
    groups: dict[str, list[Scored]] = {kind: [] for kind in kinds}
    for item in samples:
        if item.kind in groups:
            groups[item.kind].append(item)
    return list(groups.values())


def _mean(samples: Sequence[Scored]) -> float:
    return _ratio(*_sum_and_count(samples))


def _sum_and_count(samples: Sequence[Scored]) -> tuple[float, float]:
    return math.fsum(item.score for item in samples), float(len(samples))


def _whole_groups(samples: Sequence[Scored]) -> tuple[float, float]:
    """Return how many groups are all right, and how many there are; one whose samples come twice counts twice."""
    groups: dict[tuple[str, str], list[Scored]] = {}
    for item in samples:
        groups.setdefault((item.kind, item.cluster), []).append(item)
    weights = {key: len(items) / len({item.id for item in items}) for key, items in groups.items()}
    right = math.fsum(weights[key] for key, items in groups.items() if all(item.score >= 1 for item in items))
    return right, math.fsum(weights.values())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
