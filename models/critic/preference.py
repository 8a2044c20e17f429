"""Read which of two answers a critic's reply prefers; the rule that read it is reported, and nothing is ever guessed.

The rules, in order; within each, all statements must agree:

- "bare": the whole reply is "first", "Response 2", "B", "tie";
- "conclusion": a statement in a sentence that concludes ("Therefore", "Overall", "In conclusion");
- "stated": a statement anywhere else ("The first response is better", "I prefer the second", "they are equally good");
- "aspect": a statement that only holds "in terms of" something, when there is no other.

Statements that disagree are "ambiguous", a reply without one is "none": both have no choice. Questions, denied
statements ("is not better") and supposed ones ("would be better if") are no statements.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from models.critic.score import plain

Choice = Literal["first", "second", "tie"]

_NAMES = "(?:response|answer|one|option|assistant|caption|description|model)"
_KINDS = "(?:response|answer|option|assistant)"
_FIRST = rf"(?:first(?:\s+{_NAMES})?|{_KINDS}\s+(?:1|one|(?-i:A)))\b"
_SECOND = rf"(?:second(?:\s+{_NAMES})?|{_KINDS}\s+(?:2|two|(?-i:B)))\b"
_X = rf"(?:the\s+)?[\"'\[(]*(?:(?P<first>{_FIRST})|(?P<second>{_SECOND}))[\"'\])]*"
_HOW = (
    r"(?:(?:the|a|an|clearly|significantly|slightly|much|definitely|overall|far|also|ultimately|considered|marginally|"
    r"generally|still|therefore|thus|deemed|judged|to\s+be|somewhat|noticeably|by\s+far)\s+)*"
)
_ASIDE = r"(?:\s*\([^)]*\)|,[^,.;]*,)?"
_IS = r"\s+(?:is|was|seems|appears|remains|stands\s+out\s+as)\s+"
_FLAGS = re.IGNORECASE
# a statement, and whether it names the better answer or the worse one
_STATEMENTS = (
    (
        re.compile(
            rf"\b{_X}{_ASIDE}{_IS}{_HOW}(?:better|superior|best|preferable|preferred|stronger|winner)\b", _FLAGS
        ),
        True,
    ),
    (re.compile(rf"\b{_X}{_ASIDE}\s+(?:{_HOW})(?:wins\b|outperforms|surpasses|beats)", _FLAGS), True),
    (
        re.compile(
            rf"\b(?:better|best|superior|preferred|preferable|winning)(?:\s+{_NAMES}|\s+choice)?\s*(?:is|:|=)\s*{_X}"
            r"(?!\s+(?:not|because\s+of\s+not))",
            _FLAGS,
        ),
        True,
    ),
    (re.compile(rf"\b(?:winner|verdict|preference|decision|choice)\s*(?:is|:|=)\s*{_X}", _FLAGS), True),
    (re.compile(rf"\b(?:prefer|choose|select|pick|favou?r|go\s+with)\s+{_X}", _FLAGS), True),
    (re.compile(rf"\bnot\s+(?:quite\s+)?as\s+good\s+as\s+{_X}", _FLAGS), True),
    (re.compile(rf"\b(?:worse\s+than|inferior\s+to)\s+{_X}", _FLAGS), True),
    (re.compile(rf"\b{_X}{_ASIDE}{_IS}{_HOW}(?:worse|inferior|weaker|poorer|worst)\b", _FLAGS), False),
    (re.compile(rf"(?<!no )(?<!not )\b(?:better\s+than|superior\s+to|preferable\s+to)\s+{_X}", _FLAGS), False),
)
_TIE = re.compile(
    r"\bequally\s+(?:good|bad|well|valid|correct|accurate|poor|wrong|incorrect|strong|helpful|weak)\b"
    r"|\b(?:of|are)\s+(?:equal|the\s+same|comparable|similar)\s+(?:in\s+)?quality\b|\bequal\s+in\s+quality\b"
    r"|\b(?:it\s+is|it's|this\s+is|result\s+is|ends?\s+in|results?\s+in|call\s+it)\s+a\s+tie\b(?!\s+(?:that|which|worn))"
    r"|\b(?:verdict|winner|preference|result|decision)\s*(?:is|:|=)\s*(?:a\s+)?tie\b"
    rf"|\bneither\s+(?:{_NAMES}\s+)?(?:is|stands\s+out\s+as)\s+(?:clearly\s+)?better\b|\bno\s+clear\s+winner\b",
    _FLAGS,
)
_BARE = re.compile(
    rf"\W*(?:the\s+)?(?:(?P<first>{_FIRST}|1|A)|(?P<second>{_SECOND}|2|B)|(?P<tie>(?:a\s+)?tie|equal))\W*", _FLAGS
)
_CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|overall|in\s+conclusion|in\s+summary|to\s+sum\s+up|to\s+conclude|ultimately|consequently|"
    r"final\s+(?:verdict|judgment|judgement|decision|answer))\b",
    _FLAGS,
)
_DENIED = re.compile(r"\b(?:not|never|cannot|hardly|if|whether|unless|nor)\b|n't\b", _FLAGS)
_LIMITED = re.compile(r"\s+(?:in\s+terms\s+of|with\s+respect\s+to|regarding|at|in|when\s+it\s+comes\s+to)\b", _FLAGS)
_OTHER: dict[Choice, Choice] = {"first": "second", "second": "first"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What was read in a reply: the answer preferred, a tie, or None; and the rule, or why there is none."""

    choice: Choice | None
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    choice: Choice
    rule: Literal["conclusion", "stated", "aspect"]


def parse_preference(text: str) -> Preference:
    """Return which answer a critic's reply prefers; see the module for the rules."""
    text = plain(text)
    if (whole := _BARE.fullmatch(text)) is not None:
        return Preference(choice=_named(whole), rule="bare")
    found = [statement for sentence in _sentences(text) for statement in _statements(sentence)]
    for rule in ("conclusion", "stated", "aspect"):
        choices = {one.choice for one in found if one.rule == rule}
        if len(choices) > 1:
            return Preference(choice=None, rule="ambiguous")
        if choices:
            return Preference(choice=choices.pop(), rule=rule)
    return Preference(choice=None, rule="none")


def _sentences(text: str) -> list[str]:
    """Return the sentences of a text that are no questions."""
    return [one for one in re.split(r"(?<=[.;!?])\s+|\n+", text) if not one.rstrip().endswith("?")]


def _statements(sentence: str) -> Iterator[_Statement]:
    concludes = _CONCLUDES.search(sentence) is not None
    for pattern, better in _STATEMENTS:
        for match in pattern.finditer(sentence):
            if _denied(sentence, match):
                continue
            named = _named(match)
            limited = _LIMITED.match(sentence[match.end() :]) is not None
            rule = "aspect" if limited else "conclusion" if concludes else "stated"
            yield _Statement(choice=named if better else _OTHER[named], rule=rule)
    for match in _TIE.finditer(sentence):
        if not _denied(sentence, match):
            yield _Statement(choice="tie", rule="conclusion" if concludes else "stated")


def _denied(sentence: str, match: re.Match[str]) -> bool:
    clause = re.split(r"[,:]|\b(?:but|so|because|since|while|and|thus|hence|therefore)\b", sentence[: match.start()])[
        -1
    ]
    return _DENIED.search(clause) is not None


def _named(match: re.Match[str]) -> Choice:
    groups = match.groupdict()
    return next(name for name in ("first", "second", "tie") if groups.get(name) is not None)
