"""Cluster bootstrap: the interval of any figure, by drawing whole clusters again.

Efron, "Better Bootstrap Confidence Intervals", J. Am. Stat. Assoc. 82 (1987). Draws come from NumPy's RandomState, the
generator whose numbers never change between versions: the same seed gives the same interval everywhere. Clusters are
drawn in the order of their names, so that the order of the samples does not matter.

Legend: G clusters, R replicates, K sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeVar

import numpy as np

Item = TypeVar("Item")
Method = Literal["percentile", "bca"]

REPLICATES = 2000
# drawn indices held at once
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with the two ends of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    items: Sequence[Item],
    clusters: Sequence[str],
    metric: Callable[[Sequence[Item]], float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    confidence: float = 0.95,
    method: Method = "percentile",
) -> Interval:
    """Return any metric of the items with its interval; draws for which it is nan are left out.

    nan where the metric or more than half of its draws are. For a paired difference, let an item hold both scores.
    method: "bca" corrects for bias and skewness; it costs one more evaluation for each cluster.
    """
    groups = _grouped(items, clusters, "bootstrap")
    flat = [item for group in groups for item in group]
    value = metric(flat)
    values = [
        metric([item for index in drawn for item in groups[index]]) for drawn in _draws(len(groups), replicates, seed)
    ]
    left_out: list[float] = []
    if method == "bca" and len(groups) > 1:
        left_out = [
            metric([item for index, group in enumerate(groups) if index != gone for item in group])
            for gone in range(len(groups))
        ]
    return _interval(value, values, left_out, confidence, method)


def bootstrap_sums(
    parts: Mapping[str, Sequence[float]],
    total: Callable[[Sequence[float]], float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    confidence: float = 0.95,
    method: Method = "percentile",
) -> Interval:
    """Return `bootstrap` of a metric that is a function `total` of sums over clusters, much faster.

    parts: of each cluster, the K numbers that add up.
    """
    if not parts:
        raise ValueError("bootstrap: no items")
    parts_GK = np.array([parts[name] for name in sorted(parts)], dtype=np.float64)
    sums_K = [math.fsum(column) for column in parts_GK.T]
    values = [
        total(sums)
        for block_RG in _blocks(len(parts_GK), replicates, seed)
        for sums in np.stack([column[block_RG].sum(axis=1) for column in parts_GK.T], axis=1).tolist()
    ]
    left_out: list[float] = []
    if method == "bca" and len(parts_GK) > 1:
        left_out = [total(sums) for sums in (np.array(sums_K) - parts_GK).tolist()]
    return _interval(total(sums_K), values, left_out, confidence, method)


def quantile(ordered: Sequence[float], probability: float) -> float:
    """Return the quantile of ascending values, linear between order statistics."""
    position = probability * (len(ordered) - 1)
    lower = math.floor(position)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (position - lower) * (ordered[upper] - ordered[lower])


def _grouped(items: Sequence[Item], clusters: Sequence[str], what: str) -> list[list[Item]]:
    grouped: dict[str, list[Item]] = {}
    for item, cluster in zip(items, clusters, strict=True):
        grouped.setdefault(cluster, []).append(item)
    if not grouped:
        raise ValueError(f"{what}: no items")
    return [grouped[name] for name in sorted(grouped)]


def _blocks(groups: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    draw = np.random.RandomState(seed)
    rows = max(1, _BLOCK // groups)
    for start in range(0, replicates, rows):
        yield draw.randint(groups, size=(min(rows, replicates - start), groups))


def _draws(groups: int, replicates: int, seed: int) -> Iterator[list[int]]:
    for block_RG in _blocks(groups, replicates, seed):
        yield from block_RG.tolist()


def _interval(
    value: float, values: Sequence[float], left_out: Sequence[float], confidence: float, method: Method
) -> Interval:
    kept = sorted(one for one in values if not math.isnan(one))
    if math.isnan(value) or 2 * len(kept) < len(values):
        return Interval(value=value, low=math.nan, high=math.nan)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    if method == "bca":
        tails = _corrected(value, kept, [one for one in left_out if not math.isnan(one)], tails)
    return Interval(value=value, low=quantile(kept, tails[0]), high=quantile(kept, tails[1]))


def _corrected(value: float, ordered: Sequence[float], left_out: Sequence[float], tails: list[float]) -> list[float]:
    """Return the two probabilities after BCa's corrections; `tails` themselves where nothing varies."""
    below = sum(one < value for one in ordered) + 0.5 * sum(one == value for one in ordered)
    if not 0 < below < len(ordered) or len(left_out) < 2:
        return tails
    normal = NormalDist()
    bias = normal.inv_cdf(below / len(ordered))
    middle = math.fsum(left_out) / len(left_out)
    squares = math.fsum((middle - one) ** 2 for one in left_out)
    cubes = math.fsum((middle - one) ** 3 for one in left_out)
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    corrected = []
    for tail in tails:
        shifted = bias + normal.inv_cdf(tail)
        corrected.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    return corrected
