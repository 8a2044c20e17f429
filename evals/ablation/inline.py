"""Put an SVG into a page: its own names, no links, and colours that follow the page's light or dark theme."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from evals.ablation.plots import COLORS, GRID, INK, SOFT

# what the page's style sheet gives a value for each theme; see evals.ablation.look
THEME = {INK: "--ink", SOFT: "--soft", GRID: "--line", **{color: f"--c{i}" for i, color in enumerate(COLORS)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """An <svg> element and its natural width."""

    text: str
    width_px: float


def inline_svg(data: bytes, name: str, alt: str) -> Inline:
    """Return an <svg> element of a matplotlib SVG; `name` is put before its ids, so that figures do not mix them up."""
    text = data.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", text)
    # the background of figure and axes is the page's
    text = re.sub(r"fill: ?#ffffff", "fill: none", text)
    text = re.sub(r"stroke: ?#ffffff", "stroke: var(--paper)", text)
    for color, variable in THEME.items():
        text = re.sub(rf"(fill|stroke): {color}", rf"\1: var({variable})", text)
    found = re.search(r'\bwidth="([\d.]+)pt"', text)
    # 72 points are 96 pixels
    width_px = float(found[1]) * 4 / 3 if found else 0.0
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    natural = f' style="max-width:{width_px:.0f}px"' if width_px else ""
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"{natural}', 1)
    return Inline(text=text.strip(), width_px=width_px)
