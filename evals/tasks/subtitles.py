"""Subtitles of a clip: read from SubRip or JSON files, and found for the times of the frames that a model is shown."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TIME = r"(\d+):(\d\d):(\d\d(?:[.,]\d+)?)"
_SPAN = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>|\{\\[^}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is said from `start` to `end`, in seconds of the clip."""

    start: float
    end: float
    text: str

    @property
    def middle(self) -> float:
        """Return the time halfway."""
        return (self.start + self.end) / 2


@functools.lru_cache(maxsize=256)
def read_srt(path: Path) -> tuple[Line, ...]:
    """Return the lines of a SubRip file in its order, markup and empty ones left out; ValueError names a bad line."""
    lines: list[Line] = []
    span: tuple[float, float] | None = None
    words: list[str] = []
    numbered = enumerate([*Path(path).read_text(encoding="utf-8-sig").splitlines(), ""], start=1)
    for number, line in numbered:
        found = _SPAN.match(line)
        if found:
            parts = found.groups()
            span, words = (_seconds(*parts[:3]), _seconds(*parts[3:])), []
        elif line.strip() and span is not None:
            words.append(_TAG.sub("", line).strip())
        elif line.strip() and not line.strip().isdigit():
            raise ValueError(f"{path}:{number}: {line!r:.80}, expected a number or hh:mm:ss,mmm --> hh:mm:ss,mmm")
        elif span is not None:
            lines += [Line(start=span[0], end=span[1], text=" ".join(words))] if any(words) else []
            span = None
    return tuple(lines)


@functools.lru_cache(maxsize=256)
def read_timed(path: Path, offset: float, duration: float) -> tuple[Line, ...]:
    """Return the lines of a JSON list of {"start", "end", "line"} or {"timestamp": [s, e], "text"}, in its order.

    offset: seconds of the file where the clip begins. duration: of the clip in seconds, the end of a line that has
    none. Times are seconds or "hh:mm:ss.mmm". ValueError names an entry that is neither form.
    """
    entries = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of lines, got a {type(entries).__name__}")
    lines = []
    for index, entry in enumerate(entries):
        try:
            start, end, text = _entry(entry)
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}[{index}]: {entry!r:.120}, expected start, end, line or timestamp, text") from None
        stop = duration if end is None else end - offset
        lines.append(Line(start=start - offset, end=stop, text=" ".join(text.split())))
    return tuple(line for line in lines if line.text)


def lines_at(lines: Sequence[Line], times: Sequence[float]) -> list[Line]:
    """Return the lines that are said at one of `times`, in order, and of equal ones in a row only the first."""
    said = [line for line in lines if any(line.start <= time <= line.end for time in times)]
    return [line for index, line in enumerate(said) if index == 0 or line.text != said[index - 1].text]


def widened(line: Line, seconds: float) -> Line:
    """Return the line, for at least so many seconds round its middle."""
    if line.end - line.start >= seconds:
        return line
    return Line(start=line.middle - seconds / 2, end=line.middle + seconds / 2, text=line.text)


def _entry(entry: dict[str, object]) -> tuple[float, float | None, str]:
    if "timestamp" in entry:
        start, end = entry["timestamp"]  # type: ignore[misc]
        return _moment(start), None if end is None else _moment(end), str(entry["text"])
    return _moment(entry["start"]), _moment(entry["end"]), str(entry["line"])


def _moment(value: object) -> float:
    if isinstance(value, str):
        return _seconds(*value.split(":"))
    return float(value)  # type: ignore[arg-type]


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
