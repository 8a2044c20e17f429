"""Turn the rows of a sweep into the blocks of its report: the finding in words, the figures, the tables, the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from evals.ablation import plots
from evals.ablation.axes import Cell
from evals.ablation.formats import p_text
from evals.ablation.report import Block, Definitions, Figures, Paragraph, Picture, Section, Table
from evals.ablation.table import SweepRow
from evals.score import ALL, MEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One figure of a sweep in both formats, under the name of its file."""

    name: str
    svg: bytes
    png: bytes
    caption: str
    alt: str

    @property
    def picture(self) -> Picture:
        """Return the figure as a block of a report."""
        return Picture(data=self.svg, format="svg+xml", caption=self.caption, alt=self.alt)


HEAD = (
    "task", "setting", "n", "accuracy [95 %]", "difference [95 %]", "p (Holm)", "majority", "blind", "tokens", "GFLOP",
    "ms", "unp./fail",
)  # fmt: skip


def overall(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """Return the rows that sum a sweep up: the mean over kinds, else all samples, one a setting."""
    names = [row.task for row in rows]
    name = next((task for task in (MEAN, ALL) if task in names), names[-1] if names else "")
    return [row for row in rows if row.task == name]


def kinds(rows: Sequence[SweepRow]) -> list[str]:
    """Return the tasks that are not sums of others, in order; "all" when there is nothing else."""
    single = [task for task in dict.fromkeys(row.task for row in rows) if task.rsplit("/", 1)[-1] not in (MEAN, ALL)]
    return single or [ALL]


def finding(rows: Sequence[SweepRow]) -> str:
    """Return the sweep in a few sentences with intervals and p values; a sentence a set where samples differ."""
    pooled = overall(rows)
    groups: dict[str, list[SweepRow]] = {}
    for row in pooled:
        groups.setdefault(row.baseline, []).append(row)
    if len(groups) > 1:
        return " ".join(_side_by_side(group) for group in groups.values())
    words = [f"Over all tasks {_share(pooled[0])} at {pooled[0].setting}{_tokens(pooled[0])}."]
    best = max(pooled, key=lambda row: row.accuracy)
    if best.difference is not None:
        gain = f"against {best.baseline} {_gain(best)}"
        words.append(f"The best setting is {best.setting}{_tokens(best)} with {_share(best)}: {gain}.")
    else:
        others = [f"{row.setting} {_gain(row)}" for row in pooled if row.difference is not None]
        words.append(f"No setting does better; against it, {'; '.join(others)}." if others else "")
        return " ".join(words).strip()
    steps = [(a, b) for a, b in pairwise(pooled) if b.step is not None and b.step_p is not None]
    if len(steps) > 1:
        told = "; ".join(f"{a.setting} to {b.setting} {_points(b.step)} (p {_p(b.step_p)})" for a, b in steps)
        words.append(f"Step by step, in points: {told}.")
    return " ".join(words)


def cards(rows: Sequence[SweepRow], most: int = 6) -> Figures:
    """Return the accuracy over all tasks as large numbers: of every setting, or with many of each set's baseline."""
    shown = overall(rows)
    if len(shown) > most:
        shown = [row for row in shown if row.difference is None][:most]
    return Figures(items=tuple((f"{100 * row.accuracy:.1f}%", f"{row.setting}{_tokens(row, ', ')}") for row in shown))


def draw(rows: Sequence[SweepRow], cells: Sequence[Cell], name: str, title: str, axis: str) -> list[Drawn]:
    """Return the figures of a sweep. `axis` names what the first axis of the cells varies."""
    drawn: list[Drawn] = []
    pooled = overall(rows)
    # settings with other samples do not lie on one curve, and two points are none
    if len({row.tokens for row in pooled}) > 2 and len({row.baseline for row in pooled}) == 1:
        drawn.append(
            _drawn(
                plots.accuracy_against_tokens(_series(pooled, cells), title),
                f"{name}-tokens",
                "Accuracy over all tasks against visual tokens, with 95 % intervals. Settings below the front are "
                "beaten by one that costs no more.",
                f"{title}: accuracy against visual tokens",
            )
        )
    panels = [(task, _series([row for row in rows if row.task == task], cells)) for task in [*kinds(rows)]]
    if len(panels) > 1:
        panels.append((pooled[0].task, _series(pooled, cells)))
    drawn.append(
        _drawn(
            plots.by_task(panels, axis),
            f"{name}-tasks",
            "Accuracy of each task with 95 % intervals. Dashed: always giving the commonest answer. Dotted: the same "
            "questions with another sample's picture, where it was measured.",
            f"{title}: accuracy of each task",
        )
    )
    return drawn


def table_block(rows: Sequence[SweepRow], caption: str) -> Table:
    """Return the whole table as a block; the rows that sum up are set off."""
    # what sums up comes first
    names = dict.fromkeys([row.task for row in overall(rows)] + [row.task for row in rows])
    rows = [row for name in names for row in rows if row.task == name]
    strong = frozenset(index for index, row in enumerate(rows) if row.task.rsplit("/", 1)[-1] in (MEAN, ALL))
    rules = frozenset(index for index, row in enumerate(rows) if index and rows[index - 1].task != row.task)
    return Table(head=HEAD, rows=tuple(map(_cells, rows)), caption=caption, left=2, strong=strong, rules=rules)


def notes(rows: Sequence[SweepRow], more: Mapping[str, Sequence[str]]) -> list[Block]:
    """Return what a reader must know before believing the numbers; `more` holds each setting's own notes."""
    found: list[str] = []
    poor = [row for row in rows if row.low <= row.majority and row.task.rsplit("/", 1)[-1] not in (MEAN, ALL)]
    if poor:
        settings: dict[str, list[str]] = {}
        for row in poor:
            settings.setdefault(row.task, []).append(row.setting)
        named = "; ".join(f"{task} at {', '.join(where)}" for task, where in settings.items())
        found.append(f"Not above the majority baseline (the interval reaches it): {named}.")
    small = min((row.n for row in rows), default=0)
    if small:
        found.append(f"The smallest row has n = {small}; read the intervals, not the third digit.")
    found += [f"{setting}: {note}." for setting, own in more.items() for note in own]
    return [Paragraph(text=text, kind="note") for text in found]


def how_to_read() -> Section:
    """Return the definitions of every column."""
    return Section(title="How to read the tables", blocks=(Definitions(items=DEFINITIONS),))


DEFINITIONS = {
    "accuracy [95 %]": "Share of all n samples answered rightly; failed and unparsed ones count as wrong. Wilson's "
    "interval; for the mean over tasks at the effective sample size of its clustered standard error.",
    "mean": "The unweighted mean over the tasks.",
    "difference [95 %]": "Accuracy minus the baseline setting's, on the same samples, with a t interval from the "
    "standard error clustered by image or clip.",
    "p (Holm)": "Two-sided paired test against the baseline: McNemar's mid-p for one task, a clustered t test for "
    "means. Adjusted by Holm's method over all single tasks, and separately over the rows that sum up.",
    "majority": "The accuracy of always giving the commonest right answer of the task.",
    "blind": "The accuracy when every question is asked with another sample's picture or clip.",
    "tokens": "Visual tokens a sample, measured in the sequence that the language model read.",
    "GFLOP": "Encoder, projector and prefill of one sample, from its measured lengths, as if nothing were shared.",
    "ms": "Measured wall time a sample. Tiles already encoded for an earlier setting cost nothing again.",
    "unp./fail": "Answers in which nothing could be read; samples whose picture or clip could not be.",
}


def _cells(row: SweepRow) -> tuple[str, ...]:
    against = row.difference is not None and row.difference_low is not None and row.difference_high is not None
    return (
        row.task,
        row.setting,
        str(row.n),
        f"{row.accuracy:.3f} [{row.low:.3f}, {row.high:.3f}]",
        f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]" if against else "baseline",
        p_text(row.p_holm),
        f"{row.majority:.3f}",
        "-" if row.blind is None else f"{row.blind:.3f}",
        "-" if row.tokens is None else f"{row.tokens:.0f}",
        "-" if row.tflops is None else f"{1000 * row.tflops:.3g}",
        "-" if row.seconds is None else f"{1000 * row.seconds:.0f}",
        f"{row.unparsed}/{row.failed}",
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


def _drawn(figure: plots.Figure, name: str, caption: str, alt: str) -> Drawn:
    drawn = Drawn(name=name, svg=plots.to_svg(figure), png=plots.to_png(figure), caption=caption, alt=alt)
    plots.close(figure)
    return drawn


def _side_by_side(rows: Sequence[SweepRow]) -> str:
    first, *others = rows
    told = "".join(f"; {row.setting} {_gain(row)}" for row in others)
    return f"{first.setting}{_tokens(first)}: {_share(first)}{told}."


def _gain(row: SweepRow) -> str:
    low, high = _points(row.difference_low), _points(row.difference_high)
    return f"{_points(row.difference)} points [{low}, {high}], p {_p(row.p_holm)}"


def _share(row: SweepRow) -> str:
    return f"{100 * row.accuracy:.1f} % [{100 * row.low:.1f}, {100 * row.high:.1f}] are right"


def _tokens(row: SweepRow, before: str = " (") -> str:
    after = ")" if before == " (" else ""
    return "" if row.tokens is None else f"{before}{row.tokens:.0f} tokens{after}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _p(value: float | None) -> str:
    text = p_text(value)
    return text if text.startswith("<") else f"= {text}"
