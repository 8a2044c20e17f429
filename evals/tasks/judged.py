"""What benchmarks of open questions about clips share: a judge decides, or equality of short texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from evals.parse import normalise, parse_text
from evals.sample import Sample
from evals.task import Figure, Parsed, Task
from evals.tasks.clips import WHOLE
from evals.tasks.matching import EXACT, score_sample

if TYPE_CHECKING:
    from evals.judge.form import JudgeForm
    from evals.result import Scored

Metric = Literal["judge", "exact"]
OPEN_QA = "open-qa@v1"


class ShortAnswers(Task):
    """A task whose answers are a word or two.

    metric: "judge", yes or no and 0 to 5 by the form open-qa, with the share of equal texts as a figure beside it; or
    "exact", that share as the score, without a judge.
    """

    prompt_form: str
    metric: Metric

    @property
    def version(self) -> str:
        """Return prompt form, what is seen of a clip, and the judge's form or the comparison."""
        return f"{self.prompt_form} {WHOLE} {EXACT if self.metric == 'exact' else OPEN_QA}"

    @property
    def judge(self) -> JudgeForm | None:
        """Return the form open-qa, None where equality decides."""
        return None if self.metric == "exact" else judge_form(OPEN_QA)

    @property
    def top(self) -> float:
        """Return 5, the judge's best score, or 1 where equality decides."""
        return 1.0 if self.metric == "exact" else 5.0

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return the share of equal texts, beside a judge."""
        return () if self.metric == "exact" else (exact_match_figure(),)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the normalised text."""
        return parse_text(text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 for a text equal to an accepted one, else 0; a judge's verdict comes in its place."""
        return score_sample(sample, parsed)


class JudgedText(Task):
    """A task whose answers are sentences, which only a judge can score: from 0 to 5."""

    @property
    def top(self) -> float:
        """Return 5, the judge's best score."""
        return 5.0

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the normalised text."""
        return parse_text(text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 for the reference's own words, else 0: without a judge's verdict a figure means nothing."""
        return score_sample(sample, parsed)


def judge_form(name: str) -> JudgeForm:
    """Return the judge's form called `name`."""
    # judges bring their words along; a task that is only asked needs none of them
    from evals.judge.forms import FORMS

    return FORMS[name]


def exact_match_figure() -> Figure:
    """Return the share of answers equal to the canonical right one after normalisation."""

    def parts(samples: Sequence[Scored]) -> list[float]:
        return [sum(item.prediction.answer == normalise(item.gold) for item in samples), len(samples)]

    return Figure.of_sums("exact match", parts, lambda sums: sums[0] / sums[1] if sums[1] else math.nan)
