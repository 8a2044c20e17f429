"""Build frozen dataclasses from plain mappings, strictly: every error names the key and what was found there.

The mapping is what a YAML file composes to: dicts, lists, strings, numbers, booleans and None. This file imports
nothing of the project, so anybody may use it.
"""

from __future__ import annotations

import difflib
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")


def build(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Return a `cls` from `mapping`; nested dataclasses, NamedTuples, tuples, dicts, Literals and unions included.

    A float accepts an int, a Path a string, a tuple or NamedTuple a list; nothing else is converted. Raises ValueError
    with the dotted key, what was expected there and what was found: "grid.layouts[0][1]: expected int, got 'a'".
    """
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise TypeError(f"build: expected a dataclass type, got {cls!r}")
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{where or cls.__name__}: expected a mapping for {cls.__name__}, got {mapping!r}")
    hints = _hints(cls)
    known = {field.name: field for field in fields(cls) if field.init}
    for key in mapping:
        if key not in known:
            raise ValueError(_unknown_key(where, key, cls, tuple(known)))
    values = {}
    for name, field in known.items():
        if name in mapping:
            values[name] = convert(hints[name], mapping[name], _join(where, name))
        elif not _has_default(field):
            raise ValueError(f"{_join(where, name)}: missing, {cls.__name__} needs {_name(hints[name])}")
    return _construct(cls, values, where)


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type `hint`; ValueError naming `where` when it is not one."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _union(hint, value, where)
    if origin is Literal:
        return _literal(hint, value, where)
    if origin is tuple or hint is tuple:
        return _tuple(hint, value, where)
    if origin in (dict, Mapping):
        return _dict(hint, value, where)
    if isinstance(hint, type) and is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _named_tuple(hint, value, where)
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is None or hint is type(None):
        if value is None:
            return None
        raise _mismatch(where, hint, value)
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    # exact types: True is an int to Python, but a typing mistake in a config
    if hint in (int, float, str, bool) and type(value) is hint:
        return value
    if hint in (int, float, str, bool, Path):
        raise _mismatch(where, hint, value)
    raise TypeError(f"{where}: the builder does not know the type {hint!r}")


def _union(hint: Any, value: Any, where: str) -> Any:
    arms = typing.get_args(hint)
    if value is None and type(None) in arms:
        return None
    real = [arm for arm in arms if arm is not type(None)]
    # with one arm left its own message is the better one: it may point inside the value
    if len(real) == 1:
        return convert(real[0], value, where)
    for arm in real:
        try:
            return convert(arm, value, where)
        except ValueError:
            continue
    raise _mismatch(where, hint, value)


def _literal(hint: Any, value: Any, where: str) -> Any:
    for choice in typing.get_args(hint):
        if type(choice) is type(value) and choice == value:
            return value
    raise _mismatch(where, hint, value)


def _tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _mismatch(where, hint, value)
    arms = typing.get_args(hint)
    if not arms:
        return tuple(value)
    if len(arms) == 2 and arms[1] is Ellipsis:
        arms = (arms[0],) * len(value)
    if len(arms) != len(value):
        raise ValueError(f"{where}: expected {len(arms)} values ({_name(hint)}), got {len(value)}: {list(value)!r}")
    return tuple(convert(arm, item, f"{where}[{i}]") for i, (arm, item) in enumerate(zip(arms, value, strict=True)))


def _named_tuple(cls: type, value: Any, where: str) -> Any:
    hints = _hints(cls)
    names = tuple(hints)
    if isinstance(value, Mapping):
        if set(value) != set(names):
            found = ", ".join(map(str, value)) or "none"
            raise ValueError(f"{where}: expected the keys {', '.join(names)}, got {found}")
        return cls(**{name: convert(hints[name], value[name], f"{where}.{name}") for name in names})
    if not isinstance(value, (list, tuple)):
        raise _mismatch(where, cls, value)
    if len(value) != len(names):
        wanted = ", ".join(names)
        raise ValueError(f"{where}: expected {len(names)} values ({wanted}), got {len(value)}: {list(value)!r}")
    return cls(*(convert(hints[name], value[i], f"{where}[{i}]") for i, name in enumerate(names)))


def _dict(hint: Any, value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _mismatch(where, hint, value)
    key_hint, value_hint = typing.get_args(hint) or (Any, Any)
    return {convert(key_hint, key, where): convert(value_hint, item, _join(where, key)) for key, item in value.items()}


def _construct(cls: Callable[..., T], values: dict[str, Any], where: str) -> T:
    try:
        return cls(**values)
    except ValueError as error:
        # a check of the dataclass itself: add the place, unless it named it
        named = not where or str(error).startswith((f"{where}.", f"{where}:"))
        raise ValueError(str(error) if named else f"{where}: {error}") from error


def _unknown_key(where: str, key: Any, cls: type, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{_join(where, key)}: unknown key, {hint}{cls.__name__} has {', '.join(known) or 'no keys'}"


def _mismatch(where: str, hint: Any, value: Any) -> ValueError:
    return ValueError(f"{where}: expected {_name(hint)}, got {value!r}")


def _name(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_name(arm) for arm in typing.get_args(hint))
    if origin is Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(hint))
    if hint is None or hint is type(None):
        return "null"
    if origin is tuple:
        return f"a list of {' and '.join(_name(arm) for arm in typing.get_args(hint) if arm is not Ellipsis)}"
    if origin is not None:
        return f"a mapping of {' to '.join(_name(arm) for arm in typing.get_args(hint))}"
    return hint.__name__ if isinstance(hint, type) else str(hint)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)
