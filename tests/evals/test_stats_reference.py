"""Statistics equal to scipy's and statsmodels' to 1e-9, wherever those have them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evals.ablation import across, distributions, permutation, power, stats
from evals.metrics.bootstrap import bootstrap, bootstrap_sums
from evals.metrics.interval import clustered_se, wilson

scipy_stats = pytest.importorskip("scipy.stats")
pytest.importorskip("statsmodels.api")

EXACT = {"rel": 1e-9, "abs": 1e-12}


def draws(seed: int = 0, count: int = 240) -> tuple[list[float], list[float], list[str]]:
    """Return paired 0/1 scores of `count` samples in clusters of three whose samples are alike."""
    random = np.random.RandomState(seed)
    ease = np.repeat(random.rand(count // 3), 3)
    new = (random.rand(count) < 0.2 + 0.7 * ease).astype(float)
    base = (random.rand(count) < 0.1 + 0.7 * ease).astype(float)
    return new.tolist(), base.tolist(), [f"clip{i // 3}" for i in range(count)]


@pytest.mark.parametrize("df", [1, 2, 3, 7, 30, 250, 8563])
def test_student_and_normal(df: int) -> None:
    for t in (-8.0, -2.5, -0.3, 0.0, 0.01, 1.0, 1.96, 4.4, 30.0):
        assert distributions.t_cdf(t, df) == pytest.approx(scipy_stats.t.cdf(t, df), **EXACT)
        assert distributions.t_two_sided(t, df) == pytest.approx(2 * scipy_stats.t.sf(abs(t), df), rel=1e-9)
    for p in (0.001, 0.025, 0.4, 0.9, 0.975, 0.9999):
        assert distributions.t_quantile(p, df) == pytest.approx(scipy_stats.t.ppf(p, df), rel=1e-9)
        assert distributions.normal_quantile(p) == pytest.approx(scipy_stats.norm.ppf(p), rel=1e-9)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (8, 2), (5, 5), (37, 61), (400, 310), (2000, 1900)])
def test_mcnemar(wins: int, losses: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    found = stats.mcnemar([True] * wins + [False] * losses, [False] * wins + [True] * losses)
    theirs = mcnemar([[3, wins], [losses, 4]], exact=True)
    assert found.p_exact == pytest.approx(theirs.pvalue, **EXACT)
    if wins + losses:
        fewer, flips = min(wins, losses), wins + losses
        assert found.p_exact == pytest.approx(scipy_stats.binomtest(fewer, flips, 0.5).pvalue, **EXACT)
        # mid-p: half of the chance of what was seen
        seen = scipy_stats.binom.pmf(fewer, flips, 0.5)
        mid = 1 - seen / 2 if wins == losses else 2 * scipy_stats.binom.cdf(fewer, flips, 0.5) - seen
        assert found.p_mid == pytest.approx(mid, rel=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (1, 29), (81, 263), (263, 263), (4000, 4996)])
def test_wilson(hits: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    assert wilson(hits, n) == pytest.approx(proportion_confint(hits, n, method="wilson"), **EXACT)


def test_clustered_error_is_that_of_a_regression_on_a_constant() -> None:
    import statsmodels.api as sm

    new, base, clusters = draws()
    deltas = np.array(new) - np.array(base)
    codes = np.array([int(name[4:]) for name in clusters])
    theirs = sm.OLS(deltas, np.ones(len(deltas))).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    found = stats.paired_difference(new, base, clusters, ["t"] * len(new))
    assert found.value == pytest.approx(theirs.params[0], **EXACT)
    assert found.se == pytest.approx(theirs.bse[0], **EXACT)
    assert found.p == pytest.approx(theirs.pvalues[0], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.conf_int()[0]), **EXACT)


def test_without_clusters_it_is_the_paired_t_test() -> None:
    new, base, _ = draws(1)
    found = stats.paired_difference(new, base, [str(i) for i in range(len(new))], ["t"] * len(new))
    theirs = scipy_stats.ttest_rel(new, base)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), **EXACT)


@pytest.mark.parametrize("margin", [0.02, 0.1, 0.25])
def test_tost(margin: float) -> None:
    from statsmodels.stats.weightstats import ttost_paired

    new, base, _ = draws(2)
    found = stats.paired_difference(new, base, [str(i) for i in range(len(new))], ["t"] * len(new))
    theirs, *_ = ttost_paired(np.array(new), np.array(base), -margin, margin)
    assert stats.tost(found, margin) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("ours", "method"), [(stats.holm, "holm"), (stats.benjamini_hochberg, "fdr_bh")])
def test_corrections(ours, method: str) -> None:
    from statsmodels.stats.multitest import multipletests

    values = [*np.random.RandomState(4).rand(20).round(2).tolist(), 0.001, 0.001, 1.0, 0.0]
    assert ours(values) == pytest.approx(multipletests(values, method=method)[1].tolist(), **EXACT)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_with_the_same_draws(method: str) -> None:
    values = np.random.RandomState(7).gamma(2.0, size=60).round(3)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=800, random_state=np.random.RandomState(11), method=method, vectorized=True
    ).confidence_interval
    names = [f"{i:03d}" for i in range(60)]
    found = bootstrap(values.tolist(), names, np.mean, replicates=800, seed=11, method=method)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    parts = {name: (value, 1.0) for name, value in zip(names, values.tolist(), strict=True)}
    fast = bootstrap_sums(parts, lambda sums: sums[0] / sums[1], replicates=800, seed=11, method=method)
    assert (fast.low, fast.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_sign_flips_counted_in_full() -> None:
    random = np.random.RandomState(3)
    deltas = random.normal(0.4, 1.0, size=11)
    theirs = scipy_stats.permutation_test(
        (deltas, np.zeros(11)), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    names = [str(i) for i in range(11)]
    ours = permutation.sign_flip_p(deltas.tolist(), [0.0] * 11, names, ["t"] * 11)
    assert ours == pytest.approx(theirs.pvalue, rel=1e-9)


def test_power() -> None:
    from statsmodels.stats.power import NormalIndPower

    theirs = NormalIndPower(ddof=0).power(0.03 / math.sqrt(0.12), nobs1=900, alpha=0.05, ratio=0)
    assert power.power_of(0.03, 900, 0.12) == pytest.approx(theirs, rel=1e-9)
    smallest = power.smallest_detectable(900, 0.12)
    assert power.power_of(smallest, 900, 0.12) == pytest.approx(0.8, abs=1e-5)
    assert power.samples_needed(smallest, 0.12) == 900


@pytest.mark.parametrize("small", [True, False])
def test_random_effects(small: bool) -> None:
    from statsmodels.stats.meta_analysis import combine_effects

    effects, errors = [0.02, 0.05, -0.01, 0.08], [0.010, 0.012, 0.02, 0.015]
    differences = [
        stats.Difference(value=e, se=s, df=200, low=0.0, high=0.0, p=1.0) for e, s in zip(effects, errors, strict=True)
    ]
    found = across.random_effects(differences, small=small)
    theirs = combine_effects(np.array(effects), np.array(errors) ** 2, method_re="chi2", use_t=small)
    assert found.value == pytest.approx(theirs.mean_effect_re, **EXACT)
    assert found.tau**2 == pytest.approx(theirs.tau2, **EXACT)
    expected = theirs.sd_eff_w_re_hksj if small else theirs.sd_eff_w_re
    assert found.se == pytest.approx(expected, **EXACT)


def test_clustered_error_of_negatively_related_samples_is_no_root_of_a_negative_number() -> None:
    assert clustered_se([0.1, -0.1, 0.2, -0.2], ["a", "a", "b", "b"]) == 0.0
