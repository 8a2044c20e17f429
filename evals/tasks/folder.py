"""A user's own questions: a JSONL file beside its media.

{"media": "cat.jpg", "question": "what animal is this?", "answers": ["cat", "a cat"]}
{"media": ["a.png", "b.png"], "question": "what changed?", "options": ["colour", "size"], "answer": "B", "kind": "diff"}
{"video": "clip.mp4", "question": "what happens first?", "options": ["he sits", "he runs"], "answer": "he runs"}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conf.nearest import expected
from evals.prompts import LETTER, SHORT, ask
from evals.sample import LABELS, Media, MediaKind, Sample
from evals.score import ALL, MEAN
from evals.task import Parsed, Task
from evals.tasks.matching import CHOICE, EXACT, parse_sample, score_sample

KEYS = frozenset({"id", "media", "image", "video", "question", "options", "answer", "answers", "kind", "cluster"})
# which key says what the files are; "media" leaves it to each suffix
_MEDIA_KEYS: dict[str, MediaKind | None] = {"media": None, "image": "image", "video": "video"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder(Task):
    """folder: `file` the JSONL; paths in it are relative to its folder."""

    file: Path
    choice_form: str = LETTER
    open_form: str = SHORT
    max_new_tokens: int = 32
    name: str = "folder"

    @property
    def version(self) -> str:
        """Return prompt forms, parser and comparison."""
        return f"{self.choice_form} {self.open_form} {CHOICE} {EXACT}"

    def samples(self) -> Sequence[Sample]:
        """Return one sample a line.

        A line that cannot be understood, an id that comes twice, and a file without questions are ValueErrors.
        Without "id" it is a digest of the media's names and the question: the order of lines may change.
        """
        samples: dict[str, Sample] = {}
        for number, line in self._lines():
            try:
                sample = self._sample(_record(line))
                if sample.id in samples:
                    raise ValueError(f"id {sample.id} comes a second time")
            except ValueError as error:
                raise ValueError(f"{self.file}:{number}: {error}") from None
            samples[sample.id] = sample
        if not samples:
            raise ValueError(f"{self.file}: no questions; expected a JSON object a line")
        return list(samples.values())

    def prompt(self, sample: Sample) -> str:
        """Return the question in the form of its kind of answer."""
        form = self.choice_form if sample.options else self.open_form
        return ask(form, sample.question, sample.options)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the label or the normalised text."""
        return parse_sample(sample, text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 for the right label or an accepted text, else 0."""
        return score_sample(sample, parsed)

    def _lines(self) -> list[tuple[int, str]]:
        """Return the lines that are not empty, with their numbers."""
        try:
            text = Path(self.file).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.file}: expected a JSON object a line, in UTF-8: {error}") from None
        return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]

    def _sample(self, record: dict[str, object]) -> Sample:
        question = _text(record, "question")
        names, media = self._media(record)
        options = _texts(record.get("options", []), "options")
        native = str(record["id"]) if "id" in record else _digest(names, question)
        return Sample(
            id=f"{self.name}/{Path(self.file).stem}/{native}",
            media=media,
            question=question,
            options=options,
            answers=_answers(record, options),
            kind=_kind(record),
            cluster=_text(record, "cluster") if "cluster" in record else "|".join(names) or native,
        )

    def _media(self, record: dict[str, object]) -> tuple[tuple[str, ...], tuple[Media, ...]]:
        given = [key for key in _MEDIA_KEYS if key in record]
        if len(given) != 1:
            raise ValueError(f"has {given or 'no media'}, expected one of {list(_MEDIA_KEYS)}")
        value = record[given[0]]
        names = _texts([value] if isinstance(value, str) else value, given[0])
        return names, tuple(Media.file(Path(self.file).parent / name, _MEDIA_KEYS[given[0]]) for name in names)


def _kind(record: dict[str, object]) -> str:
    """Return the row of the table that a record belongs to."""
    kind = _text(record, "kind") if "kind" in record else "other"
    if kind in (ALL, MEAN):
        raise ValueError(f"kind: {kind!r} is the name of a row over all kinds, expected another name")
    return kind


def _record(line: str) -> dict[str, object]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, got {type(record).__name__}")
    unknown = sorted(set(record) - KEYS)
    if unknown:
        raise ValueError(f"unknown keys {unknown}, {expected(unknown[0], sorted(KEYS))}")
    return record


def _answers(record: dict[str, object], options: tuple[str, ...]) -> tuple[str, ...]:
    given = [key for key in ("answer", "answers") if key in record]
    if len(given) != 1:
        raise ValueError(f"has {given or 'no answer'}, expected one of ['answer', 'answers']")
    value = record[given[0]]
    answers = _texts([value] if isinstance(value, str) else value, given[0])
    if not options:
        return answers
    if len(answers) != 1:
        raise ValueError(f"{len(answers)} answers to a choice, expected one: a label or an option's text")
    return (_label(answers[0], options),)


def _label(answer: str, options: tuple[str, ...]) -> str:
    """Return the label that an answer means: a label itself, or the text of exactly one option."""
    labels = LABELS[: len(options)]
    meant = {label for label, option in zip(labels, options, strict=True) if option == answer}
    if len(answer) == 1 and answer in labels:
        meant.add(answer)
    if len(meant) != 1:
        raise ValueError(f"answer {answer!r} means {sorted(meant) or 'no option'}, expected exactly one option")
    return meant.pop()


def _text(record: dict[str, object], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: expected a text, got {value!r}")
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"{what}: expected texts, got {value!r}")
    return tuple(value)


def _digest(names: tuple[str, ...], question: str) -> str:
    return hashlib.sha256(json.dumps([names, question]).encode()).hexdigest()[:12]
