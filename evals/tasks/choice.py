"""What benchmarks of choices share: asked in a wording, read by the cascade, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from evals.sample import LABELS, Sample
from evals.task import Parsed, Task
from evals.tasks.clips import WHOLE
from evals.tasks.matching import CHOICE, parse_sample, score_sample
from evals.tasks.wording import Wording, wording


class Choice(Task):
    """A task whose samples all have options. prompt_form: a key of `wordings`, or a form of evals.prompts."""

    prompt_form: str
    wordings: ClassVar[Mapping[str, Wording]] = {}
    sampling: ClassVar[str] = WHOLE

    @property
    def version(self) -> str:
        """Return prompt form, what is seen of a clip, and the parser of choices."""
        return " ".join(part for part in (self.form, self.sampling, CHOICE) if part)

    @property
    def form(self) -> str:
        """Return what the words depend on: the prompt form."""
        return self.prompt_form

    @property
    def opening(self) -> str:
        """Return what the wording lets the assistant's turn begin with."""
        return wording(self.prompt_form, self.wordings).opening

    def prompt(self, sample: Sample) -> str:
        """Return the question and its options in the wording of `prompt_form`."""
        return wording(self.prompt_form, self.wordings).ask(sample.question, sample.options)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the label read in the text."""
        return parse_sample(sample, text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 for the right option, else 0."""
        return score_sample(sample, parsed)


def label_of(option: str, options: tuple[str, ...]) -> str:
    """Return the label of the option with this text; equal options mean the first. ValueError where none is equal."""
    if option not in options:
        raise ValueError(f"answer {option!r}, expected one of the options {list(options)}")
    return LABELS[options.index(option)]


def label_at(index: int, options: tuple[str, ...]) -> str:
    """Return the label of the option at `index`; ValueError where there is none."""
    if not 0 <= index < len(options):
        raise ValueError(f"answer {index}, expected 0 to {len(options) - 1}")
    return LABELS[index]
