"""Which settings are worth their cost: those that no cheaper setting matches."""

from __future__ import annotations

from collections.abc import Sequence


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
