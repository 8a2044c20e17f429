"""A judge's form: the words it is asked about one answer, and how its reply is read into a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evals.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a reply says: a score in [0, top] of its form, and, where the form asks for it, whether it is correct."""

    score: float
    correct: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeForm:
    """A named, versioned way to ask about an answer.

    name: "open-qa@v1"; a changed word is a new version. system: the judge's first turn. top: the best score.
    ask: from the sample and the answers to the user's turn; answers hold the model's text first, then, where the form
    compares several (two questions with one truth), those of the samples that `partners` names.
    read: from a reply to the verdict, None where it holds none.
    """

    name: str
    system: str
    top: float
    ask: Callable[[Sample, tuple[str, ...]], str]
    read: Callable[[str], Verdict | None]
    partners: Callable[[Sample], tuple[str, ...]] = lambda _: ()
