"""Accuracy, by group, and of the constant answer that is right most often."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from evals.sample import Sample


def accuracy(scores: Sequence[float]) -> float:
    """Return the mean of `scores`; a ValueError without any."""
    if not scores:
        raise ValueError("accuracy of no samples")
    return math.fsum(scores) / len(scores)


def by_group(scores: Iterable[tuple[str, float]]) -> dict[str, list[float]]:
    """Return the scores of each group, groups in order of first appearance."""
    groups: dict[str, list[float]] = {}
    for group, score in scores:
        groups.setdefault(group, []).append(score)
    return groups


def commonest(samples: Sequence[Sample]) -> str:
    """Return the text that most of `samples` accept, of several the first in the alphabet; a ValueError without any."""
    counts = Counter(answer for sample in samples for answer in set(sample.answers))
    if not counts:
        raise ValueError("commonest answer of no samples")
    return min(counts, key=lambda answer: (-counts[answer], answer))


def majority(samples: Sequence[Sample]) -> float:
    """Return the best accuracy that one constant answer per kind reaches on `samples`."""
    if not samples:
        raise ValueError("majority of no samples")
    kinds: dict[str, Counter[str]] = {}
    for sample in samples:
        # an open question may accept several texts: a constant answer is right where any of them is
        kinds.setdefault(sample.kind, Counter()).update(set(sample.answers))
    return sum(max(counts.values()) for counts in kinds.values()) / len(samples)
