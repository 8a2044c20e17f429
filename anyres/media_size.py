"""Sizes given as words on a command line: WIDTHxHEIGHT, in pixels."""

import re

from anyres.geometry import HW

_SIZE = re.compile(r"(\d+)[xX](\d+)")


def parse_size(word: str) -> HW | None:
    """Return the size that WIDTHxHEIGHT names, in pixels, or None when the word has another form.

    Raises ValueError for a side of 0.
    """
    match = _SIZE.fullmatch(word)
    if match is None:
        return None
    size = HW(int(match[2]), int(match[1]))
    if min(size) < 1:
        raise ValueError(f"{word}: expected at least 1x1 pixels")
    return size
