"""The benchmark of the model that ships: questions about procedurally drawn pages and clips, one or two words each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.prompts import OPEN, ask
from evals.sample import Media, Sample
from evals.task import Parsed, Task
from evals.tasks.matching import EXACT, parse_sample, score_sample
from models.pocket.clips import write_clips
from models.pocket.tasks import ImageSample, image_samples

# two words and the end
ANSWER_TOKENS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketImage(Task):
    """pocket-image: `count` pages for each of `kinds` (models.pocket.tasks), drawn from `seed` in `font`."""

    kinds: tuple[str, ...] = ("read", "odd", "chart", "shape", "position", "count", "order")
    count: int = 100
    seed: int = 0
    font: str = "aileron"
    max_new_tokens: int = ANSWER_TOKENS
    name: str = "pocket-image"

    def __post_init__(self) -> None:
        _at_least_one(self.count)

    @property
    def version(self) -> str:
        """Return prompt form and comparison."""
        return f"{OPEN} {EXACT}"

    def samples(self) -> Sequence[Sample]:
        """Return the samples kind by kind; every page has one question."""
        return [_image(self.name, item) for kind in self.kinds for item in self._drawn(kind)]

    def prompt(self, sample: Sample) -> str:
        """Return the bare question."""
        return ask(OPEN, sample.question)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the normalised text."""
        return parse_sample(sample, text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 when the text is the answer, else 0."""
        return score_sample(sample, parsed)

    def _drawn(self, kind: str) -> Sequence[ImageSample]:
        return list(image_samples(kind, seed=self.seed, count=self.count, font=self.font))


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketVideo(Task):
    """pocket-video: `count` clips of `frames` scenes, and one question of each of `kinds` about every clip.

    The clips (models.pocket.clips) are drawn into `folder` once and decoded from there; kinds share them.
    """

    folder: Path
    kinds: tuple[str, ...] = ("retrieval", "first", "last", "order", "frame")
    frames: int = 4
    count: int = 100
    seed: int = 0
    font: str = "aileron"
    max_new_tokens: int = ANSWER_TOKENS
    name: str = "pocket-video"

    def __post_init__(self) -> None:
        _at_least_one(self.count)

    @property
    def version(self) -> str:
        """Return prompt form and comparison."""
        return f"{OPEN} {EXACT}"

    def samples(self) -> Sequence[Sample]:
        """Return the samples clip by clip; clips that are not in the folder yet are drawn."""
        # read in turn, so that a clip is drawn once for all of its questions
        by_kind = [
            write_clips(Path(self.folder), kind, self.seed, self.count, self.frames, self.font) for kind in self.kinds
        ]
        return [
            Sample(
                id=f"{self.name}/{item.id}",
                media=(Media.file(item.path),),
                question=item.question,
                answers=(item.answer,),
                kind=item.task,
                cluster=item.path.stem,
            )
            for clip in zip(*by_kind, strict=True)
            for item in clip
        ]

    def prompt(self, sample: Sample) -> str:
        """Return the bare question."""
        return ask(OPEN, sample.question)

    def parse(self, sample: Sample, text: str) -> Parsed:
        """Return the normalised text."""
        return parse_sample(sample, text)

    def score(self, sample: Sample, parsed: Parsed) -> float:
        """Return 1 when the text is the answer, else 0."""
        return score_sample(sample, parsed)


def _at_least_one(count: int) -> None:
    if count < 1:
        raise ValueError(f"task.count: expected at least 1, got {count}")


def _image(task: str, item: ImageSample) -> Sample:
    # the pixels are part of the key: a run does not resume on pages that are drawn otherwise
    pixels = hashlib.sha256(item.image.tobytes()).hexdigest()[:12]
    media = Media(key=f"{item.id}:{pixels}", kind="image", draw=lambda: item.image)
    return Sample(
        id=f"{task}/{item.id}",
        media=(media,),
        question=item.question,
        answers=(item.answer,),
        kind=item.task,
        cluster=item.id,
    )
