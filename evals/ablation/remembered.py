"""A task that draws or reads its samples once, however often a sweep asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.judge.form import JudgeForm
from evals.sample import Sample
from evals.task import Figure, Parsed, Task


class Remembered(Task):
    """The task `inner` with its samples kept after the first call."""

    def __init__(self, inner: Task) -> None:
        self._inner = inner
        self._samples: Sequence[Sample] | None = None

    @property
    def name(self) -> str:
        """Return the name of the task."""
        return self._inner.name

    @property
    def version(self) -> str:
        """Return the version of the task."""
        return self._inner.version

    @property
    def max_new_tokens(self) -> int:
        """Return the longest answer, in tokens."""
        return self._inner.max_new_tokens

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the task's further rows."""
        return self._inner.groups

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return the task's further figures."""
        return self._inner.figures

    @property
    def top(self) -> float:
        """Return the best score of one sample."""
        return self._inner.top

    @property
    def judge(self) -> JudgeForm | None:
        """Return what a judge is asked."""
        return self._inner.judge

    @property
    def opening(self) -> str:
        """Return the words that the assistant's turn begins with."""
        return self._inner.opening

    def samples(self) -> Sequence[Sample]:
        """Return the task's samples."""
        if self._samples is None:
            self._samples = self._inner.samples()
        return self._samples

    def prompt(self, sample: Sample) -> str:
        """Return the user's turn."""
        return self._inner.prompt(sample)

    def prompt_at(self, sample: Sample, times: Sequence[Sequence[float]]) -> str:
        """Return the user's turn where it depends on the frames."""
        return self._inner.prompt_at(sample, times)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the answer read in `text`."""
        return self._inner.parse(sample, text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return the score of a parsed answer."""
        return self._inner.score(sample, parsed)
