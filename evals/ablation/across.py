"""One figure over several benchmarks, whose scales differ: never a mean of raw scores.

Random effects: each benchmark's difference is drawn around a common one; weights are 1 / (SE^2 + tau^2) with tau^2 by
DerSimonian and Laird (Control. Clin. Trials 7, 1986), the interval by Hartung, Knapp, Sidik and Jonkman (Stat. Med. 21,
2002), which holds for few benchmarks. For benchmarks on one scale (accuracies). z scores: differences in units of
each benchmark's own spread, averaged, for any scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from evals.ablation.distributions import normal_quantile, t_quantile, t_two_sided
from evals.ablation.stats import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A difference over several benchmarks, its interval and two-sided p; tau: how far they truly differ (SD)."""

    value: float
    se: float
    low: float
    high: float
    p: float
    tau: float = 0.0


def random_effects(differences: Sequence[Difference], confidence: float = 0.95, small: bool = True) -> Pooled:
    """Return the difference common to several benchmarks.

    small: the interval for few benchmarks (Student's, see the module) instead of the normal one. Raises ValueError for
    fewer than two benchmarks and for a standard error that is 0 or infinite: such a one has no weight.
    """
    effects, variances = [one.value for one in differences], [one.se**2 for one in differences]
    if len(effects) < 2 or not all(0 < variance < math.inf for variance in variances):
        raise ValueError(f"random_effects: standard errors {[one.se for one in differences]}, expected 2 or more, > 0")
    tau2 = _between(effects, variances)
    weights = [1 / (variance + tau2) for variance in variances]
    total = math.fsum(weights)
    value = math.fsum(w * e for w, e in zip(weights, effects, strict=True)) / total
    se, df = math.sqrt(1 / total), len(effects) - 1
    if small:
        spread = math.fsum(w * (e - value) ** 2 for w, e in zip(weights, effects, strict=True)) / (df * total)
        se = math.sqrt(spread)
        if se == 0:
            return Pooled(value=value, se=0.0, low=value, high=value, p=1.0 if value == 0 else 0.0, tau=math.sqrt(tau2))
        half = t_quantile(0.5 + confidence / 2, df) * se
        p = t_two_sided(value / se, df)
    else:
        half = normal_quantile(0.5 + confidence / 2) * se
        p = math.erfc(abs(value / se) / math.sqrt(2))
    return Pooled(value=value, se=se, low=value - half, high=value + half, p=p, tau=math.sqrt(tau2))


def z_average(differences: Sequence[Difference], scales: Sequence[float], confidence: float = 0.95) -> Pooled:
    """Return the mean of the differences, each in units of its benchmark's scale, with the interval of that mean.

    scales: a positive number for each benchmark, as the SD of the settings' scores or of the samples'.
    """
    if not differences or len(scales) != len(differences) or min(scales) <= 0:
        raise ValueError(f"z_average: {len(differences)} differences and scales {list(scales)}, expected one > 0 each")
    count = len(differences)
    value = math.fsum(one.value / scale for one, scale in zip(differences, scales, strict=True)) / count
    se = math.sqrt(math.fsum((one.se / scale) ** 2 for one, scale in zip(differences, scales, strict=True))) / count
    half = normal_quantile(0.5 + confidence / 2) * se
    p = 2 * (1 - NormalDist().cdf(abs(value) / se)) if se > 0 else float(value == 0)
    return Pooled(value=value, se=se, low=value - half, high=value + half, p=p)


def _between(effects: Sequence[float], variances: Sequence[float]) -> float:
    """Return DerSimonian and Laird's variance between benchmarks, at least 0."""
    weights = [1 / variance for variance in variances]
    total = math.fsum(weights)
    fixed = math.fsum(w * e for w, e in zip(weights, effects, strict=True)) / total
    q = math.fsum(w * (e - fixed) ** 2 for w, e in zip(weights, effects, strict=True))
    scale = total - math.fsum(w * w for w in weights) / total
    return max(0.0, (q - (len(effects) - 1)) / scale)
