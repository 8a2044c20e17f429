"""Clips of a benchmark on the disk, and samples collected from its rows with ids that do not depend on their order."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from evals.row import Row
from evals.sample import Media, Sample

# which part of a clip the model's frame policy sees: all of it, or from the row's start to its end
WHOLE, SPAN = "whole@v1", "span@v1"
SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif")
_SHARD = re.compile(r"[-_]?(?:\d{5}-of-\d{5}.*|\*.*)$")


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
        for path in _paths(Path(folder), name):
            if path.is_file():
                return path
    return _paths(Path(folder), names[0])[0]


def clip(folder: Path, *names: str, span: tuple[float, float] | None = None) -> tuple[Media, ...]:
    """Return the one medium of a sample: the clip that `find_clip` finds, all of it or a span in seconds."""
    return (Media.file(find_clip(folder, *names), "video", span),)


def collect(rows: Iterable[Row], make: Callable[[Row], Sample]) -> list[Sample]:
    """Return a sample of each row; what is wrong with one, or an id that comes twice, is a ValueError naming it."""
    samples: dict[str, Sample] = {}
    for row in rows:
        try:
            sample = make(row)
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith(row.where) else f"{row.where}: {text}") from None
        if sample.id in samples:
            raise ValueError(f"{row.where}: the id {sample.id} comes a second time")
        samples[sample.id] = sample
    return list(samples.values())


def split_of(source: Path) -> str:
    """Return the split that a file is named for: "val" of val.csv, "test" of test-00000-of-00001.parquet."""
    source = Path(source)
    return _SHARD.sub("", source.name if source.is_dir() else source.stem) or source.parent.name


class ContentIds:
    """Ids for rows that have none of their own: a digest of what they say, and "-2" for the same said again."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def of(self, prefix: str, *parts: object) -> str:
        """Return `prefix` with 10 hex digits over `parts`, which must be plain JSON values."""
        digits = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{prefix}-{digits}"
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}-{count}"


def _paths(folder: Path, name: str) -> list[Path]:
    whole = [folder / name] if Path(name).suffix.lower() in SUFFIXES else []
    return [*whole, *(folder / f"{name}{suffix}" for suffix in SUFFIXES)]
