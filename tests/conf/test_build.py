"""The strict builder: what it converts, and that every error names the key."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from anyres.geometry import HW
from anyres.grid import GridSpec
from conf.build import build


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size: expected at least 0, got {self.size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner
    points: tuple[Point, ...] = ()
    pair: tuple[int, str] = (1, "a")
    mode: Literal["fast", "slow", 3] = "fast"
    maybe: int | None = None
    either: int | str = 0
    named: dict[str, Inner] = field(default_factory=dict)
    folder: Path | None = None
    anything: Any = None
    on: bool = False


def test_builds_every_kind_of_field() -> None:
    built = build(
        Outer,
        {
            "inner": {"size": 2, "rate": 1},
            "points": [[1, 2], {"y": 4, "x": 3}],
            "pair": [5, "b"],
            "mode": 3,
            "maybe": 7,
            "either": "word",
            "named": {"one": {"size": 0}},
            "folder": "runs/x",
            "anything": [1, {"a": 2}],
            "on": True,
        },
    )
    assert built == Outer(
        inner=Inner(size=2, rate=1.0),
        points=(Point(1, 2), Point(3, 4)),
        pair=(5, "b"),
        mode=3,
        maybe=7,
        either="word",
        named={"one": Inner(size=0)},
        folder=Path("runs/x"),
        anything=[1, {"a": 2}],
        on=True,
    )
    assert isinstance(built.inner.rate, float)


def test_defaults_and_built_parts_pass_through() -> None:
    inner = Inner(size=1)
    assert build(Outer, {"inner": inner}).inner is inner


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "outer.inner: missing, Outer needs Inner"),
        (
            {"inner": {"size": 1}, "maybee": 1},
            "outer.maybee: unknown key, did you mean 'maybe'? Outer has inner, points",
        ),
        ({"inner": {"size": "1"}}, "outer.inner.size: expected int, got '1'"),
        ({"inner": {"size": True}}, "outer.inner.size: expected int, got True"),
        ({"inner": {"size": 1.0}}, "outer.inner.size: expected int, got 1.0"),
        ({"inner": {"size": 1, "rate": "0.5"}}, "outer.inner.rate: expected float, got '0.5'"),
        ({"inner": None}, "outer.inner: expected a mapping for Inner, got None"),
        ({"inner": {"size": -1}}, "outer.inner: size: expected at least 0, got -1"),
        ({"inner": {"size": 1}, "points": 3}, "outer.points: expected a list of Point, got 3"),
        ({"inner": {"size": 1}, "points": [[1, "a"]]}, "outer.points[0][1]: expected int, got 'a'"),
        ({"inner": {"size": 1}, "points": [[1, 2, 3]]}, "outer.points[0]: expected 2 values (x, y), got 3: [1, 2, 3]"),
        ({"inner": {"size": 1}, "points": [{"x": 1}]}, "outer.points[0]: expected the keys x, y, got x"),
        ({"inner": {"size": 1}, "pair": [1]}, "outer.pair: expected 2 values"),
        ({"inner": {"size": 1}, "mode": "fats"}, "outer.mode: expected 'fast' or 'slow' or 3, got 'fats'"),
        ({"inner": {"size": 1}, "maybe": "x"}, "outer.maybe: expected int, got 'x'"),
        ({"inner": {"size": 1}, "either": 1.5}, "outer.either: expected int or str, got 1.5"),
        ({"inner": {"size": 1}, "named": {"a": {"size": "b"}}}, "outer.named.a.size: expected int, got 'b'"),
        ({"inner": {"size": 1}, "on": 1}, "outer.on: expected bool, got 1"),
    ],
)
def test_errors_name_the_key(mapping: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build(Outer, mapping, where="outer")


def test_a_real_spec() -> None:
    grid = build(GridSpec, {"layouts": [[1, 2], [2, 1]], "target_tiles": 2, "thin": "released"}, where="grid")
    assert grid == GridSpec(layouts=(HW(1, 2), HW(2, 1)), target_tiles=2, thin="released")
    with pytest.raises(ValueError, match=re.escape("grid.layouts[0][1]: expected int, got 'a'")):
        build(GridSpec, {"layouts": [[1, "a"]]}, where="grid")
    # a check of the class that names its own key is not prefixed twice
    with pytest.raises(ValueError, match=r"^grid\.slack: expected at least 1.0, got 0.5$"):
        build(GridSpec, {"slack": 0.5}, where="grid")


def test_only_dataclasses_can_be_built() -> None:
    with pytest.raises(TypeError, match="expected a dataclass type"):
        build(dict, {})
