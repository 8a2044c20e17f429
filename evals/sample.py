"""A sample: one question about some media, with its right answer; and the media, named but not yet decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MediaKind = Literal["image", "video"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts", ".mpg", ".mpeg"})
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Name one image or one clip; two media with the same key are the same and are decoded once.

    Exactly one of `path` (a file) and `draw` (a function that returns a PIL image or a video.clip.VideoClip) is set.
    A video may be a folder of frames, shown at `fps`. span: only from the first to the second of these seconds.
    segments: starts and ends of parts that the row names, such as subtitles, for video.policy "segments".
    """

    key: str
    kind: MediaKind
    path: Path | None = None
    draw: Callable[[], object] | None = field(default=None, compare=False)
    span: tuple[float, float] | None = None
    fps: float | None = None
    segments: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if (self.path is None) == (self.draw is None):
            raise ValueError(f"media {self.key!r}: expected exactly one of path and draw")
        if self.span is not None and not 0 <= self.span[0] < self.span[1]:
            raise ValueError(f"media {self.key!r}: span {self.span}, expected seconds 0 <= start < end")

    @classmethod
    def file(
        cls,
        path: Path,
        kind: MediaKind | None = None,
        span: tuple[float, float] | None = None,
        segments: tuple[tuple[float, float], ...] = (),
    ) -> Media:
        """Name the file `path`; without `kind` its suffix decides, and an unknown suffix is a ValueError."""
        key = str(path) if span is None else f"{path}[{span[0]}:{span[1]}]"
        if segments:
            # other parts, other frames
            key += f"#{hashlib.sha256(repr(segments).encode()).hexdigest()[:12]}"
        return cls(key=key, kind=kind or kind_of(path), path=path, span=span, segments=segments)

    @classmethod
    def frames(cls, folder: Path, fps: float, span: tuple[float, float] | None = None) -> Media:
        """Name a folder of frames, sorted by name, that are `fps` to the second."""
        key = f"{folder}@{fps}" if span is None else f"{folder}@{fps}[{span[0]}:{span[1]}]"
        return cls(key=key, kind="video", path=folder, fps=fps, span=span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One question. `id` is `benchmark/split/native id`: it never depends on the order of the file.

    With `options` the question is multiple choice and `answers` holds the one right label ("A" is the first option);
    without, `answers` holds every accepted text, the canonical one first. Where the benchmark keeps the answer to
    itself, `answers` is empty: the question is asked, goes into the submission and is in no row. `kind` is the question
    type that a table has a row for; `cluster` joins samples that are not independent (questions on one image or clip).
    `facts` are further words of the benchmark about it (duration, category, hint), for strata, judges and prompts.
    """

    id: str
    media: tuple[Media, ...]
    question: str
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    kind: str = "all"
    cluster: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.options) > len(LABELS):
            raise ValueError(f"sample {self.id}: {len(self.options)} options, at most {len(LABELS)} have a label")
        if self.options and self.answers and (len(self.answers) != 1 or self.answers[0] not in self.labels):
            raise ValueError(f"sample {self.id}: answers {self.answers}, expected one of the labels {self.labels}")

    @property
    def answer(self) -> str:
        """Return the canonical right answer: a label with options, a text without; "" where it is not public."""
        return self.answers[0] if self.answers else ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the options: ("A", "B", ...), or () for an open question."""
        return tuple(LABELS[: len(self.options)])

    @property
    def media_key(self) -> tuple[str, ...]:
        """Return what identifies the media: questions with the same key share one decode."""
        return tuple(media.key for media in self.media)


def kind_of(path: Path) -> MediaKind:
    """Return "image" or "video" by the suffix of `path`; any other suffix is a ValueError that names it."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    raise ValueError(f"{path}: suffix {suffix!r} is neither a known image nor a known video; say which it is")
