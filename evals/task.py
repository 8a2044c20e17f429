"""A task: where samples come from, how they are asked, and how an answer's text is read and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evals.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What was read in a text: the answer (None when nothing was), and the rule that read it."""

    answer: str | None
    rule: str


class Task(Protocol):
    """A benchmark. `version` changes with the prompt, the parser or the metric; two versions are never compared."""

    @property
    def name(self) -> str:
        """Return the benchmark's name, the first part of every sample's id."""
        ...

    @property
    def version(self) -> str:
        """Return the names of the prompt form, the parser and the metric, with their versions."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Return how many tokens an answer may have."""
        ...

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return further rows of the table: a name, and the kinds whose samples it pools."""
        ...

    def samples(self) -> Sequence[Sample]:
        """Return all samples, in a stable order with unique ids; raise ValueError where a file is not as expected."""
        ...

    def prompt(self, sample: Sample) -> str:
        """Return the user's turn, without the media."""
        ...

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the answer read in `text`."""
        ...

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return the score of a parsed answer, in [0, 1]; an unparsed one scores 0."""
        ...
