"""The radar of a sweep: where its lines and intervals lie, and when it is drawn."""

import math
from dataclasses import replace

import pytest

from evals.ablation.analysis import Analysis, analyse
from evals.ablation.axes import Cell
from evals.ablation.cost import Cost
from evals.ablation.figures import draw
from evals.ablation.radar import radar
from evals.ablation.table import Measured, SweepRow
from evals.result import Prediction, Result, Row, Scored

TASKS = ("read", "chart", "count", "order")


def point(setting: str, right_of: dict[str, int], of: int = 10) -> Measured:
    """Return a setting that answered so many of `of` questions of each task rightly."""
    samples = tuple(
        Scored(
            id=f"t/{kind}/{index}",
            kind=kind,
            cluster=f"{kind}{index}",
            gold="g",
            score=float(index < right),
            prediction=Prediction(id=f"t/{kind}/{index}", text="a", status="ok", visual_tokens=9, tiles=1, seconds=0.1),
        )
        for kind, right in right_of.items()
        for index in range(of)
    )
    rows = tuple(
        Row(
            task=kind, n=of, accuracy=right / of, low=right / of - 0.1, high=right / of + 0.1, se=None, guess=0.0,
            majority=0.2, blind=None, unparsed=0, failed=0, tokens=9.0,
        )
        for kind, right in (*right_of.items(), ("mean", sum(right_of.values()) // len(right_of)))
    )  # fmt: skip
    cost = Cost(encoder_flops=1, llm_flops=1, feature_bytes=1, seen_px=1)
    results = {"t": Result(task="t", version="v1", rows=rows, samples=samples)}
    return Measured(setting=setting, results=results, groups={}, flops=lambda _: cost, times=())


def analysed(tasks: tuple[str, ...] = TASKS) -> Analysis:
    few, many = dict(zip(tasks, (1, 2, 3, 4), strict=False)), dict(zip(tasks, (9, 8, 3, 6), strict=False))
    return analyse([point("1x1", few), point("2x2", many)], "1x1", {})


def names(analysis: Analysis) -> set[str]:
    cells = [Cell(setting=name, labels=(name,), set={}) for name in ("1x1", "2x2")]
    return {one.name for one in draw(analysis, cells, "s", "S", ["grid"])}


def lines_of(rows: tuple[SweepRow, ...]) -> list[list[SweepRow]]:
    return [[row for row in rows if row.setting == name and row.task != "mean"] for name in ("1x1", "2x2")]


def test_a_line_a_setting_with_its_interval_on_every_spoke() -> None:
    lines = lines_of(analysed().rows)
    (axes,) = radar(TASKS, lines).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == list(TASKS)
    drawn = {line.get_label(): line for line in axes.lines}
    # closed, from the top and round by quarters
    assert list(drawn["2x2"].get_xdata()) == pytest.approx([0, math.pi / 2, math.pi, 1.5 * math.pi, 0])
    assert list(drawn["2x2"].get_ydata()) == pytest.approx([0.9, 0.8, 0.3, 0.6, 0.9])
    assert list(drawn["majority"].get_ydata()) == [row.majority for row in (*lines[0], lines[0][0])]
    bars = [line for line in axes.lines if len(line.get_ydata()) == 2]
    assert [tuple(bar.get_ydata()) for bar in bars] == [(row.low, row.high) for line in lines for row in line]
    # two settings' intervals on one spoke do not lie on each other
    assert bars[0].get_xdata()[0] < 0 < bars[4].get_xdata()[0]
    assert axes.get_ylim() == (0, 1)


def test_few_tasks_are_refused_and_not_drawn() -> None:
    assert "s-radar" in names(analysed())
    assert "s-radar" in names(analysed(TASKS[:3]))
    assert "s-radar" not in names(analysed(TASKS[:2]))
    with pytest.raises(ValueError, match="expected at least 3 tasks, got 2: read, chart"):
        radar(TASKS[:2], lines_of(analysed(TASKS[:2]).rows))


def test_settings_that_saw_other_samples_are_not_drawn() -> None:
    analysis = analysed()
    apart = [replace(row, baseline="2x2") if row.setting == "2x2" else row for row in analysis.rows]
    assert "s-radar" not in names(replace(analysis, rows=tuple(apart)))
