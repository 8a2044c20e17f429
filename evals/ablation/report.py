"""One self-contained HTML page: text, tables and figures in one file that opens anywhere, offline.

This file knows blocks and HTML, not sweeps; evals.ablation.summary fills it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from evals.ablation.inline import inline_svg
from evals.ablation.look import CSS, SCRIPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A paragraph of plain text; `kind` "lead" is larger, "note" is set apart."""

    text: str
    kind: Literal["plain", "lead", "note"] = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with its caption; `data` is SVG of matplotlib or PNG, put into the page itself."""

    data: bytes
    format: Literal["svg+xml", "png"]
    caption: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text cells. `left` columns are set flush left, the others right; `strong` rows are bold.

    signed: columns whose cells are coloured where their interval is all above or all below 0. Pressing a heading sorts
    the rows. `name` says what the table is to a reader who does not see it.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    left: int = 1
    strong: frozenset[int] = frozenset()
    rules: frozenset[int] = frozenset()
    signed: frozenset[int] = frozenset()
    name: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Blocks under a line that opens with a click."""

    title: str
    blocks: tuple[Paragraph | Picture | Table | Definitions, ...]


Block = Paragraph | Picture | Table | Figures | Definitions | Gallery | Heading | Folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it; a folded section opens with a click."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False


# a figure that is narrower has its caption beside it, where the screen is wide
ASIDE_PX = 760
# nothing is fetched, whatever the page holds
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return the whole HTML document, ASCII, without links to anything outside."""
    names = [_anchor(section.title, index) for index, section in enumerate(sections)]
    links = "".join(_links(section, name, title) for section, name in zip(sections, names, strict=True))
    body = "\n".join(_section(section, name, title) for section, name in zip(sections, names, strict=True))
    html = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>{CSS}</style>\n</head>\n<body>\n'
        f'<a class="skip" href="#main">Skip to the results</a>\n'
        f'<header><h1>{escape(title)}</h1>\n<p class="subtitle">{escape(subtitle)}</p></header>\n'
        f'<nav aria-label="Sections"><div>{links}</div></nav>\n<main id="main">\n{body}\n</main>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
    return html.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _anchor(title: str, index: int) -> str:
    return f"s{index}-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _links(section: Section, name: str, title: str) -> str:
    if section.title != title:
        return f'<a href="#{name}">{escape(section.title)}</a>'
    # the page is about this section: its parts are what a reader looks for
    parts = [(f"{name}-{index}", b.text) for index, b in enumerate(section.blocks) if isinstance(b, Heading)]
    return "".join(f'<a href="#{part}">{escape(text)}</a>' for part, text in parts)


def _section(section: Section, name: str, title: str) -> str:
    inner = "\n".join(_block(block, f"{name}-{index}") for index, block in enumerate(section.blocks))
    shown = ' class="unseen"' if section.title == title else ""
    if section.folded:
        return f'<details id="{name}"><summary><h2>{escape(section.title)}</h2></summary>\n{inner}\n</details>'
    return f'<section id="{name}">\n<h2{shown}>{escape(section.title)}</h2>\n{inner}\n</section>'


def _block(block: Block, name: str) -> str:
    if isinstance(block, Paragraph):
        return f'<p class="{block.kind}">{escape(block.text)}</p>'
    if isinstance(block, Heading):
        return f'<h3 id="{name}">{escape(block.text)}</h3>'
    if isinstance(block, Folded):
        inner = "\n".join(_block(one, f"{name}-{index}") for index, one in enumerate(block.blocks))
        return f"<details><summary><h3>{escape(block.title)}</h3></summary>\n{inner}\n</details>"
    if isinstance(block, Picture):
        return _picture(block, name)
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


def _picture(picture: Picture, name: str) -> str:
    if picture.format == "svg+xml":
        # focusable: on a narrow screen it scrolls, by keys too
        svg = inline_svg(picture.data, name, picture.alt)
        aside = ' class="aside"' if svg.width_px < ASIDE_PX else ""
        plot = f'<div class="plot" tabindex="0">{svg.text}</div>'
        return f"<figure{aside}>{plot}<figcaption>{escape(picture.caption)}</figcaption></figure>"
    data = base64.b64encode(picture.data).decode("ascii")
    inner = f'<img src="data:image/png;base64,{data}" alt="{escape(picture.alt, quote=True)}">'
    return f"<figure>{inner}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_classes(column, "", table)}><button type="button">{escape(cell)}</button></th>'
        for column, cell in enumerate(table.head)
    )
    lines = []
    for index, row in enumerate(table.rows):
        names = [n for n, there in (("strong", index in table.strong), ("rule", index in table.rules)) if there]
        cells = "".join(f"<td{_classes(i, cell, table)}>{escape(cell)}</td>" for i, cell in enumerate(row))
        lines.append(f'<tr class="{" ".join(names)}">{cells}</tr>' if names else f"<tr>{cells}</tr>")
    caption = f'<p class="caption">{escape(table.caption)}</p>' if table.caption else ""
    body = "\n".join(lines)
    label = escape(table.name or table.caption or " and ".join(table.head[:2]), quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="sortable">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>{caption}"
    )


def _classes(column: int, cell: str, table: Table) -> str:
    names = ["left"] * (column < table.left)
    ends = re.search(r"\[([+-][\d.]+), ([+-][\d.]+)\]", cell) if column in table.signed else None
    if ends is not None and (float(ends[1]) > 0 or float(ends[2]) < 0):
        names.append("up" if float(ends[1]) > 0 else "down")
    return f' class="{" ".join(names)}"' if names else ""
