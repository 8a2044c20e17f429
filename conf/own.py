"""Command lines of commands that load a model: model=FOLDER, and grid and video settings on top of the model's own."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from conf.build import build

T = TypeVar("T")


def for_hydra(word: str) -> str:
    """Return an override as hydra reads it: model= names no group here, grid. and video. add to what is null."""
    if word.startswith("model="):
        folder = word.removeprefix("model=").replace("\\", "\\\\").replace("'", "\\'")
        return f"source='{folder}'"
    return f"++{word}" if word.startswith(("grid.", "video.")) else word


def settings(cls: type[T], given: Mapping[str, Any] | None, own: T, chosen: Mapping[str, str], group: str) -> T | None:
    """Return the settings of a group that was chosen, the model's own with single keys replaced, or None for its own.

    chosen: what hydra chose in each group (conf.main.Composed). Raises ValueError as conf.build does.
    """
    if not given:
        return None
    whole = chosen.get(group, "None") != "None"
    return build(cls, dict(given) if whole else {**asdict(own), **given}, group)
