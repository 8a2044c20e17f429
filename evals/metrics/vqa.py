"""VQA accuracy: an open answer against those of ten people.

Antol et al., "VQA: Visual Question Answering" (ICCV 2015): leave one of the answers out, give min(1, matches / 3), and
average over the answer left out. Texts are compared after the challenge's cleaning, in its order: punctuation, number
words, articles, contractions. Where the challenge's script differs from these rules:

- it cleans the people's answers of punctuation only, since its files are clean otherwise; here both sides are cleaned
  alike, as TextVQA's script does;
- early versions clean nothing when all ten agree;
- it restores apostrophes by a list of words; here by the rule that the list follows (a stem and its ending).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

VQA = "vqa@v1"
# below this not even a unanimous answer could reach 1
FEWEST = 4

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_THOUSANDS = re.compile(r"\d,\d")
_ARTICLES = frozenset({"a", "an", "the"})
_COUNTED = "zero one two three four five six seven eight nine ten"
_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTED.split())} | {"none": "0"}
# the stems that each ending is joined to without its apostrophe; "its", "were", "well" and the like are words
_ENDINGS = {
    "'t": "ain aren can couldn didn doesn don hadn hasn haven isn mightn mustn needn shouldn wasn weren won wouldn",
    "'ve": "could i might must should they we would you",
    "'s": "he here how she that there what when where who why",
    "'d": "how it that there they what where who you",
    "'re": "they what who you",
    "'ll": "how it that there they what who you",
    "'m": "i",
    "'clock": "o",
}
_APOSTROPHES = {
    f"{stem}{ending[1:]}": f"{stem}{ending}" for ending, stems in _ENDINGS.items() for stem in stems.split()
}


def vqa_accuracy(text: str, answers: Sequence[str]) -> float:
    """Return the accuracy of `text` in [0, 1] against the people's answers; fewer than four are a ValueError."""
    if len(answers) < FEWEST:
        raise ValueError(f"vqa_accuracy: {len(answers)} answers, expected at least {FEWEST} (the files have 10)")
    said = clean(text)
    matches = [clean(answer) == said for answer in answers]
    total = sum(matches)
    # leaving out a match leaves one match less
    return sum(min(1.0, (total - match) / 3) for match in matches) / len(matches)


def clean(text: str) -> str:
    """Return `text` as the challenge compares it: lower case, digits for number words, no articles or punctuation."""
    text = " ".join(text.split())
    thousands = _THOUSANDS.search(text) is not None
    cleaned = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if beside_space or thousands else " ")
    words = _PERIOD.sub("", cleaned).lower().split()
    kept = [_NUMBERS.get(word, word) for word in words]
    return " ".join(_APOSTROPHES.get(word, word) for word in kept if word not in _ARTICLES)
