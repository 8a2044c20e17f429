"""The distributions the statistics need: normal, Student t, binomial at one half, and the incomplete beta behind t.

Written with the standard library alone, so that pricing and re-reading a sweep needs no scientific stack.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

_TINY = 1e-300
_EPSILON = 1e-15


def normal_quantile(probability: float) -> float:
    """Return z with P[Z <= z] = probability, 0 < probability < 1."""
    return NormalDist().inv_cdf(probability)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for 0 <= x <= 1 and a, b > 0."""
    if not 0.0 <= x <= 1.0:
        raise ValueError(f"beta_cdf: expected 0 <= x <= 1, found {x}")
    if x in (0.0, 1.0):
        return x
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # the continued fraction converges fast below the mean; use the symmetry above it
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(x, a, b) / a
    return 1.0 - front * _beta_fraction(1.0 - x, b, a) / b


def t_cdf(t: float, df: float) -> float:
    """Return P[T <= t] of Student's t with df > 0 degrees of freedom."""
    if df <= 0:
        raise ValueError(f"t_cdf: expected df > 0, found {df}")
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * beta_cdf(df / (df + t * t), df / 2.0, 0.5)
    return 1.0 - tail if t > 0 else tail


def t_two_sided(t: float, df: float) -> float:
    """Return P[|T| >= |t|] of Student's t, accurate for large |t| too."""
    if math.isinf(t):
        return 0.0
    return min(1.0, beta_cdf(df / (df + t * t), df / 2.0, 0.5))


@cache
def t_quantile(probability: float, df: float) -> float:
    """Return t with P[T <= t] = probability, 0 < probability < 1, by bisection to 1e-12 relative."""
    if not 0.0 < probability < 1.0:
        raise ValueError(f"t_quantile: expected 0 < probability < 1, found {probability}")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < probability:
        high *= 2.0
    while high - low > 1e-12 * max(1.0, high):
        middle = 0.5 * (low + high)
        if t_cdf(middle, df) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def fair_binomial_cdf(k: int, n: int) -> float:
    """Return P[Bin(n, 1/2) <= k], exact: whole numbers until the last division."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    term, total = 1, 1
    for i in range(k):
        term = term * (n - i) // (i + 1)
        total += term
    return total / (1 << n)


def fair_binomial_pmf(k: int, n: int) -> float:
    """Return P[Bin(n, 1/2) = k], exact."""
    return math.comb(n, k) / (1 << n) if 0 <= k <= n else 0.0


def _beta_fraction(x: float, a: float, b: float) -> float:
    # Lentz's method for the continued fraction of the incomplete beta function
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + even * d)
        c = _away_from_zero(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / _away_from_zero(1.0 + odd * d)
        c = _away_from_zero(1.0 + odd / c)
        step = d * c
        value *= step
        if abs(step - 1.0) < _EPSILON:
            return value
    raise ArithmeticError(f"incomplete beta did not converge: x {x}, a {a}, b {b}")


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
