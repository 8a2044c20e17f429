"""Statistics against hand-worked and published numbers, and coverage of the intervals by simulation."""

from __future__ import annotations

import math
import random

import pytest

from evals.ablation import distributions, stats

NAMES = [str(i) for i in range(200)]


@pytest.mark.parametrize(
    ("df", "expected"), [(1, 12.7062047), (2, 4.3026527), (5, 2.5705818), (10, 2.2281389), (30, 2.0422725)]
)
def test_t_quantile_matches_printed_tables(df: int, expected: float) -> None:
    assert distributions.t_quantile(0.975, df) == pytest.approx(expected, abs=1e-6)
    assert distributions.t_quantile(0.025, df) == pytest.approx(-expected, abs=1e-6)
    assert distributions.t_two_sided(expected, df) == pytest.approx(0.05, abs=1e-8)


def test_t_with_one_degree_of_freedom_is_cauchy() -> None:
    for t in (-3.0, -0.5, 0.0, 1.0, 7.0):
        assert distributions.t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-12)


def test_fair_binomial_is_exact_by_hand() -> None:
    # rows of Pascal's triangle
    assert distributions.fair_binomial_cdf(2, 10) == (1 + 10 + 45) / 1024
    assert distributions.fair_binomial_pmf(3, 6) == 20 / 64
    assert distributions.fair_binomial_cdf(-1, 5) == 0.0
    assert distributions.fair_binomial_cdf(5, 5) == 1.0
    assert distributions.fair_binomial_cdf(1500, 3001) == pytest.approx(0.5, abs=1e-12)


# Newcombe, Statistics in Medicine 17 (1998), table I, method 3
@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_newcombe(hits: int, n: int, low: float, high: float) -> None:
    assert stats.wilson(hits, n) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_one_cluster_tells_nothing() -> None:
    difference = stats.paired_difference([1.0, 1.0], [0.0, 0.0], ["clip"] * 2, ["t"] * 2)
    assert (difference.low, difference.high, difference.p) == (-1.0, 1.0, 1.0)


def test_clustered_se_by_hand() -> None:
    # d = 1 1 | 0 0 | -1 0; mean 1/6; cluster sums of d - mean: 5/3, -1/3, -4/3; SE = sqrt(3/2 * (42/9) / 36)
    new = [1.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    base = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    difference = stats.paired_difference(new, base, ["a", "a", "b", "b", "c", "c"], ["t"] * 6)
    assert difference.value == pytest.approx(1 / 6)
    assert difference.se == pytest.approx(math.sqrt(1.5 * (42 / 9) / 36))
    assert difference.df == 2
    # the t interval reaches beyond 1, where no difference of two scores can be
    assert (difference.low, difference.high) == (-1.0, 1.0)
    narrow = stats.paired_difference(new, base, ["a", "a", "b", "b", "c", "c"], ["t"] * 6, confidence=0.5)
    assert narrow.high - narrow.value == pytest.approx(0.8164966 * narrow.se, rel=1e-6)


def test_no_disagreement_still_leaves_an_interval() -> None:
    difference = stats.paired_difference([1.0] * 20, [1.0] * 20, NAMES[:20], ["t"] * 20)
    assert (difference.value, difference.p) == (0.0, 1.0)
    assert difference.high == pytest.approx(0.1611, abs=1e-4)
    every = stats.paired_difference([1.0] * 5, [0.0] * 5, NAMES[:5], ["t"] * 5)
    assert every.p == 2 / 32


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="3 new scores against 2"):
        stats.paired_difference([1.0] * 3, [1.0] * 2, NAMES[:3], ["t"] * 3)


def test_mcnemar_by_hand() -> None:
    # 8 wins, 2 losses: 2 * (1 + 10 + 45) / 1024; the mid-p gives back one P[Bin = 2] = 45 / 1024
    result = stats.mcnemar([True] * 8 + [False] * 2 + [True] * 5, [False] * 8 + [True] * 2 + [True] * 5)
    assert (result.wins, result.losses) == (8, 2)
    assert result.p_exact == 112 / 1024
    assert result.p_mid == 67 / 1024


def test_mcnemar_with_equal_flips_and_with_none() -> None:
    even = stats.mcnemar([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)
    assert (even.p_exact, even.p_mid) == (1.0, 1.0 - 10 / 64)
    none = stats.mcnemar([True, False], [True, False])
    assert (none.p_exact, none.p_mid) == (1.0, 1.0)


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert stats.holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.benjamini_hochberg(p_values) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert stats.holm([]) == []


def test_tost_by_hand() -> None:
    # t = (0.002 - 0.01) / 0.004 = -2 at 30 degrees of freedom: P = 0.0273; the other side is -3
    difference = stats.Difference(value=0.002, se=0.004, df=30, low=0.0, high=0.0, p=1.0)
    assert stats.tost(difference, 0.01) == pytest.approx(0.027312, abs=1e-5)
    far = stats.Difference(value=0.05, se=0.004, df=30, low=0.0, high=0.0, p=0.0)
    assert stats.tost(far, 0.01) > 0.999


@pytest.mark.parametrize(
    ("n", "disagreement", "points"), [(5349, 0.06, 0.9), (8564, 0.10, 1.0), (900, 0.20, 4.2), (191, 0.15, 7.8)]
)
def test_smallest_detectable_difference(n: int, disagreement: float, points: float) -> None:
    assert 100 * stats.smallest_detectable(n, disagreement) == pytest.approx(points, abs=0.06)


def test_bootstrap_is_reproducible_and_close_to_the_t_interval() -> None:
    draw = random.Random(3)
    pairs = [(float(draw.random() < 0.7), float(draw.random() < 0.5)) for _ in range(120)]

    def gain(items: object) -> float:
        return math.fsum(a - b for a, b in items) / len(items)  # type: ignore[attr-defined,arg-type]

    first = stats.cluster_bootstrap(pairs, NAMES[:120], gain, replicates=1000, seed=7)
    again = stats.cluster_bootstrap(pairs, NAMES[:120], gain, replicates=1000, seed=7)
    other = stats.cluster_bootstrap(pairs, NAMES[:120], gain, replicates=1000, seed=8)
    assert first == again
    assert first != other
    exact = stats.paired_difference([a for a, _ in pairs], [b for _, b in pairs], NAMES[:120], ["t"] * 120)
    assert first.low == pytest.approx(exact.low, abs=0.03)
    assert first.high == pytest.approx(exact.high, abs=0.03)


def test_bootstrap_draws_whole_clusters() -> None:
    # two clusters of equal samples: a replicate's mean can only be 0, 1/2 or 1
    seen: set[float] = set()

    def mean(items: object) -> float:
        value = sum(items) / len(items)  # type: ignore[call-overload,arg-type]
        seen.add(value)
        return value

    stats.cluster_bootstrap([0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"], mean, replicates=200, seed=1)
    assert seen == {0.0, 0.5, 1.0}


def test_a_mean_over_strata_weighs_tasks_alike() -> None:
    # three samples of task a gain 1 each, one of task b loses 1: (1 - 1) / 2
    difference = stats.paired_difference([1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], NAMES[:4], ["a", "a", "a", "b"])
    assert difference.value == 0.0


def test_intervals_cover_the_truth_on_clustered_data() -> None:
    # 60 clips, 3 questions each; an easy or a hard clip shifts all of its questions in both settings
    draw = random.Random(20)
    trials, hits = 600, 0
    clusters = [clip for clip in NAMES[:60] for _ in range(3)]
    for _ in range(trials):
        new, base = [], []
        for _ in range(60):
            ease = draw.choice((-0.25, 0.25))
            # the gain of the new setting varies from clip to clip around 0.15
            gain = draw.choice((0.0, 0.3))
            for _ in range(3):
                base.append(float(draw.random() < 0.4 + ease))
                new.append(float(draw.random() < 0.4 + ease + gain))
        difference = stats.paired_difference(new, base, clusters, ["t"] * 180)
        hits += difference.low <= 0.15 <= difference.high
    # the standard error of a coverage of 0.95 in 600 trials is 0.009
    assert hits / trials == pytest.approx(0.95, abs=0.025)


def test_paired_test_holds_its_level_without_an_effect() -> None:
    draw = random.Random(5)
    trials, false_alarms = 600, 0
    for _ in range(trials):
        pairs = [(draw.random() < 0.5, draw.random() < 0.5) for _ in range(80)]
        false_alarms += stats.mcnemar([a for a, _ in pairs], [b for _, b in pairs]).p_mid <= 0.05
    assert 0.02 <= false_alarms / trials <= 0.07
