"""The figures of a sweep, drawn with matplotlib: accuracy against tokens, and accuracy of each task by setting."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from evals.ablation.pareto import pareto_front
from evals.ablation.table import SweepRow

INK, SOFT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
# told apart with any colour vision (Okabe and Ito)
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
# characters of all names under one panel, above which they are turned
LONG_NAMES = 24
STYLE = {
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "anyres",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Rows joined by one line: one row a position on the x axis, and the positions' names."""

    label: str
    names: tuple[str, ...]
    rows: tuple[SweepRow, ...]


def accuracy_against_tokens(series: Sequence[Series], title: str) -> Figure:
    """Return accuracy with 95 % intervals against visual tokens (log scale), the Pareto front drawn through.

    series: rows of one task; those without measured tokens are left out. One series has its settings named at the
    points, several have a colour each.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
        rows = [row for line in series for row in line.rows if row.tokens]
        if rows:
            _draw_front(axes, rows)
            for index, line in enumerate(series):
                _draw_points(axes, line, COLORS[index % len(COLORS)], named=len(series) == 1)
            _draw_floor(axes, rows)
        axes.set(xlabel="visual tokens a sample (log scale)", ylabel="accuracy", ylim=(0, 1.04), title=title)
        _percent(axes)
    return figure


def by_task(panels: Sequence[tuple[str, Sequence[Series]]], xlabel: str, columns: int = 4) -> Figure:
    """Return one small panel a task: accuracy with intervals by setting, a line a series, the majority dashed."""
    lines = math.ceil(len(panels) / columns)
    columns = min(columns, len(panels))
    with plt.rc_context(STYLE):
        # turned names need room
        size = (2.55 * columns + 0.4, (3.3 if _turned(panels[0][1]) else 2.35) * lines + 0.5)
        figure, grid = plt.subplots(lines, columns, figsize=size, sharey=True, squeeze=False, layout="constrained")
        for axes, (name, series) in zip(grid.flat, panels, strict=False):
            _panel(axes, name, series)
        for axes in list(grid.flat)[len(panels) :]:
            axes.axis("off")
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy")
        figure.supxlabel(xlabel, fontsize=10, color=INK)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


def to_svg(figure: Figure) -> bytes:
    """Return the figure as SVG, the same bytes for the same data."""
    return _saved(figure, "svg", metadata={"Date": None})


def to_png(figure: Figure, dpi: int = 160) -> bytes:
    """Return the figure as PNG."""
    return _saved(figure, "png", dpi=dpi)


def close(figure: Figure) -> None:
    """Free the figure."""
    plt.close(figure)


def _saved(figure: Figure, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    with plt.rc_context(STYLE):
        figure.savefig(out, format=kind, facecolor="white", **options)
    return out.getvalue()


def _draw_front(axes: Axes, rows: Sequence[SweepRow]) -> None:
    tokens = [float(row.tokens or 0) for row in rows]
    front = pareto_front(tokens, [row.accuracy for row in rows])
    places, heights = [tokens[i] for i in front], [rows[i].accuracy for i in front]
    axes.plot(places, heights, color=SOFT, alpha=0.45, lw=4, solid_capstyle="round", label="Pareto front")


def _draw_points(axes: Axes, line: Series, color: str, named: bool) -> None:
    shown = [(name, row) for name, row in zip(line.names, line.rows, strict=True) if row.tokens]
    places = [float(row.tokens or 0) for _, row in shown]
    heights = [row.accuracy for _, row in shown]
    bars = _bars([row for _, row in shown])
    label = None if named else line.label
    axes.errorbar(places, heights, yerr=bars, fmt="o", color=color, ms=6, capsize=3, lw=1.4, label=label)
    for place, height, (name, _) in zip(places, heights, shown, strict=True):
        if named:
            at = (place, height)
            axes.annotate(name, at, xytext=(8, -12), textcoords="offset points", fontsize=9, color=INK)


def _draw_floor(axes: Axes, rows: Sequence[SweepRow]) -> None:
    axes.axhline(rows[0].majority, color=SOFT, ls="--", lw=1.2, label="majority")
    blind = [row.blind for row in rows if row.blind is not None]
    if blind:
        axes.axhline(sum(blind) / len(blind), color=SOFT, ls=":", lw=1.4, label="blind (mean)")
    tokens = sorted({float(row.tokens or 0) for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xlim(tokens[0] / 1.3, tokens[-1] * 1.5)
    axes.set_xticks(tokens)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="best")


def _panel(axes: Axes, name: str, series: Sequence[Series]) -> None:
    width = 0.14 * (len(series) - 1)
    for index, line in enumerate(series):
        shift = index * 0.14 - width / 2
        places = [position + shift for position in range(len(line.rows))]
        axes.errorbar(
            places,
            [row.accuracy for row in line.rows],
            yerr=_bars(line.rows),
            color=COLORS[index % len(COLORS)],
            marker=MARKERS[index % len(MARKERS)],
            ms=4.5,
            lw=1.5,
            capsize=2.5,
            label=line.label,
        )
    rows = series[0].rows
    axes.plot(range(len(rows)), [row.majority for row in rows], color=SOFT, ls="--", lw=1.2, label="majority")
    if all(row.blind is not None for row in rows):
        axes.plot(range(len(rows)), [row.blind for row in rows], color=SOFT, ls=":", lw=1.2, label="blind")
    axes.set(title=name, ylim=(0, 1.04), xlim=(-0.4, len(rows) - 0.6))
    axes.set_xticks(range(len(rows)), series[0].names)
    if _turned(series):
        axes.tick_params(axis="x", labelrotation=35, labelsize=8)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.grid(False, axis="x")
    _percent(axes)


def _turned(series: Sequence[Series]) -> bool:
    return sum(map(len, series[0].names)) > LONG_NAMES


def _bars(rows: Sequence[SweepRow]) -> tuple[list[float], list[float]]:
    below = [max(0.0, row.accuracy - row.low) for row in rows]
    above = [max(0.0, row.high - row.accuracy) for row in rows]
    return below, above


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
