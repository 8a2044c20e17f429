"""ANLS: average normalised Levenshtein similarity, the measure of DocVQA and InfographicVQA.

Biten et al., "Scene Text Visual Question Answering" (ICCV 2019): for the best of the accepted answers 1 - NL where
NL < 0.5 and 0 otherwise, NL being the edit distance over the length of the longer text. Both texts are in lower case
with single spaces, for the distance and for the length alike. Where scripts in use differ: some divide by the length
of the raw text, and keep a similarity of exactly 0.5 that the paper's strict "<" drops.
"""

from __future__ import annotations

from collections.abc import Sequence

ANLS = "anls@v1"
THRESHOLD = 0.5


def anls(text: str, answers: Sequence[str]) -> float:
    """Return the similarity of `text` in [0, 1] to the closest accepted answer; no answers are a ValueError."""
    if not answers:
        raise ValueError("anls: no accepted answers")
    return max(_similarity(_fold(text), _fold(answer)) for answer in answers)


def levenshtein(first: str, second: str) -> int:
    """Return the fewest insertions, deletions and replacements of characters that turn one text into the other."""
    if len(first) < len(second):
        first, second = second, first
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        above_left, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            above_left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above_left + (a != b))
    return row[-1]


def _similarity(said: str, answer: str) -> float:
    longest = max(len(said), len(answer))
    if longest == 0:
        return 1.0
    # the lengths alone may already be too far apart: no need to compare every character
    if abs(len(said) - len(answer)) >= THRESHOLD * longest:
        return 0.0
    distance = levenshtein(said, answer) / longest
    return 1.0 - distance if distance < THRESHOLD else 0.0


def _fold(text: str) -> str:
    return " ".join(text.lower().split())
