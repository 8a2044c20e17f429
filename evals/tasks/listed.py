"""Options that a benchmark writes with their labels, in a list or under the question: "A. red", "(B) two"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evals.sample import LABELS

_LABELLED = re.compile(r"^\s*(?:\((?P<bracketed>[A-Z])\)|(?P<plain>[A-Z])[.):])\s*(?P<text>.*?)\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A question without the options under it, and these without their labels."""

    question: str
    options: tuple[str, ...]


def strip_labels(options: tuple[str, ...]) -> tuple[str, ...]:
    """Return options without the labels they begin with, which must be A, B, ... in order; or as they are if none has
    one. Anything between is a ValueError."""
    matches = [_LABELLED.match(option) for option in options]
    found = [_label(match) for match in matches if match]
    if found == list(LABELS[: len(options)]):
        return tuple(match["text"] for match in matches if match)
    # one option may well begin with "A: " and not mean a label
    if len(found) < len(options):
        return options
    raise ValueError(f"options {list(options)}, expected the labels {list(LABELS[: len(options)])} in order")


def split_listed(text: str) -> Listed:
    """Return what stands over the last lines "A. ...", "B. ..." of `text`, and these; fewer than two: a ValueError."""
    lines = text.strip().split("\n")
    matches = [_LABELLED.match(line) for line in lines]
    starts = [index for index, match in enumerate(matches) if match and _label(match) == LABELS[0]]
    for start in reversed(starts):
        tail = matches[start:]
        if len(tail) >= 2 and [match and _label(match) for match in tail] == list(LABELS[: len(tail)]):
            options = tuple(match["text"] for match in tail if match)
            return Listed(question="\n".join(lines[:start]).strip(), options=options)
    raise ValueError(f"question {text!r:.200}, expected lines A. ..., B. ... at its end")


def _label(match: re.Match[str]) -> str:
    return match["bracketed"] or match["plain"]
