"""Ask a model every sample that the ledger does not have yet: one decode a medium, micro-batches, nothing lost.

What answers is an Answerer, four methods; this file knows no tensors. A medium that cannot be read, a question that
does not fit and an out-of-memory error become a status of that sample; anything else stops the run, which resumes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from tqdm import tqdm

from evals.ledger import Config, Ledger
from evals.result import Prediction, Status
from evals.sample import Media, Sample
from evals.score import read_again
from evals.task import Task


class MediaFailed(Exception):
    """A medium that cannot be read; the message says which and why."""


class OutOfMemory(Exception):
    """A batch that the device's memory does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, its media decoded. The prompt does not mention the media; they come before it, in order."""

    id: str
    prompt: str
    media: tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ready:
    """A question that is planned: what `Answerer.answer` takes, and what its plan says."""

    payload: object
    visual_tokens: int
    text_tokens: int
    tiles: int = 0
    grid: str = ""
    frames: int = 0
    reader: str = ""

    @property
    def tokens(self) -> int:
        """Return the length of the sequence that the LLM reads."""
        return self.visual_tokens + self.text_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A text, how many tokens it was, and what it cost: its share of the batch's seconds, the batch's peak memory.

    failure: why this one question has no answer, "" when it has one. prompt_tokens: length of the prompt as whoever
    answered counted it, None where the plan's own count stands.
    """

    text: str
    tokens: int
    failure: str = ""
    prompt_tokens: int | None = None
    encode_seconds: float = field(default=0.0, compare=False)
    prefill_seconds: float = field(default=0.0, compare=False)
    decode_seconds: float = field(default=0.0, compare=False)
    batch: int = field(default=1, compare=False)
    peak_mib: float | None = field(default=None, compare=False)


class Answerer(Protocol):
    """What can be evaluated."""

    def facts(self) -> Config:
        """Return everything that an answer depends on, for the ledger's header."""
        ...

    def open(self, media: Media) -> object:
        """Return the decoded medium; raise MediaFailed when it cannot be read. Called from another thread."""
        ...

    def prepare(self, question: Question) -> Ready:
        """Return the planned question; a ValueError when it cannot be asked, as when it exceeds the context."""
        ...

    def answer(self, ready: Sequence[Ready], max_new_tokens: int) -> list[Answer]:
        """Return the greedy answers in order; raise OutOfMemory when the batch is too large for the device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """Bounds of a micro-batch: samples, and positions (longest sequence times samples)."""

    samples: int = 16
    positions: int = 32768

    def __post_init__(self) -> None:
        if self.samples < 1 or self.positions < 1:
            raise ValueError(f"batch: expected at least 1 sample and 1 position, got {self.samples}, {self.positions}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waiting:
    sample: Sample
    ready: Ready
    seconds: float


def predict(
    task: Task,
    samples: Sequence[Sample],
    answerer: Answerer,
    ledger: Ledger,
    batching: Batching | None = None,
    progress: bool = True,
    label: str = "",
) -> None:
    """Answer the samples whose id is not in `ledger`, and append them to it micro-batch by micro-batch."""
    batching = batching or Batching()
    pending = [sample for sample in samples if sample.id not in ledger.predictions]
    bar = tqdm(total=len(samples), initial=len(samples) - len(pending), desc=label or task.name, disable=not progress)
    waiting: list[_Waiting] = []
    with bar:
        for group, opened in _opened(by_media(pending), answerer):
            for sample in group:
                item = _prepare(task, sample, opened, answerer)
                if isinstance(item, Prediction):
                    _record(ledger, [item], bar)
                    continue
                if waiting and not _fits([*waiting, item], batching):
                    _record(ledger, _answer(task, waiting, answerer), bar)
                    waiting = []
                waiting.append(item)
        if waiting:
            _record(ledger, _answer(task, waiting, answerer), bar)


def by_media(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples grouped by their media, groups in order of first appearance."""
    groups: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.media_key, []).append(sample)
    return list(groups.values())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Opened:
    media: tuple[object, ...]
    failure: str
    seconds: float


def _open(media: tuple[Media, ...], answerer: Answerer) -> _Opened:
    start = time.perf_counter()
    try:
        decoded, failure = tuple(answerer.open(medium) for medium in media), ""
    except MediaFailed as error:
        decoded, failure = (), str(error)
    return _Opened(media=decoded, failure=failure, seconds=time.perf_counter() - start)


def _opened(groups: Sequence[list[Sample]], answerer: Answerer) -> Iterator[tuple[list[Sample], _Opened]]:
    """Yield each group with its media; the next group's media are decoded while this one is answered."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: Future[_Opened] | None = None
        for index, group in enumerate(groups):
            now = coming or pool.submit(_open, group[0].media, answerer)
            following = groups[index + 1][0].media if index + 1 < len(groups) else None
            opened = now.result()
            coming = None if following is None else pool.submit(_open, following, answerer)
            yield group, opened


def _prepare(task: Task, sample: Sample, opened: _Opened, answerer: Answerer) -> _Waiting | Prediction:
    if opened.failure:
        return _failed(sample, "media_error", opened.failure, opened.seconds)
    start = time.perf_counter()
    try:
        ready = answerer.prepare(Question(id=sample.id, prompt=task.prompt(sample), media=opened.media))
    except ValueError as error:
        return _failed(sample, "error", str(error), time.perf_counter() - start)
    return _Waiting(sample=sample, ready=ready, seconds=time.perf_counter() - start)


def _answer(task: Task, waiting: Sequence[_Waiting], answerer: Answerer) -> list[Prediction]:
    start = time.perf_counter()
    try:
        answers = answerer.answer([item.ready for item in waiting], task.max_new_tokens)
    except OutOfMemory as error:
        if len(waiting) == 1:
            item = waiting[0]
            return [_failed(item.sample, "oom", str(error), item.seconds + time.perf_counter() - start, item.ready)]
        half = len(waiting) // 2
        return _answer(task, waiting[:half], answerer) + _answer(task, waiting[half:], answerer)
    assert len(answers) == len(waiting), f"{len(answers)} answers to {len(waiting)} questions"
    share = (time.perf_counter() - start) / len(waiting)
    return [_predicted(task, item, answer, share) for item, answer in zip(waiting, answers, strict=True)]


def _predicted(task: Task, item: _Waiting, answer: Answer, seconds: float) -> Prediction:
    if answer.failure:
        return _failed(item.sample, "error", answer.failure, item.seconds + seconds, item.ready)
    facts = _facts(item.ready)
    if answer.prompt_tokens is not None:
        facts["text_tokens"] = answer.prompt_tokens - item.ready.visual_tokens
    prediction = Prediction(
        id=item.sample.id,
        text=answer.text,
        status="ok",
        answer_tokens=answer.tokens,
        seconds=round(item.seconds + seconds, 6),
        encode_seconds=round(answer.encode_seconds, 6),
        prefill_seconds=round(answer.prefill_seconds, 6),
        decode_seconds=round(answer.decode_seconds, 6),
        batch=answer.batch,
        peak_mib=None if answer.peak_mib is None else round(answer.peak_mib, 1),
        **facts,
    )
    return read_again(task, item.sample, prediction)


def _failed(sample: Sample, status: Status, detail: str, seconds: float, ready: Ready | None = None) -> Prediction:
    facts = {} if ready is None else _facts(ready)
    return Prediction(id=sample.id, text="", status=status, detail=detail, seconds=round(seconds, 6), **facts)


def _facts(ready: Ready) -> dict[str, int | str]:
    return {
        "visual_tokens": ready.visual_tokens,
        "text_tokens": ready.text_tokens,
        "tiles": ready.tiles,
        "grid": ready.grid,
        "frames": ready.frames,
        "reader": ready.reader,
    }


def _fits(items: Sequence[_Waiting], batching: Batching) -> bool:
    longest = max(item.ready.tokens for item in items)
    return len(items) <= batching.samples and longest * len(items) <= batching.positions


def _record(ledger: Ledger, predictions: Sequence[Prediction], bar: tqdm) -> None:
    ledger.append(predictions)
    bar.update(len(predictions))
