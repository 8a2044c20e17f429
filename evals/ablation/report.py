"""One self-contained HTML page: text, tables and figures in one file that opens anywhere, offline.

This file knows blocks and HTML, not sweeps; evals.ablation.summary fills it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A paragraph of plain text; `kind` "lead" is larger, "note" is set apart."""

    text: str
    kind: Literal["plain", "lead", "note"] = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with its caption; `data` is SVG or PNG, put into the page itself."""

    data: bytes
    format: Literal["svg+xml", "png"]
    caption: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text cells. `left` columns are set flush left, the others right; `strong` rows are bold."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    left: int = 1
    strong: frozenset[int] = frozenset()
    rules: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A few large numbers in a row, each with a label under it."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Terms and what they mean."""

    items: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One sample: its picture and the same in a single tile (PNG), the question, and (setting, answer, right) rows."""

    kind: str
    question: str
    right: str
    answers: tuple[tuple[str, str, bool], ...]
    picture: bytes
    squashed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Samples side by side."""

    items: tuple[Example, ...]


Block = Paragraph | Picture | Table | Figures | Definitions | Gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it; a folded section opens with a click."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the whole HTML document, ASCII, without links to anything outside."""
    body = "\n".join(_section(section) for section in sections)
    html = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n<main>\n<header><h1>{escape(title)}</h1>\n"
        f"<p class=subtitle>{escape(subtitle)}</p></header>\n{body}\n</main>\n</body>\n</html>\n"
    )
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _section(section: Section) -> str:
    inner = "\n".join(_block(block) for block in section.blocks)
    if section.folded:
        return f"<details><summary>{escape(section.title)}</summary>\n{inner}\n</details>"
    return f"<section>\n<h2>{escape(section.title)}</h2>\n{inner}\n</section>"


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f'<p class="{block.kind}">{escape(block.text)}</p>'
    if isinstance(block, Picture):
        return _picture(block)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figures):
        cards = "".join(
            f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for value, label in block.items
        )
        return f'<div class="figures">{cards}</div>'
    if isinstance(block, Gallery):
        return f'<div class="gallery">{"".join(map(_example, block.items))}</div>'
    terms = "".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in block.items.items())
    return f"<dl>{terms}</dl>"


def _example(example: Example) -> str:
    images = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}" alt="{escape(alt, quote=True)}">'
        for data, alt in ((example.picture, example.question), (example.squashed, "the same in one tile"))
    )
    rows = "".join(
        f'<tr><td class="left">{escape(setting)}</td><td class="{"yes" if right else "no"}">{escape(answer)}</td></tr>'
        for setting, answer, right in example.answers
    )
    return (
        f'<div><div class="pair">{images}</div><p class="caption"><b>{escape(example.kind)}</b> '
        f"{escape(example.question)} <b>{escape(example.right)}</b></p><table>{rows}</table></div>"
    )


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    source = f"data:image/{picture.format};base64,{data}"
    return (
        f'<figure><img src="{source}" alt="{escape(picture.alt, quote=True)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th{_side(i, table)}>{escape(cell)}</th>" for i, cell in enumerate(table.head))
    lines = []
    for index, row in enumerate(table.rows):
        names = [n for n, there in (("strong", index in table.strong), ("rule", index in table.rules)) if there]
        cells = "".join(f"<td{_side(i, table)}>{escape(cell)}</td>" for i, cell in enumerate(row))
        lines.append(f'<tr class="{" ".join(names)}">{cells}</tr>' if names else f"<tr>{cells}</tr>")
    caption = f"<p class=caption>{escape(table.caption)}</p>" if table.caption else ""
    body = "\n".join(lines)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>{caption}'
    )


def _side(column: int, table: Table) -> str:
    return ' class="left"' if column < table.left else ""


CSS = """
:root { --ink: #1f2933; --soft: #616e7c; --line: #e4e7eb; --tint: #f5f7fa; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); -webkit-font-smoothing: antialiased;
  font: 16px/1.55 -apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 56px 28px 96px; }
header { border-bottom: 1px solid var(--line); padding-bottom: 20px; margin-bottom: 8px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 6px; }
h2 { font-size: 20px; letter-spacing: -.01em; margin: 48px 0 10px; }
.subtitle { color: var(--soft); margin: 0; }
p { margin: 10px 0; max-width: 78ch; }
p.lead { font-size: 18px; line-height: 1.5; }
p.note { border-left: 3px solid var(--line); padding: 2px 0 2px 14px; color: var(--soft); font-size: 14.5px; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 8px; }
.figures div { flex: 1 1 150px; background: var(--tint); border-radius: 8px; padding: 14px 18px; }
.figures b { display: block; font-size: 26px; font-weight: 600; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: 13.5px; }
figure { margin: 22px 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption, p.caption { color: var(--soft); font-size: 14px; margin-top: 6px; max-width: 90ch; }
.scroll { overflow-x: auto; margin: 18px 0 4px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; width: 100%; }
th { color: var(--soft); font-weight: 600; font-size: 12.5px; border-bottom: 1.5px solid var(--ink); }
th, td { padding: 5px 8px; text-align: right; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); }
.left { text-align: left; }
tr.strong td { font-weight: 600; background: var(--tint); }
tr.rule td { border-top: 1.5px solid #cbd2d9; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(228px, 1fr)); gap: 20px; margin: 18px 0; }
.gallery > div { border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
.pair { display: flex; gap: 8px; align-items: flex-end; }
.pair img { image-rendering: pixelated; border: 1px solid var(--line); min-width: 0; }
.pair img { width: calc(50% - 4px); }
.gallery td.left { white-space: normal; }
.yes::after { content: " \\2713"; color: #009e73; } .no::after { content: " \\2717"; color: #d55e00; }
details { margin-top: 28px; border-top: 1px solid var(--line); padding-top: 12px; }
summary { cursor: pointer; font-weight: 600; font-size: 17px; }
dl { display: grid; grid-template-columns: minmax(130px, max-content) 1fr; gap: 6px 22px; font-size: 14.5px; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
@media print { main { padding: 0; max-width: none; } details { display: block; } }
"""
