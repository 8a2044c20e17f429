"""Read a score out of 100 in a critic's reply; the rule that read it is reported, and nothing is ever guessed.

The rules, in order:

- "bare": the whole reply is a number, also as 85/100, 85 out of 100, 85%;
- "final": the score that is called overall, final or total;
- "stated", "out_of_100", "line": a score, rating or grade that is said to be a number ("Score: 85", "I rate it 85"), a
  number out of 100, a line that is nothing but a number. All of them must agree.

A reply with several different scores, or a range, is "ambiguous"; a score out of anything but 100, or a fraction
between 0 and 1, is "other_scale"; a score below 0 or above 100 is "out_of_range"; a reply without any is "none".
These have no value. Scores that are only supposed ("would have been 95 if") or denied ("not a score of 90"), and the
maximum itself ("a perfect score of 100"), are no statements.
"""

import re
import unicodedata
from dataclasses import dataclass

_NUMBER = r"(?<![\d.,])(?P<number>[-+]?\d+(?:\.\d+)?)(?!\d|[.,]\d)"
_OUT_OF = (
    r"(?:\s*%|\s+points?|\s+marks?)?"
    r"(?:\s*(?:/|out\s+of)\s*(?:a\s+(?:maximum|total|possible)\s+(?:of\s+)?)?(?P<out_of>\d+)\b)?"
)
_RANGE = r"(?P<range>\s*(?:-|\u2013|~|to|or)\s*\d+)?"
_VALUE = rf"[\[({{]*{_NUMBER}{_OUT_OF}{_RANGE}"
_SCALE = r"(?:\s*(?:\([^)\n]*\)|(?:out\s+of|/)\s*\d+))?"
_WHOSE = r"(?:\s+(?:for|of|to)\s+(?:the|this|that)(?:\s+[a-z]+){1,3}?)?"
_IS = (
    r"\s*(?:is|was|would\s+be|will\s+be|:|=|of|as|at|->|(?=between\b))\s*:?\s*"
    r"(?:an?\s+|about\s+|around\s+|approximately\s+|only\s+|between\s+)?"
)
_NOUN = r"(?:score|rating|grade|mark)"
_FLAGS = re.IGNORECASE
_BARE = re.compile(rf"[\s(\[{{\"']*(?:{_NOUN}\s*[:=]?\s*)?{_VALUE}\W*", _FLAGS)
_FINAL = re.compile(rf"\b(?:overall|final|total)(?:\s+{_NOUN})?{_SCALE}{_WHOSE}{_IS}{_VALUE}", _FLAGS)
_STATED = re.compile(rf"\b{_NOUN}{_SCALE}{_WHOSE}{_IS}{_VALUE}", _FLAGS)
# what may follow a number that counts nothing else
_ENDS = r"(?=\s*(?:points?\b|[.,;:!)\]]|$|because|since|due))"
_GIVEN = re.compile(
    r"\b(?:rate|score|grade|give|award|assign|gives?)\s+(?:it|this|(?:the|this)\s+(?:lmm\s+)?(?:response|answer))\s+"
    rf"(?:with\s+|at\s+|as\s+)?(?:an?\s+)?{_VALUE}{_ENDS}",
    _FLAGS | re.MULTILINE,
)
_EARNS = re.compile(
    rf"\b(?:response|answer|it)\s+(?:scores|deserves)\s+(?:an?\s+)?{_VALUE}{_ENDS}",
    _FLAGS | re.MULTILINE,
)
_OF_100 = re.compile(rf"{_NUMBER}(?:\s+points?|\s+marks?)?\s*(?:/|out\s+of)\s*(?P<out_of>100)\b{_RANGE}", _FLAGS)
_LINE = re.compile(rf"^[\s(\[{{\"']*{_VALUE}[\s\])}}]*$", _FLAGS | re.MULTILINE)
# in front of a score, in its sentence: it was not given
_DENIED = re.compile(
    r"\b(?:not|never|cannot|rather\s+than|instead\s+of)\b|n't\b|\b(?:would|could|might|should)\s+have\b|\bif\b"
    r"|\b(?:perfect|full|maximum|max|highest|possible|ideal)\s*$",
    _FLAGS,
)
_SPECIAL = re.compile(r"</?s>|<\|[a-z_]+\|>")
_RULES = (("stated", _STATED), ("stated", _GIVEN), ("stated", _EARNS), ("out_of_100", _OF_100), ("line", _LINE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was read in a reply: a score in [0, 100], None when none was; and the rule, or why there is none."""

    value: float | None
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    rule: str
    value: float | None
    fault: str | None


def parse_score(text: str) -> Score:
    """Return the score out of 100 in a critic's reply; see the module for the rules."""
    text = plain(text)
    if (whole := _BARE.fullmatch(text)) is not None:
        return _agreed([_found("bare", whole)])
    final = _all("final", _FINAL, text)
    if final:
        return _agreed(final)
    return _agreed([one for rule, pattern in _RULES for one in _all(rule, pattern, text)])


def plain(text: str) -> str:
    """Return a reply in NFKC without special tokens and the marks of bold, code and headings."""
    text = unicodedata.normalize("NFKC", _SPECIAL.sub(" ", text)).replace("\u2019", "'").replace("\u2212", "-")
    return re.sub(r"[*`#]+|(?<!\w)_+|_+(?!\w)", "", text).strip()


def _all(rule: str, pattern: re.Pattern[str], text: str) -> list[_Found]:
    return [_found(rule, match) for match in pattern.finditer(text) if not _denied(text, match)]


def _denied(text: str, match: re.Match[str]) -> bool:
    sentence = re.split(r"[.;!?]\s|\n", text[: match.start()])[-1]
    if _DENIED.search(sentence):
        return True
    supposed = re.search(r"\b(?:would|could|might)\s+be\b", match[0], _FLAGS)
    behind = re.split(r"[.;!?](?:\s|$)|\n", text[match.end() :])[0]
    return supposed is not None and re.search(r"\bif\b", behind, _FLAGS) is not None


def _found(rule: str, match: re.Match[str]) -> _Found:
    value = float(match["number"])
    if match["range"] is not None or re.search(r"\bbetween\s+[\[(]*[-+]?\d", match[0], _FLAGS):
        return _Found(rule=rule, value=None, fault="ambiguous")
    if match["out_of"] not in (None, "100") or 0 < value < 1:
        return _Found(rule=rule, value=None, fault="other_scale")
    if not 0 <= value <= 100:
        return _Found(rule=rule, value=None, fault="out_of_range")
    return _Found(rule=rule, value=value, fault=None)


def _agreed(found: list[_Found]) -> Score:
    """Return the one score that all statements give, by the first one's rule."""
    if not found:
        return Score(value=None, rule="none")
    first = found[0]
    if len({(one.value, one.fault) for one in found}) > 1:
        return Score(value=None, rule="ambiguous")
    return Score(value=first.value, rule=first.fault or first.rule)
