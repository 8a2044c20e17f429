"""A judge's form: the words it is asked about one answer, and how its reply is read into a verdict."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evals.sample import Sample

_NAME = re.compile(r"[a-z0-9-]+@v[0-9]+")
_FIELD = re.compile(r"\{([a-z_][a-z_0-9]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a reply says: a score in [0, top] of its form and, where the form asks for it, whether it is correct.

    reference: the score of the reference answer beside it, where the form compares the two.
    """

    score: float
    correct: bool | None = None
    reference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFailure:
    """No verdict, and why: counted as judge_error, never scored."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeForm:
    """A named, versioned way to ask about an answer.

    name: "open-qa@v1"; a changed word is a new version. system: the judge's first turn, "" for none. text: the user's
    turn, with {fields}. top: the best score. fill: from the samples and their answers to the fields; the judged one is
    first, then those that `partners` names (two questions with one truth; one verdict holds for all of them). reader:
    the name of `read`, which takes the sample and a reply to the verdict, None where it holds none. decides: verdicts
    say correct or not. seen: the judge is shown the sample's media. unparsed_only: asked only about answers that the
    task's own parser does not read.
    """

    name: str
    system: str
    text: str
    top: float
    fill: Callable[[Sequence[Sample], Sequence[str]], Mapping[str, str]]
    reader: str
    read: Callable[[Sample, str], Verdict | None]
    partners: Callable[[Sample], tuple[str, ...]] = lambda _: ()
    decides: bool = False
    seen: bool = False
    unparsed_only: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"judge form {self.name!r}: expected a name with a version, as 'open-qa@v1'")
        if self.top <= 0:
            raise ValueError(f"judge form {self.name}: top is {self.top}, expected a positive score")

    def ask(self, samples: Sequence[Sample], answers: Sequence[str]) -> str:
        """Return the user's turn about answers[0] to samples[0]; the others are its partners, in order.

        What fills a field is never searched for fields, and cannot hold the mark that ends it. Raises ValueError for a
        field that `fill` does not give.
        """
        fields = self.fill(samples, answers)
        missing = sorted(set(_FIELD.findall(self.text)) - set(fields))
        if missing:
            raise ValueError(f"judge form {self.name}: nothing for {missing} of sample {samples[0].id}")
        return _FIELD.sub(lambda match: fields[match[1]].replace(">>>", "> > >"), self.text)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of everything that a judge's reply and its reading depend on, as 64 hex digits."""
        parts = [self.name, self.system, self.text, self.top, self.reader, self.seen]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
