"""Split a command line into what hydra should see and what is ours: media files, sizes, a question, and plain flags."""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# an override is KEY=VALUE, +KEY=VALUE, ++KEY=VALUE or ~KEY[=VALUE], KEY as hydra spells groups, packages and fields
_OVERRIDE = re.compile(r"(\+\+?)?[A-Za-z_][\w./@:-]*=|~[A-Za-z_]", re.DOTALL)
_HYDRA_SWITCHES = {"--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"}
_HYDRA_SWITCHES |= {"--shell-completion", "-sc"}
_HYDRA_WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"}
_HYDRA_WITH_VALUE |= {"--config-dir", "-cd", "--experimental-rerun"}
_HYDRA_INFO = {"--info", "-i"}
_INFO_VALUES = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}


class Arguments(NamedTuple):
    """bare: files, sizes or a question, in order. flags: ours, like --json. overrides: hydra's, options included."""

    bare: list[str]
    flags: set[str]
    overrides: list[str]


def split_arguments(argv: Sequence[str], known: Collection[str] | None = None) -> Arguments:
    """Return the arguments (without the program's name) in three parts.

    An argument is bare when it neither starts with '-', '+' or '~' nor begins with KEY=; a file whose name does is
    written ./KEY=... . Everything after a lone '--' is bare. Raises ValueError for a --flag that is not in `known`
    (None: any is accepted), and for an option of hydra's that lacks its value.
    """
    bare: list[str] = []
    flags: set[str] = set()
    overrides: list[str] = []
    options: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            bare += rest
            break
        if _is_hydra_option(word):
            options.append(word)
            options += _option_value(word, rest)
        elif word.startswith("-") and len(word) > 1:
            flags.add(_flag(word, known))
        elif _OVERRIDE.match(word):
            overrides.append(word)
        else:
            bare.append(_bare(word))
    # hydra's parser takes no option between two overrides
    return Arguments(bare, flags, overrides + options)


def _is_hydra_option(word: str) -> bool:
    name = word.split("=", 1)[0]
    return name in _HYDRA_SWITCHES or name in _HYDRA_WITH_VALUE or name in _HYDRA_INFO


def _option_value(word: str, rest: list[str]) -> list[str]:
    if word in _HYDRA_WITH_VALUE:
        if not rest:
            raise ValueError(f"{word}: needs a value")
        return [rest.pop(0)]
    if word in _HYDRA_INFO and rest and rest[0] in _INFO_VALUES:
        return [rest.pop(0)]
    return []


def _flag(word: str, known: Collection[str] | None) -> str:
    if known is not None and word not in known:
        raise ValueError(f"{word}: unknown option; this command has {', '.join(sorted(known)) or 'none'} and --help")
    return word


def _bare(word: str) -> str:
    if word.startswith(("+", "~")):
        raise ValueError(f"{word}: expected an override like +key=value or ~key; for a file write ./{word}")
    return word


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A word FILE@NAME without its "@NAME", and the name, None where it has none."""

    word: str
    name: str | None = None


def named(word: str) -> Named:
    """Return what a word names; a file whose own name holds an "@" is that file."""
    head, at, name = word.rpartition("@")
    plain = name.replace("-", "").replace(".", "").replace("_", "").isalnum()
    if not at or not head or not plain or os.path.exists(word):  # noqa: PTH110
        return Named(word=word)
    return Named(word=head, name=name)
