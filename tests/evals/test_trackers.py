"""Trackers: off by default, refused before a run when they are missing, and what they write can be read back."""

import importlib.util
import math
import sys
import types
from pathlib import Path

import pytest

from evals import trackers
from evals.result import Result, Row
from evals.trackers import Tracked, log_all, of_result, tracker

ROW = {
    "n": 4, "accuracy": 0.75, "low": 0.3, "high": 0.95, "se": None, "guess": 0.75, "majority": 0.5, "blind": None,
    "unparsed": 1, "failed": 0, "tokens": 88.0,
}  # fmt: skip
RESULT = Result(
    task="t", version="v1", rows=(Row(task="all", **ROW), Row(task="x", **{**ROW, "low": math.nan})), samples=()
)


def test_none_is_no_tracker(tmp_path: Path) -> None:
    assert tracker("none", tmp_path) is None
    log_all(None, [of_result("run", RESULT, {})])
    assert list(tmp_path.iterdir()) == []


def test_unknown_and_missing_trackers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        tracker("mlflow", tmp_path)
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"anyres\[wandb\]"):
        tracker("wandb", tmp_path)


def test_figures_of_a_result_leave_out_what_is_no_number() -> None:
    made = of_result("run", RESULT, {"grid": "2x2"})
    assert made.figures["t/all/accuracy"] == 0.75 and made.figures["t/all/visual_tokens"] == 88
    assert "t/x/low" not in made.figures and "| task |" in made.texts["result"]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_files_hold_the_figures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_all(tracker("tensorboard", tmp_path), [of_result("1x1, a/b", RESULT, {"grid": "2x2", "limit": None})])
    (run,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    assert events.Scalars("t/all/accuracy")[0].value == 0.75
    assert set(events.Tags()["tensors"]) == {"result/text_summary", "config/text_summary"}


class Recorder(types.ModuleType):
    """A module that notes what it is told, in place of a tracker's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, object]] = []

    def init(self, **named: object) -> "Recorder":
        self.calls.append(("init", named))
        return self

    def log(self, figures: dict[str, float]) -> None:
        self.calls.append(("log", figures))

    def finish(self) -> None:
        self.calls.append(("finish", None))


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_others_get_config_and_figures_and_stay_offline(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Recorder(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(trackers, "find_spec", lambda asked: asked)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    run = Tracked(name="1x1", config={"grid": "1x1"}, figures={"t/all/accuracy": 0.5}, texts={})
    log_all(tracker(name, tmp_path), [run])
    (_, asked), (_, figures), (last, _) = module.calls
    assert asked["name"] == "1x1" and asked["config"] == {"grid": "1x1"} and last == "finish"
    assert figures == {"t/all/accuracy": 0.5}
    assert name != "wandb" or asked["mode"] == "offline"
