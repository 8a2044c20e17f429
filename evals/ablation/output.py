"""Write a sweep's folder: the table in three formats, the figures, the record and the report."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.ablation.axes import Ablation, Cell
from evals.ablation.formats import to_csv, to_json, to_markdown
from evals.ablation.report import Block, Definitions, Gallery, Paragraph, Section, page
from evals.ablation.runner import SweepRun
from evals.ablation.summary import Drawn, cards, draw, finding, how_to_read, notes, table_block
from evals.ablation.table import SweepRow, build_table

Record = Mapping[str, str]
EXAMPLES = "The first sample of each task, not selected: the picture, the same squashed to one tile, and every answer."


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutput:
    """A measured sweep with its rows, figures and the section of the report that tells it."""

    name: str
    rows: tuple[SweepRow, ...]
    drawn: tuple[Drawn, ...]
    section: Section


def describe(
    ablation: Ablation,
    cells: Sequence[Cell],
    run: SweepRun,
    baseline: str,
    intro: str = "",
    examples: Gallery | None = None,
) -> SweepOutput:
    """Return the rows of a sweep and its section: question, finding, figures, examples, table and notes."""
    rows = build_table(run.points, baseline)
    if not rows:
        nothing = Paragraph(text="No samples: nothing was measured.", kind="note")
        return SweepOutput(
            name=ablation.name, rows=(), drawn=(), section=Section(title=ablation.title, blocks=(nothing,))
        )
    drawn = draw(rows, cells, ablation.name, ablation.title, ablation.axes[0].name)
    own = {p.setting: [note for result in p.results.values() for note in result.notes] for p in run.points}
    blocks: list[Block] = [Paragraph(text=text) for text in (ablation.question, intro) if text]
    blocks += [Paragraph(text=finding(rows), kind="lead"), cards(rows)]
    blocks += [figure.picture for figure in drawn]
    if examples is not None and examples.items:
        blocks += [Paragraph(text=EXAMPLES, kind="note"), examples]
    blocks += [
        table_block(rows, "Each difference is to the row marked baseline that has the same samples."),
        *notes(rows, own),
    ]
    section = Section(title=ablation.title, blocks=tuple(blocks))
    return SweepOutput(name=ablation.name, rows=rows, drawn=tuple(drawn), section=section)


def write_tables(folder: Path, output: SweepOutput, name: str = "table") -> None:
    """Write NAME.csv, NAME.md, NAME.json and the figures under plots/."""
    write(folder / f"{name}.csv", to_csv(output.rows))
    write(folder / f"{name}.md", to_markdown(output.rows))
    write(folder / f"{name}.json", to_json(output.rows))
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for figure in output.drawn:
        (folder / "plots" / f"{figure.name}.png").write_bytes(figure.png)
        (folder / "plots" / f"{figure.name}.svg").write_bytes(figure.svg)


def write_report(folder: Path, title: str, subtitle: str, outputs: Sequence[SweepOutput], record: Record) -> Path:
    """Write report.html and record.json, and return the report's path."""
    sections = [
        *(output.section for output in outputs),
        how_to_read(),
        Section(title="Record of the run", blocks=(Definitions(items=record),), folded=True),
    ]
    write(folder / "record.json", json.dumps(dict(record), indent=2) + "\n")
    write(folder / "report.html", page(title, subtitle, sections))
    return folder / "report.html"


def write(path: Path, text: str) -> None:
    """Write a file beside and rename it, so that a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
