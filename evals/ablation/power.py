"""What a comparison can detect: the smallest difference, the chance to see one, the samples it takes.

Paired 0/1 scores that disagree on a share q of n samples have a difference with SE sqrt(q / n); questions that share a
clip count for less, by the design effect 1 + (m - 1) rho with m questions a cluster and rho their correlation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from evals.ablation.distributions import normal_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """One line of the table printed before a sweep; differences are fractions of 1."""

    name: str
    n: int
    disagreement: float
    smallest: float


def smallest_detectable(
    n: int, disagreement: float, power: float = 0.8, alpha: float = 0.05, design_effect: float = 1.0
) -> float:
    """Return the smallest true difference that n paired samples detect: (z_{1-alpha/2} + z_power) sqrt(q deff / n)."""
    _check(n, disagreement, design_effect)
    return (normal_quantile(1 - alpha / 2) + normal_quantile(power)) * math.sqrt(disagreement * design_effect / n)


def power_of(difference: float, n: int, disagreement: float, alpha: float = 0.05, design_effect: float = 1.0) -> float:
    """Return the chance that a two-sided test at `alpha` sees a true difference, on either side."""
    _check(n, disagreement, design_effect)
    if disagreement == 0:
        return alpha if difference == 0 else 1.0
    shift, reach = difference / math.sqrt(disagreement * design_effect / n), normal_quantile(1 - alpha / 2)
    normal = NormalDist()
    return normal.cdf(shift - reach) + normal.cdf(-shift - reach)


def samples_needed(
    difference: float, disagreement: float, power: float = 0.8, alpha: float = 0.05, design_effect: float = 1.0
) -> int:
    """Return how many paired samples detect a true difference with this power."""
    _check(1, disagreement, design_effect)
    if difference == 0:
        raise ValueError("samples_needed: a difference of 0 is never detected")
    reach = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return max(1, math.ceil(disagreement * design_effect * (reach / difference) ** 2))


def design_effect(residuals: Sequence[float], clusters: Sequence[str]) -> float:
    """Return by how much clusters inflate the variance of a mean: clustered over plain, 1 without any spread."""
    sums: dict[str, float] = {}
    for residual, cluster in zip(residuals, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + residual
    plain = math.fsum(residual * residual for residual in residuals)
    return math.fsum(value * value for value in sums.values()) / plain if plain > 0 else 1.0


def detectable_table(sizes: Mapping[str, int], disagreement: float = 0.1) -> tuple[Detectable, ...]:
    """Return the smallest detectable difference of each task, from its name and its number of samples."""
    return tuple(
        Detectable(name=name, n=n, disagreement=disagreement, smallest=smallest_detectable(n, disagreement))
        for name, n in sizes.items()
    )


def _check(n: int, disagreement: float, effect: float) -> None:
    if n <= 0 or not 0.0 <= disagreement <= 1.0:
        raise ValueError(f"smallest_detectable: expected n > 0 and 0 <= q <= 1, found n {n}, q {disagreement}")
    if effect <= 0:
        raise ValueError(f"design effect: expected more than 0, found {effect}")
