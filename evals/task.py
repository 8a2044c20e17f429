"""A task: where samples come from, how they are asked, and how an answer's text is read and scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.sample import Sample

if TYPE_CHECKING:
    from evals.judge.form import JudgeForm
    from evals.result import Prediction, Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What was read in a text: the answer (None when nothing was), and the rule that read it."""

    answer: str | None
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of a whole run that is no mean of scores: F1, accuracy+ of pairs, a sum over subtasks.

    compute: from the scored samples to the figure, in units of `unit`; its interval is a bootstrap of clusters, so it
    must be defined for any multiset of samples, and nan where it is not (a division by no samples).
    parts, total: of a figure that depends on sums alone, which makes the bootstrap fast; see `of_sums`.
    """

    name: str
    compute: Callable[[Sequence[Scored]], float]
    unit: str = ""
    parts: Callable[[Sequence[Scored]], Sequence[float]] | None = None
    total: Callable[[Sequence[float]], float] | None = None

    @classmethod
    def of_sums(
        cls,
        name: str,
        parts: Callable[[Sequence[Scored]], Sequence[float]],
        total: Callable[[Sequence[float]], float],
        unit: str = "",
    ) -> Figure:
        """Return the figure `total` of sums over clusters: `parts` gives the numbers of one cluster that add up."""

        def compute(samples: Sequence[Scored]) -> float:
            clusters: dict[str, list[Scored]] = {}
            for item in samples:
                clusters.setdefault(item.cluster, []).append(item)
            columns = zip(*(parts(items) for items in clusters.values()), strict=True)
            return total([math.fsum(column) for column in columns]) if clusters else math.nan

        return cls(name=name, compute=compute, unit=unit, parts=parts, total=total)


class Task(ABC):
    """A benchmark: a frozen dataclass whose fields are its settings, with at least these.

    name: the first part of every sample's id. max_new_tokens: how long an answer may be.
    """

    name: str
    max_new_tokens: int

    @property
    @abstractmethod
    def version(self) -> str:
        """Return the names of prompt form, sampling, parser and metric with their versions; two are never compared."""

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return further rows of the table: a name, and the kinds whose samples it pools."""
        return {}

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return further figures of the whole run."""
        return ()

    @property
    def top(self) -> float:
        """Return the best score of one sample: 1, or what a judge gives at most."""
        return 1.0

    @property
    def judge(self) -> JudgeForm | None:
        """Return what a judge is asked about an answer; None where `parse` and `score` decide."""
        return None

    def judge_of(self, sample: Sample) -> JudgeForm | None:
        """Return the form for one sample, where a task's samples are judged in several; all have the same top."""
        return self.judge

    @property
    def opening(self) -> str:
        """Return the words that the assistant's turn already begins with, as "Best option: ("."""
        return ""

    def continuations(self, sample: Sample) -> tuple[str, ...]:
        """Return what is measured of each option where the likeliest is the answer: its label, or its words."""
        return sample.labels

    @abstractmethod
    def samples(self) -> Sequence[Sample]:
        """Return all samples, in a stable order with unique ids; raise ValueError where a file is not as expected."""

    @abstractmethod
    def prompt(self, sample: Sample) -> str:
        """Return the user's turn. Without a placeholder "<image>" the media come before it, one placeholder a line;
        with placeholders there is exactly one for each medium, in order."""

    def prompt_at(self, sample: Sample, times: Sequence[Sequence[float]]) -> str:
        """Return the user's turn where it depends on the frames: times in seconds, of each medium that is a clip."""
        return self.prompt(sample)

    @abstractmethod
    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the answer read in `text`."""

    @abstractmethod
    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return the score of a parsed answer, in [0, top]; an unparsed one scores 0."""

    def files(self, samples: Sequence[Sample], predictions: Mapping[str, Prediction]) -> Mapping[str, str]:
        """Return further files of the run folder, a name and its text, as what a test server takes.

        The predictions hold the answers that `parse` reads.
        """
        return {}
