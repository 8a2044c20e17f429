"""Figures of yes/no questions: precision, recall and F1 of "yes", and how often "yes" is said.

An answer that is neither yes nor no (unparsed or failed) is no "yes": it lowers recall where yes was right, and counts
in the denominator of the yes ratio. The ratio is of the answers given; some scripts print that of the right ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.task import Figure

if TYPE_CHECKING:
    from evals.result import Scored

YES, NO = "yes", "no"
YES_NO = "yes-no@v1"


def yes_no_figures(kinds: Sequence[str] | None = None, name: str = "") -> tuple[Figure, ...]:
    """Return precision, recall, F1 and yes ratio in [0, 1] over the samples of `kinds`, all of them by default.

    name: put before each figure's name, as "popular ". Right and given answers must be the texts "yes" and "no".
    """

    def over(samples: Sequence[Scored]) -> list[Scored]:
        return [item for item in samples if kinds is None or item.kind in kinds]

    return (
        Figure(name=f"{name}precision", compute=lambda samples: precision(over(samples))),
        Figure(name=f"{name}recall", compute=lambda samples: recall(over(samples))),
        Figure(name=f"{name}F1", compute=lambda samples: f1(over(samples))),
        Figure(name=f"{name}yes ratio", compute=lambda samples: yes_ratio(over(samples))),
    )


def precision(samples: Sequence[Scored]) -> float:
    """Return the share of right ones among the answers "yes"; nan where none is."""
    said = [item for item in samples if item.prediction.answer == YES]
    return _share(sum(item.gold == YES for item in said), len(said))


def recall(samples: Sequence[Scored]) -> float:
    """Return the share of the questions with the right answer "yes" that got it; nan without such questions."""
    asked = [item for item in samples if item.gold == YES]
    return _share(sum(item.prediction.answer == YES for item in asked), len(asked))


def f1(samples: Sequence[Scored]) -> float:
    """Return 2 TP / (2 TP + FP + FN) of "yes"; nan where "yes" is neither right nor said."""
    hits = sum(item.gold == YES and item.prediction.answer == YES for item in samples)
    either = sum((item.gold == YES) + (item.prediction.answer == YES) for item in samples)
    return _share(2 * hits, either)


def yes_ratio(samples: Sequence[Scored]) -> float:
    """Return the share of the samples that were answered "yes"; nan without samples."""
    return _share(sum(item.prediction.answer == YES for item in samples), len(samples))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
