"""Intervals and standard errors of a mean of scores in [0, 1]."""

import math
from collections.abc import Sequence
from statistics import NormalDist

from evals.ablation.distributions import t_quantile

Z_95 = 1.959963984540054


def wilson(successes: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of `successes` out of `n`; (0, 1) when n is 0.

    Both may be fractions: partial scores, or an effective number of samples. Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes: expected 0 to {n}, got {successes}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def clustered_se(residuals: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Return the standard error of a sum of weighted residuals whose clusters are independent.

    residuals: weight times (score - mean); 1/n each for a plain mean. SE = sqrt(G / (G - 1) * sum over clusters of
    (sum of its residuals) ** 2) with G clusters; None when G < 2, since one cluster says nothing of its own spread.
    """
    sums: dict[str, float] = {}
    for residual, cluster in zip(residuals, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + residual
    groups = len(sums)
    if groups < 2:
        return None
    return math.sqrt(groups / (groups - 1) * math.fsum(value * value for value in sums.values()))


def effective_n(mean: float, se: float | None, n: int) -> float:
    """Return how many independent samples would give `se` at `mean`; `n` where that cannot be said."""
    if se is None or se == 0 or not 0 < mean < 1:
        return float(n)
    return mean * (1 - mean) / (se * se)


def mean_interval(
    value: float, se: float | None, n: int, clusters: int, confidence: float = 0.95, *, binary: bool = False
) -> tuple[float, float]:
    """Return the interval (low, high) of a mean of scores in [0, 1] with clustered standard error `se`.

    Wilson's interval at the effective number of samples, with Student's quantile for `clusters` - 1 degrees of freedom
    (Dean and Pagano, Surv. Stat. 2015, as for shares in surveys); plain Wilson for 0/1 scores, one a cluster. Where
    nothing varies every cluster is one sample; a single cluster is one sample, whatever it holds.
    """
    if n == 0:
        return 0.0, 1.0
    if binary and clusters == n:
        return wilson(value * n, n, Z_95 if confidence == 0.95 else NormalDist().inv_cdf(0.5 + confidence / 2))
    if se is None:
        return wilson(min(1.0, value), 1)
    effective = float(clusters) if se <= 1e-12 else effective_n(value, se, clusters)
    # rounding may leave a mean of ones above 1
    return wilson(min(1.0, value) * effective, effective, t_quantile(0.5 + confidence / 2, clusters - 1))
