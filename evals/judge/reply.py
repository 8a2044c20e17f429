"""Find the one flat object in a judge's reply, by a small grammar of our own: nothing in a reply is ever evaluated.

    object := "{" [ key ":" value { "," key ":" value } [","] ] "}"
    key    := string | word          value := string | number | word
    string := "..." or '...', with backslash escapes;  number := whole or decimal;  word := letters

That covers JSON and the dict that judges like to write instead. Thoughts before "</think>" are left out. An object
inside something else (a list, an object with objects) is found too.
"""

from __future__ import annotations

import re

Value = str | float

# a longer reply is no verdict; what is searched stays bounded
MAX_CHARACTERS = 20_000
_STRING = r"\"(?:[^\"\\\n]|\\.){0,4000}\"|'(?:[^'\\\n]|\\.){0,4000}'"
_KEY = re.compile(rf"\s*(?:(?P<string>{_STRING})|(?P<word>[A-Za-z_]{{1,40}}))\s*:")
_VALUE = re.compile(
    rf"\s*(?:(?P<string>{_STRING})|(?P<number>[+-]?[0-9]{{1,6}}(?:\.[0-9]{{1,6}})?)(?![\w.])|(?P<word>[A-Za-z]{{1,40}})\b)\s*"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}(?:\.[0-9]{1,6})?")
_ESCAPE = re.compile(r"\\(.)")


def find_object(reply: str) -> dict[str, Value] | None:
    """Return the fields of the reply's object; None without one, and with several that differ.

    Words stay strings, in lower case; numbers, also in quotes, are floats. An object that names a key twice is none.
    """
    if len(reply) > MAX_CHARACTERS:
        return None
    thought = reply.rfind("</think>")
    if thought < 0 and reply.lstrip().startswith("<think>"):
        return None
    found: list[dict[str, Value]] = []
    at = reply.find("{", max(thought, 0))
    while at >= 0:
        parsed = _object(reply, at)
        if parsed is not None:
            fields, at = parsed
            found.append(fields)
        else:
            at += 1
        at = reply.find("{", at)
    if not found or any(fields != found[0] for fields in found):
        return None
    return found[0]


def _object(text: str, at: int) -> tuple[dict[str, Value], int] | None:
    """Return the fields of the object that begins at `at` and where it ends."""
    fields: dict[str, Value] = {}
    at += 1
    while True:
        key = _KEY.match(text, at)
        value = None if key is None else _VALUE.match(text, key.end())
        if key is None or value is None:
            break
        name = (key["word"] or _unquoted(key["string"])).strip().lower()
        if name in fields:
            return None
        fields[name] = _value(value)
        at = value.end()
        if text[at : at + 1] != ",":
            break
        at += 1
    while text[at : at + 1].isspace():
        at += 1
    return (fields, at + 1) if fields and text[at : at + 1] == "}" else None


def _value(match: re.Match[str]) -> Value:
    if match["number"] is not None:
        return float(match["number"])
    text = match["word"].lower() if match["word"] is not None else _unquoted(match["string"]).strip()
    return float(text) if _NUMBER.fullmatch(text) else text


def _unquoted(quoted: str) -> str:
    return _ESCAPE.sub(r"\1", quoted[1:-1])
