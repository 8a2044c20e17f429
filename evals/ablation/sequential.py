"""Look at a comparison before all samples are in, without more false claims: alpha spending.

Lan and DeMets, "Discrete Sequential Boundaries for Clinical Trials", Biometrika 70 (1983): of the chance of a false
claim, alpha(t) may be spent when a share t of the samples is in. "obrien_fleming" spends next to nothing early, so that
the last look is almost a plain test; "pocock" spends evenly. Decisions are by repeated confidence intervals (Jennison
and Turnbull, 1989): at each look the difference plus or minus the boundary times its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

from evals.ablation.distributions import t_quantile
from evals.ablation.stats import Difference, Interval

Spending = Literal["obrien_fleming", "pocock"]
Decision = Literal["better", "worse", "equivalent", "go on"]
_NORMAL = NormalDist()
# points of the grid between the boundaries
_POINTS = 401


def spent(share: float, alpha: float = 0.05, spending: Spending = "obrien_fleming") -> float:
    """Return the chance of a false claim that may be used up when `share` of the samples, in (0, 1], is in."""
    if spending not in get_args(Spending):
        raise ValueError(f"spending: got {spending!r}, expected one of {get_args(Spending)}")
    if not 0 < share <= 1:
        raise ValueError(f"share of samples: expected 0 < t <= 1, got {share}")
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    # half of it on either side
    return 2 * math.erfc(_NORMAL.inv_cdf(1 - alpha / 4) / math.sqrt(2 * share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """A plan of looks: after which shares of the samples, ascending to at most 1."""

    shares: tuple[float, ...]
    alpha: float = 0.05
    spending: Spending = "obrien_fleming"

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip(self.shares, self.shares[1:], strict=False))
        if not self.shares or not ascending or self.shares[0] <= 0 or self.shares[-1] > 1:
            raise ValueError(f"looks: shares {self.shares}, expected ascending numbers in (0, 1]")

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Return the two-sided boundary of |z| at each look."""
        return tuple(_boundaries(self.shares, [spent(t, self.alpha, self.spending) for t in self.shares]))

    def interval(self, difference: Difference, look: int) -> Interval:
        """Return the interval that holds at all looks together; Student's quantile at the boundary's level."""
        level = 2 * (1 - _NORMAL.cdf(self.boundaries[look]))
        if not math.isfinite(difference.se) or difference.df < 1 or level < 1e-15:
            return Interval(value=difference.value, low=-math.inf, high=math.inf)
        if difference.se == 0:
            return Interval(value=difference.value, low=difference.low, high=difference.high)
        half = t_quantile(1 - level / 2, difference.df) * difference.se
        return Interval(value=difference.value, low=difference.value - half, high=difference.value + half)

    def decide(self, difference: Difference, look: int, margin: float | None = None) -> Decision:
        """Return what may be claimed now: the interval excludes 0, or lies within the margin; else go on.

        A difference that is both, real and smaller than the margin, counts as equivalent.
        """
        found = self.interval(difference, look)
        if margin is not None and -margin < found.low and found.high < margin:
            return "equivalent"
        if found.low > 0:
            return "better"
        return "worse" if found.high < 0 else "go on"


def _boundaries(shares: Sequence[float], totals: Sequence[float]) -> list[float]:
    """Return boundaries that spend `totals`: the density of the sum of the samples is carried from look to look.

    At look k the statistic is S_k = z_k sqrt(t_k), whose steps are normal with variance t_k - t_{k-1} (Armitage,
    McPherson and Rowe, 1969). What has not crossed lies between the boundaries, on a grid for Simpson's rule.
    """
    found: list[float] = []
    grid: list[float] = []
    mass: list[float] = []
    before_share, before_total = 0.0, 0.0
    for share, total in zip(shares, totals, strict=True):
        step = math.sqrt(share - before_share)
        allowed = total - before_total
        if not grid:
            bound = _NORMAL.inv_cdf(1 - allowed / 2) * math.sqrt(share)
        else:
            bound = _solve(grid, mass, step, allowed)
        found.append(bound / math.sqrt(share))
        points = [-bound + 2 * bound * i / (_POINTS - 1) for i in range(_POINTS)]
        density = [_density(point, grid, mass, step) for point in points]
        width = 2 * bound / (_POINTS - 1)
        mass = [value * width / 3 * _simpson(i) for i, value in enumerate(density)]
        grid, before_share, before_total = points, share, total
    return found


def _density(point: float, grid: Sequence[float], mass: Sequence[float], step: float) -> float:
    scale = 1 / (step * math.sqrt(2 * math.pi))
    if not grid:
        return scale * math.exp(-0.5 * (point / step) ** 2)
    inverse = -0.5 / (step * step)
    return scale * math.fsum(m * math.exp(inverse * (point - g) ** 2) for g, m in zip(grid, mass, strict=True))


def _solve(grid: Sequence[float], mass: Sequence[float], step: float, allowed: float) -> float:
    """Return the bound that |S| exceeds with chance `allowed` at this look, by bisection."""
    low, high, scale = 0.0, 20.0, 1 / (step * math.sqrt(2))
    for _ in range(60):
        middle = 0.5 * (low + high)
        # erfc keeps its digits far out
        beyond = (math.erfc(scale * (middle - g)) + math.erfc(scale * (middle + g)) for g in grid)
        over = 0.5 * math.fsum(m * both for m, both in zip(mass, beyond, strict=True))
        low, high = (middle, high) if over > allowed else (low, middle)
    return 0.5 * (low + high)


def _simpson(index: int) -> int:
    if index in (0, _POINTS - 1):
        return 1
    return 4 if index % 2 else 2
