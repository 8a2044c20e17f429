"""Put an SVG into a page: its own names, no links, and colours that follow the page's light or dark theme."""

from __future__ import annotations

import re
from html import escape

from evals.ablation.plots import COLORS, GRID, INK, SOFT

# what the page's style sheet gives a value for each theme; see evals.ablation.look
THEME = {INK: "--ink", SOFT: "--soft", GRID: "--line", **{color: f"--c{i}" for i, color in enumerate(COLORS)}}


def inline_svg(data: bytes, name: str, alt: str) -> str:
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
    # the figure's background is the page's
    text = re.sub(r"fill: ?#ffffff", "fill: none", text, count=1)
    for color, variable in THEME.items():
        text = re.sub(rf"(fill|stroke): {color}", rf"\1: var({variable})", text)
    width = re.search(r'\bwidth="([\d.]+)pt"', text)
    text = re.sub(r'\s(width|height)="[\d.]+pt"', "", text, count=2)
    natural = f' style="max-width:{float(width[1]) * 4 / 3:.0f}px"' if width else ""
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"{natural}', 1).strip()
