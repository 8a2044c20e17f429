"""Read a list of texts that is written as Python writes one: ['a', "b's", 'c\\n']. Nothing in it is ever evaluated.

list := "[" [ item { "," item } [","] ] "]"      item := string | number
string := '...' or "...", with Python's backslash escapes       number := whole or decimal, kept as it is written
"""

from __future__ import annotations

import re

_SPACE = re.compile(r"\s*")
_ITEM = re.compile(
    r"u?(?P<quoted>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)", re.DOTALL)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "\n": "",
}  # fmt: skip
# escapes that need what follows them, or the names of characters
_UNFINISHED = ("x", "u", "U", "N")


def quoted_list(text: str) -> tuple[str, ...]:
    """Return the items of a list written as text. Raises ValueError saying at which character it is none."""
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise _strange(text, at, "a list, as ['a', 'b']")
    items: list[str] = []
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        found = _ITEM.match(text, at)
        if found is None:
            raise _strange(text, at, "a text in quotes, or a number")
        items.append(found["number"] or _plain(found["quoted"]))
        at = _skip(text, found.end())
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            raise _strange(text, at, "a comma or the end of the list")
    if _skip(text, at + 1) != len(text):
        raise _strange(text, at + 1, "nothing behind the list")
    return tuple(items)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _plain(quoted: str) -> str:
    return _ESCAPE.sub(_unescaped, quoted[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code in _SIMPLE:
        return _SIMPLE[code]
    if code in _UNFINISHED:
        raise ValueError(f"the escape {match[0]!r} is not whole")
    if code[0] in "xuU":
        return chr(int(code[1:], 16))
    # one that Python does not know stays as it is
    return chr(int(code, 8)) if code[0] in "01234567" else match[0]


def _strange(text: str, at: int, expected: str) -> ValueError:
    return ValueError(f"expected {expected} at character {at}, found {text[at : at + 20]!r}")
