"""Figures of judged answers: the correct ones, scores relative to a reference, accuracy with a judge's help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.task import Figure

if TYPE_CHECKING:
    from evals.result import Scored


def verdict_figures(samples: Sequence[Scored], top: float, helped: bool) -> tuple[Figure, ...]:
    """Return the figures that the verdicts of `samples` allow; `top` is the best score.

    helped: a judge read some answers that the task's parser did not; the rows stay without its help.
    """
    verdicts = [item.verdict for item in samples if item.verdict is not None]
    figures = []
    if helped:
        figures.append(Figure.of_sums("accuracy with judge", _with_judge, _ratio))
    decided = [verdict for verdict in verdicts if verdict.correct is not None]
    # a score that is 1 where it is correct and 0 elsewhere says the same
    if any(top != 1 or verdict.score != float(verdict.correct is True) for verdict in decided):
        figures.append(Figure.of_sums("judged correct", _correct, _ratio))
    if any(verdict.reference is not None for verdict in verdicts):
        figures.append(Figure.of_sums("relative score", _relative, lambda sums: 100 * _ratio(sums), unit="%"))
    return tuple(figures)


def _with_judge(samples: Sequence[Scored]) -> list[float]:
    return [math.fsum(item.score if item.verdict is None else item.verdict.score for item in samples), len(samples)]


def _correct(samples: Sequence[Scored]) -> list[float]:
    # what the judge was not asked about has no answer, which is not correct
    right = sum(item.verdict is not None and item.verdict.correct is True for item in samples)
    return [float(right), float(len(samples))]


def _relative(samples: Sequence[Scored]) -> list[float]:
    # a failed answer has no verdict and no reference's score: it is in the failure counts only
    both = [(v.score, v.reference) for item in samples if (v := item.verdict) is not None and v.reference is not None]
    return [math.fsum(score for score, _ in both), math.fsum(reference for _, reference in both)]


def _ratio(sums: Sequence[float]) -> float:
    return sums[0] / sums[1] if sums[1] else math.nan
