"""Placeholders of media that stand for several images: one for each."""

from collections.abc import Sequence
from dataclasses import replace

from models.example import PLACEHOLDER, Turn


def spread(turns: Sequence[Turn], counts: Sequence[int]) -> tuple[Turn, ...]:
    """Return the turns with the i-th placeholder repeated counts[i] times, one a line.

    Raises ValueError when placeholders and media differ in number.
    """
    found = sum(turn.text.count(PLACEHOLDER) for turn in turns)
    if found != len(counts):
        raise ValueError(f"prompt has {found} {PLACEHOLDER} placeholder(s) for {len(counts)} image(s) or clip(s)")
    waiting = iter(counts)
    spread_ = []
    for turn in turns:
        before, *behind = turn.text.split(PLACEHOLDER)
        pieces = ["\n".join([PLACEHOLDER] * next(waiting)) + piece for piece in behind]
        spread_.append(replace(turn, text=before + "".join(pieces)))
    return tuple(spread_)
