"""Clips of a benchmark on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evals.sample import Media

# which part of a clip the model's frame policy sees: all of it, or from the row's start to its end
WHOLE, SPAN = "whole@v1", "span@v1"
SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif")


def check_folder(folder: Path, what: str) -> None:
    """Raise ValueError when `folder`, the setting `videos`, is not a folder; `what` says whose clips it holds."""
    if not Path(folder).is_dir():
        raise ValueError(f"task.videos: {folder} is not a folder; expected the one with the clips of {what}")


def find_clip(folder: Path, *names: str) -> Path:
    """Return the first file in `folder` that a name means, as it is or with the suffix of a clip.

    Names may begin with subfolders. Where nothing is found it is the first name, ".mp4" if it has no suffix of a clip:
    its samples are there all the same, and fail with a media error.
    """
    for name in names:
        for path in _paths(folder, name):
            if path.is_file():
                return path
    return next(_paths(folder, names[0]))


def clip(folder: Path, *names: str, span: tuple[float, float] | None = None) -> tuple[Media, ...]:
    """Return the one medium of a sample: the clip that `find_clip` finds, all of it or a span in seconds."""
    return (Media.file(find_clip(folder, *names), "video", span),)


def _paths(folder: Path, name: str) -> Iterator[Path]:
    stem = Path(folder) / name
    if stem.suffix.lower() in SUFFIXES:
        yield stem
    # one after the other: mostly the first is there
    yield from (Path(f"{stem}{suffix}") for suffix in SUFFIXES)
