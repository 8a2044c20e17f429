"""The axes that a sweep knows: what each varies, the configuration key that it sets, and the values that it takes.

An axis may name a kind (`kind: token-cap`) or a key (`key: grid.target_tok`); a key of another setting, which a sweep
would read only once, is refused. Whether a group has an option of that name is told when the point is composed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from conf.nearest import near
from video.clip import Policy, PoolMode

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisKind:
    """One axis: its key, the values that it takes in words, and whether a value is one of them."""

    key: str
    expected: str
    takes: Callable[[Value], bool]

    def check(self, value: Value, where: str) -> None:
        """Raise ValueError naming the axis and the value where it is not one of the axis's values."""
        if not self.takes(value):
            raise ValueError(f"{where}: {self.key}={value!r}, expected {self.expected}")


def _whole(least: int, null: bool = False) -> tuple[str, Callable[[Value], bool]]:
    def takes(value: Value) -> bool:
        return (null and value is None) or (isinstance(value, int) and not isinstance(value, bool) and value >= least)

    return f"a whole number of at least {least}{' or null' if null else ''}", takes


def _number(least: float, null: bool = False, open_end: bool = False) -> tuple[str, Callable[[Value], bool]]:
    def takes(value: Value) -> bool:
        if value is None or isinstance(value, bool | str):
            return null and value is None
        return value > least if open_end else value >= least

    return f"a number {'above' if open_end else 'of at least'} {least:g}{' or null' if null else ''}", takes


def _state() -> tuple[str, Callable[[Value], bool]]:
    def takes(value: Value) -> bool:
        return value is None or (isinstance(value, int) and not isinstance(value, bool))

    return "the number of a hidden state, -1 the last, or null", takes


def _one_of(*names: Value) -> tuple[str, Callable[[Value], bool]]:
    def takes(value: Value) -> bool:
        return any(value == name and type(value) is type(name) for name in names)

    return f"one of {', '.join('null' if name is None else str(name) for name in names)}", takes


def _pool_mode() -> tuple[str, Callable[[Value], bool]]:
    words, takes = _one_of(*get_args(PoolMode))
    return f"{words} (pixel-shuffle widens tokens: a projector is trained for it, so it is a checkpoint)", takes


def _name(what: str) -> tuple[str, Callable[[Value], bool]]:
    return what, lambda value: isinstance(value, str) and bool(value)


def _kind(key: str, rule: tuple[str, Callable[[Value], bool]]) -> AxisKind:
    return AxisKind(key=key, expected=rule[0], takes=rule[1])


_SWITCH = _one_of(True, False)
KINDS: dict[str, AxisKind] = {
    # pictures
    "tiling": _kind("grid", _name("the name of a grid (conf/grid)")),
    "encoder": _kind("encoder", _name("the name of an encoder (conf/encoder); for plan_only with a preset")),
    "checkpoint": _kind("model", _name("a preset's name or a checkpoint's folder")),
    "layer": _kind("layer", _state()),
    "base-resolution": _kind("tile_px", _whole(1, null=True)),
    "dtype": _kind("dtype", _one_of("float32", "bfloat16", "float16")),
    "token-cap": _kind("grid.target_tok", _whole(1, null=True)),
    "tile-cap": _kind("grid.target_tiles", _whole(1, null=True)),
    "dead-zone": _kind("grid.slack", _number(1.0)),
    "cap-rule": _kind("grid.rule", _one_of("released", "blog")),
    "interpolation": _kind("grid.shrink", _one_of("bilinear", "bicubic", "area")),
    "resize": _kind("resize", _one_of("bicubic", "bilinear", "area")),
    "merge": _kind("grid.merge", _one_of("spatial_unpad", "spatial", "flat", "spatial_maxpool2x2")),
    "base-view": _kind("grid.overview", _one_of("squash", "pad", "crop", "none")),
    "detail": _kind("grid.detail", _one_of("paste", "pad_square")),
    # clips
    "sampling": _kind("video", _name("the name of video settings (conf/video)")),
    "frame-policy": _kind("video.policy", _one_of(*get_args(Policy))),
    "frames": _kind("video.num_frames", _whole(1)),
    "fps": _kind("video.fps", _number(0.0, null=True, open_end=True)),
    "clip-tokens": _kind("clip_tokens", _whole(1, null=True)),
    "pooling-stride": _kind("video.pool", _whole(1)),
    "pooling-mode": _kind("video.pool_mode", _pool_mode()),
    "pooling-place": _kind("video.pool_before_projector", _SWITCH),
    "clip-ends": _kind("video.end", _one_of("grid", "frame", "one_token", "no_token")),
    "frame-fit": _kind("video.fit", _one_of("squash", "crop", "pad")),
    "decode-size": _kind("video.decode_px", _whole(1, null=True)),
    "frames-as": _kind("video.frames_as", _one_of("clip", "images", "anyres")),
    "slow-fast": _kind("video.slow_every", _whole(1, null=True)),
    "rope-factor": _kind("rope_factor", _number(1.0, null=True)),
    # a dynamic base grows with a prompt, so that beginnings which prompts share are not read alike
    "rope-type": _kind("rope_type", _one_of("linear", "yarn", None)),
    "time-instruction": _kind("times", _one_of(True, False, "released", None)),
    # controls
    "frame-control": _kind("control.frames", _one_of("all", "single", "shuffled")),
    "reduce": _kind("control.reduce", _one_of(1, 2, 4, 8)),
    "restore": _kind("control.restore", _SWITCH),
    "wiring": _kind("wiring", _one_of("none", "shuffled_tiles", "no_row_ends", "swapped_rows_cols")),
    "beyond-context": _kind("beyond_context", _SWITCH),
    # parts and tasks
    "language-model": _kind("llm", _name("the name of a language model (conf/llm); for plan_only with a preset")),
    "task": _kind("task", _name("the name of a task (conf/task)")),
}
_BY_KEY = {kind.key: kind for kind in KINDS.values()}
# keys below these are checked by what they build
_OPEN = ("grid.", "video.", "task.", "encoder.", "llm.")


def key_of(kind: str) -> str:
    """Return the configuration key of an axis kind; ValueError for an unknown one."""
    if kind not in KINDS:
        raise ValueError(f"axis kind {kind!r}: {_nearest(kind, list(KINDS))}")
    return KINDS[kind].key


def check_point(key: str, value: Value, where: str) -> None:
    """Raise ValueError where a point sets a key that does not differ by point, or a value that the key never takes."""
    if key in _BY_KEY:
        _BY_KEY[key].check(value, where)
    elif key != "source" and not key.startswith(_OPEN):
        raise ValueError(f"{where}: {key} is no axis; {_nearest(key, sorted(_BY_KEY))}")


def _nearest(word: str, known: list[str]) -> str:
    return near(word, known) or f"expected one of {', '.join(known)}"
