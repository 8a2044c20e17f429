"""What LLaVA-Bench's two parts share: free answers, each judged beside a reference, 1 to 10 for both."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.parse import parse_verbatim
from evals.prompts import OPEN, ask
from evals.sample import Sample
from evals.task import Parsed
from evals.tasks.judged import judge_form
from evals.tasks.shapes import ImageTask

if TYPE_CHECKING:
    from evals.judge.form import JudgeForm


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideReference(ImageTask):
    """The figure is the relative score: 100 times the sum of the model's scores over the sum of the reference's.

    A reply of the judge that cannot be read is a judge error: counted, and in no mean. Scripts in use put -1 there.
    """

    prompt_form: str = OPEN
    max_new_tokens: int = 1024

    @property
    @abstractmethod
    def form(self) -> str:
        """Return the name of the judge's form."""

    @property
    def version(self) -> str:
        """Return prompt form and the judge's form."""
        return f"{self.prompt_form} {self.form}"

    @property
    def judge(self) -> JudgeForm | None:
        """Return the judge's form."""
        return judge_form(self.form)

    @property
    def top(self) -> float:
        """Return 10, the judge's best score."""
        return 10.0

    def prompt(self, sample: Sample) -> str:
        """Return the bare question."""
        return ask(self.prompt_form, sample.question)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the text as it is said."""
        return parse_verbatim(text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 0: a judge's verdict comes in its place, and without one no figure means anything."""
        return 0.0
