"""Choose and draw the figures of a sweep, each in every format that people need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evals.ablation import maps, plots, radar
from evals.ablation.analysis import COSTS, Analysis, CostAxis, Front
from evals.ablation.axes import Cell
from evals.ablation.report import Picture
from evals.ablation.rows import kinds, overall
from evals.ablation.strata import Split, Stratum
from evals.ablation.table import SweepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One figure of a sweep, under the name of its file; PNG and PDF are made when they are written."""

    name: str
    svg: bytes
    caption: str
    alt: str
    figure: plots.Figure

    @property
    def picture(self) -> Picture:
        """Return the figure as a block of a report."""
        return Picture(data=self.svg, format="svg+xml", caption=self.caption, alt=self.alt)

    @property
    def png(self) -> bytes:
        """Return the figure as PNG."""
        return plots.to_png(self.figure)

    @property
    def pdf(self) -> bytes:
        """Return the figure as PDF."""
        return plots.to_pdf(self.figure)


def draw(analysis: Analysis, cells: Sequence[Cell], name: str, title: str, axes: Sequence[str]) -> list[Drawn]:
    """Return the figures that the rows are enough for. axes: what each axis of the cells varies."""
    rows = analysis.rows
    pooled = overall(rows)
    drawn = _against_costs(analysis, pooled, cells, name, title)
    if len(axes) == 2:
        drawn += _heat(pooled, cells, name, title, axes)
    panels = [(task, _series([row for row in rows if row.task == task], cells)) for task in kinds(rows)]
    if len(panels) > 1:
        panels.append((pooled[0].task, _series(pooled, cells)))
    drawn.append(
        _drawn(
            plots.by_task(panels, axes[0]),
            f"{name}-tasks",
            "Accuracy of each task with 95 % intervals. Dashed: always giving the commonest answer. Dotted: the same "
            "questions with another sample's picture, where it was measured.",
            f"{title}: accuracy of each task, {_told(pooled)}",
        )
    )
    drawn += _radar(rows, cells, name, title)
    drawn += _flips(analysis, pooled, name, title)
    return drawn


def draw_strata(analysis: Analysis, name: str, title: str) -> list[Drawn]:
    """Return a figure a split: the difference to the baseline in each part of the samples."""
    return [_stratum(split, rows, name, title) for split, rows in analysis.strata]


def _against_costs(
    analysis: Analysis, pooled: Sequence[SweepRow], cells: Sequence[Cell], name: str, title: str
) -> list[Drawn]:
    # settings with other samples do not lie on one curve, and two points are none
    if len({row.baseline for row in pooled}) > 1:
        return []
    fronts = {front.cost: front for front in analysis.fronts if front.task == pooled[0].task}
    drawn = []
    for axis in COSTS:
        if len({cost for row in pooled if (cost := axis.of(row))}) > 2:
            drawn.append(_against(axis, fronts.get(axis.name), _series(pooled, cells), name, title))
    return drawn


def _against(axis: CostAxis, front: Front | None, series: Sequence[plots.Series], name: str, title: str) -> Drawn:
    marked = []
    if front is not None and front.knee is not None:
        marked.append((front.knee, "knee"))
    if front is not None and front.cheapest is not None:
        marked.append((front.cheapest, f"cheapest within {100 * front.margin:g} points"))
    told = "; ".join(f"{row.setting} {100 * row.accuracy:.1f} %" for line in series for row in line.rows)
    lines, more = "", ""
    if axis.name == "tflops":
        axis, unit = _flops_axis(axis, [row for line in series for row in line.rows])
        lines, more = unit, f" Dotted: lines of equal {unit}s: along one of them only how they are spent differs."
    return _drawn(
        plots.accuracy_against(series, axis.label, axis.of, marked, lines),
        f"{name}-{axis.name}",
        f"Accuracy over all tasks against {axis.label}, with 95 % intervals. The broad line is the Pareto front: a "
        f"setting below it is beaten by one that costs no more.{more}",
        f"{title}: accuracy against {axis.label}: {told}",
    )


def _flops_axis(axis: CostAxis, rows: Sequence[SweepRow]) -> tuple[CostAxis, str]:
    """Return the axis of FLOPs in a unit that leaves readable numbers, and the unit."""
    if max(axis.of(row) or 0.0 for row in rows) >= 1:
        return axis, "TFLOP"

    def in_giga(row: SweepRow) -> float | None:
        value = axis.of(row)
        return None if value is None else 1000 * value

    return replace(axis, label=axis.label.replace("TFLOP", "GFLOP"), of=in_giga), "GFLOP"


def _heat(pooled: Sequence[SweepRow], cells: Sequence[Cell], name: str, title: str, axes: Sequence[str]) -> list[Drawn]:
    labels = {cell.setting: cell.labels for cell in cells}
    down, across = (list(dict.fromkeys(cell.labels[axis] for cell in cells)) for axis in (0, 1))
    if min(len(down), len(across)) < 2 or len({row.baseline for row in pooled}) > 1:
        return []
    places = [(down.index(labels[row.setting][0]), across.index(labels[row.setting][1])) for row in pooled]
    return [
        _drawn(
            maps.heat_map(pooled, places, (down, across), (axes[0], axes[1])),
            f"{name}-map",
            f"Accuracy over all tasks by {axes[0]} and {axes[1]}, with the visual tokens measured. Where they rise "
            "both ways, dashed lines join places of equal tokens and dotted ones places of equal FLOPs: along one of "
            "them only their use differs.",
            f"{title}: map of accuracy by {axes[0]} and {axes[1]}, {_told(pooled)}",
        )
    ]


def _flips(analysis: Analysis, pooled: Sequence[SweepRow], name: str, title: str) -> list[Drawn]:
    right = analysis.both_right.get(pooled[0].task, {})
    rows = [row for row in pooled if row.difference is not None and row.baseline == analysis.baseline]
    if not rows:
        return []
    told = "; ".join(f"{row.setting} +{row.wins} -{row.losses}" for row in rows)
    return [
        _drawn(
            maps.flips(rows, [right.get(row.setting, 0) for row in rows]),
            f"{name}-flips",
            f"What changes against {analysis.baseline}, sample by sample. Equal scores may hide many flips: only the "
            "samples that flip say which setting is better.",
            f"{title}: samples won and lost against {analysis.baseline}: {told}",
        )
    ]


def _radar(rows: Sequence[SweepRow], cells: Sequence[Cell], name: str, title: str) -> list[Drawn]:
    """Return the radar of a sweep in which at least two settings were asked the same three tasks or more."""
    tasks = kinds(rows)
    of = {(row.setting, row.task): row for row in rows}
    whole = [cell.setting for cell in cells if all((cell.setting, task) in of for task in tasks)]
    lines = [[of[setting, task] for task in tasks] for setting in whole]
    # other samples of the same tasks have no place on the same spokes
    same = len({row.baseline for line in lines for row in line}) == 1
    if len(tasks) < radar.LEAST_TASKS or len(lines) < 2 or not same:
        return []
    more = f" The first {radar.MOST_SETTINGS} settings." if len(lines) > radar.MOST_SETTINGS else ""
    return [
        _drawn(
            radar.radar(tasks, lines),
            f"{name}-radar",
            "Accuracy of each task, a spoke a task in the order of the table; the bars are 95 % intervals, set side by "
            "side. Dashed: always giving the commonest answer. Places on a spoke mean something, the area does not: it "
            f"changes with the order of the tasks.{more}",
            f"{title}: accuracy of {', '.join(tasks)} by setting",
        )
    ]


def _stratum(split: Split, rows: Sequence[Stratum], name: str, title: str) -> Drawn:
    more = {row.setting for row in rows if row.difference is not None}
    shown = f" The first {maps.MOST_SETTINGS} settings." if len(more) > maps.MOST_SETTINGS else ""
    return _drawn(
        maps.by_stratum(split, rows),
        f"{name}-by-{_file(split.dimension)}",
        f"Difference to the baseline by {split.dimension}, on the same samples, with 95 % intervals.{shown}",
        f"{title}: difference by {split.dimension}",
    )


def _series(rows: Sequence[SweepRow], cells: Sequence[Cell]) -> list[plots.Series]:
    # the first axis runs along x; what the others say names a line
    labels = {cell.setting: cell.labels for cell in cells}
    short = _short([cell.labels[0] for cell in cells])
    lines: dict[str, list[SweepRow]] = {}
    for row in rows:
        lines.setdefault(", ".join(labels[row.setting][1:]), []).append(row)
    return [
        plots.Series(
            label=name or "accuracy", names=tuple(short[labels[row.setting][0]] for row in line), rows=tuple(line)
        )
        for name, line in lines.items()
    ]


def _short(labels: Sequence[str]) -> dict[str, str]:
    """Return each label without a last word that all of them share: "4 frames", "8 frames" become "4", "8"."""
    last = {label.rsplit(" ", 1)[-1] for label in labels}
    shared = len(last) == 1 and all(" " in label for label in labels)
    return {label: label.rsplit(" ", 1)[0] if shared else label for label in labels}


def _told(rows: Sequence[SweepRow]) -> str:
    return "; ".join(f"{row.setting} {100 * row.accuracy:.1f} %" for row in rows)


def _file(words: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in words.lower())


def _drawn(figure: plots.Figure, name: str, caption: str, alt: str) -> Drawn:
    svg = plots.to_svg(figure)
    # nothing else holds it open
    plots.close(figure)
    return Drawn(name=name, svg=svg, caption=caption, alt=alt, figure=figure)
