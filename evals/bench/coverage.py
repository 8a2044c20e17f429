"""How often 95 % intervals hold the truth, on simulated clustered data: `python -m evals.bench.coverage`.

Each design draws benchmarks whose clips have a difficulty of their own (a beta distribution with correlation rho
between questions of one clip), takes the interval of the accuracy, of a paired difference and of two figures, and
counts how often it holds the true value. The plain Wilson interval, which takes every question for independent, stands
beside.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evals.ablation.stats import paired_difference
from evals.metrics.bootstrap import Method, bootstrap_sums
from evals.metrics.interval import clustered_se, mean_interval, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """clips of so many questions each, answered rightly with chance `accuracy` and correlation `rho` in a clip."""

    name: str
    clips: int
    questions: int
    accuracy: float
    rho: float
    gain: float = 0.03

    def draw(self, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Return two settings' scores [clips, questions] of 0 and 1; the second is better by `gain` on average.

        It loses 5 % of the right answers and wins a share of the wrong ones: gains differ from clip to clip.
        """
        shape = (self.clips, self.questions)
        ease = np.full(self.clips, self.accuracy)
        if self.rho > 0:
            spread = (1 - self.rho) / self.rho
            ease = random.beta(self.accuracy * spread, (1 - self.accuracy) * spread, size=self.clips)
        base = random.rand(*shape) < ease[:, None]
        won = random.rand(*shape) < (self.gain + LOST * self.accuracy) / (1 - self.accuracy)
        kept = random.rand(*shape) >= LOST
        better = np.where(base, kept, won)
        return base.astype(float), better.astype(float)


LOST = 0.05
DESIGNS = (
    Design(name="many a clip", clips=200, questions=9, accuracy=0.75, rho=0.05),
    Design(name="three a clip", clips=300, questions=3, accuracy=0.6, rho=0.15),
    Design(name="four alike", clips=200, questions=4, accuracy=0.65, rho=0.6),
    Design(name="few clips", clips=60, questions=3, accuracy=0.5, rho=0.3),
    Design(name="no clusters", clips=400, questions=1, accuracy=0.7, rho=0.0),
)


def covered(
    design: Design, trials: int, seed: int, replicates: int, method: Method, bootstraps: int | None = None
) -> dict[str, float]:
    """Return the share of trials whose interval holds the truth, by its name; bootstraps: in so many trials only."""
    random = np.random.RandomState(seed)
    hits: dict[str, list[bool]] = {}
    names = [str(clip) for clip in range(design.clips)]
    clusters = [name for name in names for _ in range(design.questions)]
    truths = _truths(design)
    for trial in range(trials):
        base, better = design.draw(random)
        found = _means(base, better, names, clusters)
        if bootstraps is None or trial < bootstraps:
            found |= _figures(base, names, replicates, trial, method)
        for name, (low, high) in found.items():
            hits.setdefault(name, []).append(low <= truths[name] <= high)
    return {name: sum(held) / len(held) for name, held in hits.items()}


def _truths(design: Design) -> dict[str, float]:
    random = np.random.RandomState(12345)
    many = np.concatenate([design.draw(random)[0] for _ in range(4000)])
    plus, f1 = (_ratio(_parts(many, kind).sum(axis=0).tolist(), kind) for kind in ("plus", "F1"))
    truths = {"plain Wilson": design.accuracy, "accuracy": design.accuracy, "difference": design.gain}
    return {**truths, "accuracy+ (bootstrap)": plus, "F1 (bootstrap)": f1}


def _means(
    base: np.ndarray, better: np.ndarray, names: Sequence[str], clusters: Sequence[str]
) -> dict[str, tuple[float, float]]:
    scores, n = base.ravel().tolist(), base.size
    mean = math.fsum(scores) / n
    se = clustered_se([(score - mean) / n for score in scores], clusters)
    difference = paired_difference(better.ravel().tolist(), scores, clusters, ["t"] * n)
    return {
        "plain Wilson": wilson(math.fsum(scores), n),
        "accuracy": mean_interval(mean, se, n, len(names), binary=True),
        "difference": (difference.low, difference.high),
    }


def _figures(
    base: np.ndarray, names: Sequence[str], replicates: int, seed: int, method: Method
) -> dict[str, tuple[float, float]]:
    found = {}
    for name, kind in (("accuracy+ (bootstrap)", "plus"), ("F1 (bootstrap)", "F1")):
        parts = dict(zip(names, _parts(base, kind).tolist(), strict=True))
        interval = bootstrap_sums(parts, _total(kind), replicates=replicates, seed=seed, method=method)
        found[name] = (interval.low, interval.high)
    return found


def _parts(scores: np.ndarray, kind: str) -> np.ndarray:
    """Return of each clip what adds up: whether all is right and 1, or hits, said and asked, every other one a yes."""
    if kind == "plus":
        columns = [scores.all(axis=1), np.ones(len(scores))]
    else:
        asked = np.arange(scores.shape[1]) % 2 == 0
        said = np.where(asked, scores, 1 - scores)
        columns = [(said * asked).sum(axis=1), said.sum(axis=1), np.full(len(scores), asked.sum())]
    return np.stack(columns, axis=1).astype(float)


def _ratio(sums: Sequence[float], kind: str) -> float:
    return sums[0] / sums[1] if kind == "plus" else 2 * sums[0] / (sums[1] + sums[2])


def _total(kind: str) -> Callable[[Sequence[float]], float]:
    return lambda sums: _ratio(sums, kind)


def main() -> None:
    """Print one line a design: coverage in percent, with the standard error of the simulation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--bootstraps", type=int, default=1000, help="of the trials, so many are bootstrapped too")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--method", choices=("percentile", "bca"), default="bca")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    errors = [100 * math.sqrt(0.95 * 0.05 / count) for count in (given.trials, min(given.bootstraps, given.trials))]
    print(f"{given.trials} trials a design, standard error {errors[0]:.2f} points, of bootstraps {errors[1]:.2f}")
    for design in DESIGNS:
        found = covered(design, given.trials, given.seed, given.replicates, given.method, given.bootstraps)
        cells = "  ".join(f"{name} {100 * share:.1f}" for name, share in found.items())
        print(f"{design.name:15} {design.clips} x {design.questions}, rho {design.rho}: {cells}", flush=True)


if __name__ == "__main__":
    main()
