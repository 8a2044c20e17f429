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
    groups: dict[tuple[str, str], list[Scored]] = {}
    for item in samples:
        groups.setdefault((item.kind, item.cluster), []).append(item)
    weights = {key: len(items) / len({item.id for item in items}) for key, items in groups.items()}
    right = math.fsum(weights[key] for key, items in groups.items() if all(item.score >= 1 for item in items))
    return right / math.fsum(weights.values()) if groups else math.nan


def mme_score(samples: Sequence[Scored], kinds: Sequence[str]) -> float:
    """Return the sum over `kinds` of 100 accuracy + 100 accuracy+; at most 200 for each of them."""
    return math.fsum(100 * (_mean(items) + accuracy_plus(items)) for items in _by_kind(samples, kinds))


def macro_mean(samples: Sequence[Scored], kinds: Sequence[str]) -> float:
    """Return the mean over `kinds` of the mean score of each, however many samples it has."""
    return math.fsum(_mean(items) for items in _by_kind(samples, kinds)) / len(kinds)


def accuracy_plus_figure(name: str = "accuracy+", kinds: Sequence[str] | None = None) -> Figure:
    """Return accuracy+ in [0, 1] over the samples of `kinds`, all of them by default."""
    return Figure(name=name, compute=lambda samples: accuracy_plus(_of(samples, kinds)))


def mme_figure(name: str, kinds: Sequence[str]) -> Figure:
    """Return MME's sum over `kinds`: `mme_figure("perception", ...)` is out of 2000."""
    return Figure(name=name, compute=lambda samples: mme_score(samples, kinds), unit=f"of {200 * len(kinds)}")


def macro_mean_figure(name: str, kinds: Sequence[str]) -> Figure:
    """Return the unweighted mean over `kinds`, in units of the scores."""
    return Figure(name=name, compute=lambda samples: macro_mean(samples, kinds))


def sum_figure(name: str, kinds: Sequence[str] | None = None, unit: str = "") -> Figure:
    """Return the sum of the scores over the samples of `kinds`, all of them by default, as OCRBench counts its hits."""
    return Figure(name=name, compute=lambda samples: math.fsum(item.score for item in _of(samples, kinds)), unit=unit)


def _of(samples: Sequence[Scored], kinds: Sequence[str] | None) -> list[Scored]:
    return [item for item in samples if kinds is None or item.kind in kinds]


def _by_kind(samples: Sequence[Scored], kinds: Sequence[str]) -> list[list[Scored]]:
    groups: dict[str, list[Scored]] = {kind: [] for kind in kinds}
    for item in samples:
        if item.kind in groups:
            groups[item.kind].append(item)
    return list(groups.values())


def _mean(samples: Sequence[Scored]) -> float:
    return math.fsum(item.score for item in samples) / len(samples) if samples else math.nan
