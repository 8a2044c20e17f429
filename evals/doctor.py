"""Look at a task before a model is paid for: its annotations, and whether every medium is there and can be decoded.

Media are decoded in processes of their own, as a run with decoders does, so that none can end the examination.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from anyres.limits import MediaLimits
from evals.batches import Batching
from evals.media.ahead import media_ahead
from evals.media.decoders import EVALUATION, Decoders
from evals.media.decoding import decode
from evals.record import choose
from evals.sample import Media, Sample
from evals.task import Task
from video.clip import VideoSpec
from video.reader import Backend

FIRST = 5
State = Literal["readable", "missing", "unreadable"]
STATES: tuple[State, ...] = ("readable", "missing", "unreadable")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCount:
    """How many media of a kind are in each state, and how many questions hang on those that cannot be read."""

    kind: str
    readable: int
    missing: int
    unreadable: int
    questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found. faults: words about each medium that is missing or cannot be read."""

    task: str
    samples: int
    clusters: int
    kinds: tuple[tuple[str, int], ...]
    secret: int
    media: tuple[MediaCount, ...]
    faults: tuple[str, ...]
    prompt: str

    @property
    def sound(self) -> bool:
        """Return whether there is something to ask, and every medium of it can be read."""
        return self.samples > 0 and all(row.missing + row.unreadable == 0 for row in self.media)

    def markdown(self) -> str:
        """Return the findings as Markdown tables."""
        lines = [f"# {self.task}: {self.samples} questions in {self.clusters} clusters", ""]
        lines += ["| media | found | missing | unreadable | questions without media |", "| --- |" + " ---: |" * 4]
        for row in self.media:
            found = row.readable + row.unreadable
            lines.append(f"| {row.kind} | {found} | {row.missing} | {row.unreadable} | {row.questions} |")
        lines += [
            "",
            "| kind | questions |",
            "| --- | ---: |",
            *(f"| {kind} | {count} |" for kind, count in self.kinds),
        ]
        if self.secret:
            lines += ["", f"{self.secret} questions have no public answer."]
        if self.prompt:
            lines += ["", "The first prompt:", "", *(f"    {line}" for line in self.prompt.splitlines())]
        if self.faults:
            lines += ["", f"The first of {len(self.faults)} media with a fault:", ""]
            lines += [f"- {words}" for words in self.faults[:FIRST]]
        verdict = "sound" if self.sound else "no questions" if not self.samples else "not sound"
        return "\n".join([*lines, "", f"{self.task}: {verdict}"])


def examine(
    task: Task,
    video: VideoSpec,
    reader: Backend = "auto",
    limit: int | None = None,
    processes: int = 1,
    limits: MediaLimits = EVALUATION,
) -> Diagnosis:
    """Return what is found out about a task's samples and media; every file is decoded, clips as `video` samples them.

    Raises ValueError where the annotations are not as expected.
    """
    samples = choose(task, limit)
    media = {medium.key: medium for sample in samples for medium in sample.media}
    states, words = _states(list(media.values()), video, reader, processes, limits)
    return Diagnosis(
        task=task.name,
        samples=len(samples),
        clusters=len({sample.cluster or sample.id for sample in samples}),
        kinds=tuple(Counter(sample.kind for sample in samples).items()),
        secret=sum(not sample.answers for sample in samples),
        media=tuple(
            _count(kind, {key: states[key] for key, medium in media.items() if medium.kind == kind}, samples)
            for kind in dict.fromkeys(medium.kind for medium in media.values())
        ),
        faults=tuple(words),
        prompt=task.prompt(samples[0]) if samples else "",
    )


def _states(
    media: Sequence[Media], video: VideoSpec, reader: Backend, processes: int, limits: MediaLimits
) -> tuple[dict[str, State], list[str]]:
    states: dict[str, State] = {}
    words: list[str] = []
    with Decoders(processes, limits) as decoders:

        def read(medium: Media) -> object:
            return decode(medium, video, reader) if medium.path is None else decoders.decode(medium, video, reader)

        wanted = [(medium,) for medium in media]
        # only whether they can be read matters: few are held at a time
        for medium, opened in zip(media, media_ahead(wanted, read, processes, Batching().mib << 20), strict=True):
            states[medium.key] = "readable"
            if opened.failure:
                there = medium.path is not None and medium.path.exists()
                states[medium.key] = "unreadable" if there else "missing"
                words.append(f"{states[medium.key]}: {opened.failure}")
    return states, words


def _count(kind: str, states: dict[str, State], samples: Sequence[Sample]) -> MediaCount:
    bad = {key for key, state in states.items() if state != "readable"}
    counts = Counter(states.values())
    return MediaCount(
        kind=kind,
        readable=counts["readable"],
        missing=counts["missing"],
        unreadable=counts["unreadable"],
        questions=sum(any(key in bad for key in sample.media_key) for sample in samples),
    )
