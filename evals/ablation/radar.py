"""A radar of a sweep: a spoke a task, a closed line a setting, its 95 % intervals on the spokes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import PercentFormatter

from evals.ablation.plots import COLORS, GRID, INK, MARKERS, SOFT, STYLE
from evals.ablation.table import SweepRow

# fewer tasks are no area, more settings no picture
LEAST_TASKS = 3
MOST_SETTINGS = 6
# radians between the intervals of two settings on one spoke, so that neither hides the other
_APART = 0.035
_NAME_WIDTH = 16


def radar(tasks: Sequence[str], lines: Sequence[Sequence[SweepRow]]) -> Figure:
    """Return accuracy by task, 0 in the middle and 100 % at the rim, a setting a line with its 95 % intervals.

    lines: of each setting its rows, one a task in the order of `tasks`; the first MOST_SETTINGS of them are drawn. The
    majority of the first setting is dashed. Raises ValueError for fewer than LEAST_TASKS tasks.
    """
    if len(tasks) < LEAST_TASKS:
        raise ValueError(f"radar: expected at least {LEAST_TASKS} tasks, got {len(tasks)}: {', '.join(tasks)}")
    spokes = [2 * math.pi * index / len(tasks) for index in range(len(tasks))]
    shown = lines[:MOST_SETTINGS]
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(6.4, 6.0), layout="constrained")
        axes = figure.add_subplot(projection="polar")
        assert isinstance(axes, PolarAxes)
        # the first task is at the top, the others follow clockwise
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        for index, rows in enumerate(shown):
            _draw_line(axes, spokes, rows, index, _APART * (index - (len(shown) - 1) / 2))
        floor = [row.majority for row in shown[0]]
        if all(map(math.isfinite, floor)):
            axes.plot(_closed(spokes), _closed(floor), color=SOFT, ls="--", lw=1.2, label="majority")
        axes.set_ylim(0, 1)
        axes.set_yticks([0.25, 0.5, 0.75, 1.0])
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        # between two spokes, where no interval lies
        axes.set_rlabel_position(math.degrees(math.pi / len(tasks)))
        axes.tick_params(axis="y", labelsize=8, labelcolor=SOFT)
        for label in axes.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6})
        axes.set_xticks(spokes, [textwrap.fill(task, _NAME_WIDTH) for task in tasks], color=INK)
        axes.tick_params(axis="x", pad=10)
        axes.spines["polar"].set_color(GRID)
        axes.set_title("accuracy by task, with 95 % intervals", pad=14)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), fontsize=9)
    return figure


def _draw_line(axes: PolarAxes, spokes: Sequence[float], rows: Sequence[SweepRow], index: int, shift: float) -> None:
    color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
    heights = [row.accuracy for row in rows]
    line = {"color": color, "lw": 1.6, "marker": marker, "ms": 5, "label": rows[0].setting}
    # a marker on the rim is not cut in half
    axes.plot(_closed(spokes), _closed(heights), clip_on=False, **line)
    for spoke, row in zip(spokes, rows, strict=True):
        at = spoke + shift
        axes.plot([at, at], [row.low, row.high], color=color, lw=2.2, alpha=0.55, solid_capstyle="butt")


def _closed(values: Sequence[float]) -> list[float]:
    return [*values, values[0]]
