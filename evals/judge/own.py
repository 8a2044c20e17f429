"""A form of the user's own: a JSON file with the words, as where a published template may not be shipped here.

The file: {"name": "mine@v1", "system": "...", "text": "... {question} {truth} {answer} ...", "reader": "score@v1",
"top": 5} and, where they differ from false, "decides", "seen" and "unparsed_only". Fields of the text are those, and
the facts of the task's samples.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.judge.form import JudgeForm
from evals.judge.forms import FORMS, plain
from evals.judge.readers import READERS

_NEEDED: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "system": str,
    "text": str,
    "reader": str,
    "top": (int, float),
}
_SWITCHES = ("decides", "seen", "unparsed_only")


def find_form(name: str) -> JudgeForm:
    """Return the form called `name`, or the one in the file of that name, which ends in .json.

    Raises ValueError for an unknown name, and for a file that is not as expected.
    """
    if name.endswith(".json"):
        return read_form(Path(name))
    if name not in FORMS:
        raise ValueError(f"judge.form: got {name!r}, expected a .json file or one of {sorted(FORMS)}")
    return FORMS[name]


def read_form(path: Path) -> JudgeForm:
    """Return the form in a file; a ValueError names what is not as expected."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON: {error}") from error
    return form_of(record, str(path))


def form_of(record: Any, where: str) -> JudgeForm:
    """Return the form that a record describes; ValueErrors say `where` it comes from."""
    if not isinstance(record, dict) or not set(record) <= {*_NEEDED, *_SWITCHES} or not set(_NEEDED) <= set(record):
        raise ValueError(f"{where}: expected an object with {', '.join(_NEEDED)} and perhaps {', '.join(_SWITCHES)}")
    for key, kind in _NEEDED.items():
        if not isinstance(record[key], kind) or isinstance(record[key], bool):
            raise ValueError(f"{where}: {key} is {record[key]!r}, expected a {'number' if key == 'top' else 'text'}")
    for key in _SWITCHES:
        if not isinstance(record.get(key, False), bool):
            raise ValueError(f"{where}: {key} is {record[key]!r}, expected true or false")
    if record["name"] in FORMS:
        raise ValueError(f"{where}: {record['name']} is the name of a form that is there already")
    if record["reader"] not in READERS:
        raise ValueError(f"{where}: reader is {record['reader']!r}, expected one of {sorted(READERS)}")
    return JudgeForm(
        name=record["name"],
        system=record["system"],
        text=record["text"],
        top=float(record["top"]),
        fill=plain,
        reader=record["reader"],
        read=READERS[record["reader"]].read,
        decides=record.get("decides", False),
        seen=record.get("seen", False),
        unparsed_only=record.get("unparsed_only", False),
    )


def record_of(form: JudgeForm) -> str | dict[str, object]:
    """Return what a run remembers of a form: its name, or all of it where it is the user's own."""
    if form.name in FORMS:
        return form.name
    return {key: value for key, value in _values(form).items() if value is not False}


def remembered(record: object, where: str) -> JudgeForm:
    """Return the form that `record_of` described."""
    return find_form(record) if isinstance(record, str) else form_of(record, where)


def _values(form: JudgeForm) -> dict[str, object]:
    return {
        "name": form.name,
        "system": form.system,
        "text": form.text,
        "reader": form.reader,
        "top": form.top,
        "decides": form.decides,
        "seen": form.seen,
        "unparsed_only": form.unparsed_only,
    }
