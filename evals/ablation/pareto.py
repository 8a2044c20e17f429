"""Which settings are worth their cost: those that no cheaper setting matches, on the numbers and beyond their noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evals.ablation.stats import Difference, holm, tost

Between = Callable[[int, int], Difference]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A setting that costs no more than the best one: its p of being equivalent to it, adjusted by Holm's method."""

    index: int
    cost: float
    difference: Difference
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest:
    """The cheapest setting within a margin of the best one, or None when nothing cheaper is shown to be."""

    best: int
    chosen: int | None
    margin: float
    candidates: tuple[Candidate, ...]


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Return the indices of the settings that no other beats, by rising cost.

    One setting beats another when it costs no more and scores no less, and differs in one of the two; of equal ones
    the first stays.
    """
    if len(costs) != len(scores):
        raise ValueError(f"pareto_front: {len(costs)} costs for {len(scores)} scores")
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i], i))
    front: list[int] = []
    for i in order:
        if not front or scores[i] > scores[front[-1]]:
            front.append(i)
    return front


def statistical_front(costs: Sequence[float], between: Between, margin: float) -> list[int]:
    """Return the indices of the settings that no cheaper one is shown to match, by rising cost.

    A cheaper setting b beats a when the lower end of the interval of score(b) - score(a) is at least -margin.
    between(b, a): that paired difference. Wide intervals beat nothing, so little data leaves many settings.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], i))
    return [a for a in order if not any(costs[b] < costs[a] and between(b, a).low >= -margin for b in order)]


def knee(costs: Sequence[float], scores: Sequence[float]) -> int | None:
    """Return where the front bends most: the setting farthest above the line between the front's ends.

    Costs on a log scale, both axes from 0 to 1; None with fewer than three settings on the front or none above it.
    """
    front = pareto_front(costs, scores)
    if len(front) < 3 or costs[front[0]] <= 0:
        return None
    first, last = front[0], front[-1]
    width, height = math.log(costs[last] / costs[first]), scores[last] - scores[first]
    above = {i: (scores[i] - scores[first]) / height - math.log(costs[i] / costs[first]) / width for i in front[1:-1]}
    best = max(above, key=lambda i: above[i])
    return best if above[best] > 1e-9 else None


def cheapest_within(
    costs: Sequence[float], scores: Sequence[float], between: Between, margin: float, alpha: float = 0.05
) -> Cheapest:
    """Return the cheapest setting that two one-sided tests show to be within `margin` of the best-scoring one.

    Only settings cheaper than the best are tried; their p values are adjusted for being several.
    """
    if not costs or len(costs) != len(scores):
        raise ValueError(f"cheapest_within: expected a cost a score, found {len(costs)} and {len(scores)}")
    best = max(range(len(scores)), key=lambda i: (scores[i], -costs[i]))
    tried = [i for i in sorted(range(len(costs)), key=lambda i: costs[i]) if costs[i] < costs[best]]
    differences = [between(i, best) for i in tried]
    adjusted = holm([tost(difference, margin) for difference in differences])
    candidates = tuple(
        Candidate(index=i, cost=costs[i], difference=difference, p=p)
        for i, difference, p in zip(tried, differences, adjusted, strict=True)
    )
    chosen = next((one.index for one in candidates if one.p < alpha), None)
    return Cheapest(best=best, chosen=chosen, margin=margin, candidates=candidates)
