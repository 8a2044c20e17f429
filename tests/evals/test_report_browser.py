"""The report in a real browser: no errors, nothing fetched, no sideways scrolling, and tables that sort."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from evals.ablation.report import (
    Definitions,
    Figures,
    Folded,
    Heading,
    Paragraph,
    Picture,
    Section,
    Table,
    page,
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
# as wide as a phone, a tablet and a desktop
WIDTHS = (360, 820, 1440)

# told to the page around it, which a test reads: what overflows, what was fetched, what went wrong, how a table sorts
PROBE = """
<script>
addEventListener("load", () => {
  const width = document.documentElement.clientWidth;
  const column = (n) => [...document.querySelectorAll("tbody tr")].map((row) => row.cells[n].textContent);
  const press = document.querySelectorAll("th button")[1], sorted = [column(1)];
  for (let i = 0; i < 3; i++) { press.click(); sorted.push(column(1)); }
  parent.postMessage({
    width, overflow: document.documentElement.scrollWidth - width, sorted,
    wide: [...document.querySelectorAll("main *")].filter((e) => !e.closest(".scroll, .plot, nav")
      && e.getBoundingClientRect().right > width + 1).map((e) => e.tagName),
    fetched: performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:")),
    unnamed: [...document.querySelectorAll("img:not([alt]), svg:not([aria-label])")].length,
    twice: [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i),
    anchors: [...document.querySelectorAll('a[href^="#"]')].filter((a) => !document.querySelector(a.hash)).length,
  }, "*");
});
</script>
"""
SVG = b"""<?xml version="1.0"?><svg xmlns:xlink="http://www.w3.org/1999/xlink" width="518pt" height="80pt"
 viewBox="0 0 518 80" xmlns="http://www.w3.org/2000/svg"><defs><path id="p" d="M 0 0 L 9 9"
 style="stroke: #0072b2; fill: #ffffff"/></defs><use xlink:href="#p"/><path style="fill: #ffffff" d=""/></svg>"""


def report() -> str:
    rows = (("a", "+0.200 [+0.1, +0.3]"), ("b", "-0.400 [-0.5, -0.3]"), ("c", "0.100 [-0.1, +0.3]"))
    wide = tuple((f"a long setting's name {i}", *["0.123 [0.100, 0.150]"] * 9) for i in range(4))
    figure = Picture(data=SVG, format="svg+xml", caption="A caption.", alt="two lines")
    first = Table(head=("setting", "difference"), rows=rows, signed=frozenset({1}), name="Scores")
    second = Table(head=tuple(f"column {i}" for i in range(10)), rows=wide, caption="Many columns.")
    blocks = (
        Paragraph(text="The finding " * 20, kind="lead"),
        Figures(items=tuple((f"{i}.5%", f"setting {i}") for i in range(5))),
        Heading(text="Scores"),
        first,
        figure,
        figure,
        Folded(title="More", blocks=(second,)),
        Definitions(items={"a/path/that/has/no/spaces/" * 6: "weights " + "0123456789abcdef" * 12}),
    )
    return page(
        "Report", "of a test", [Section(title="Report", blocks=blocks), Section(title="Record", blocks=(), folded=True)]
    )


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome to open the report in")
def test_the_report_in_a_browser(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(report().replace("</body>", f"{PROBE}</body>"))
    frames = "".join(f'<iframe width="{width}" height="900" src="report.html"></iframe>' for width in WIDTHS)
    listen = 'addEventListener("message", (m) => { const p = document.createElement("pre"); p.className = "told"; '
    listen += "p.textContent = JSON.stringify(m.data); document.body.append(p); });"
    (tmp_path / "all.html").write_text(f"<!doctype html><script>{listen}</script>{frames}")
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom",
            (tmp_path / "all.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    told = [json.loads(text) for text in re.findall(r'<pre class="told">(.*?)</pre>', done.stdout)]
    assert sorted(one["width"] for one in told) == list(WIDTHS), done.stderr[-2000:]
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    for one in told:
        assert (one["overflow"], one["wide"], one["fetched"], one["unnamed"]) == (0, [], [], 0)
        assert (one["twice"], one["anchors"]) == ([], 0)
        before, down, up, again = (column[:3] for column in one["sorted"])
        assert before == again == ["+0.200 [+0.1, +0.3]", "-0.400 [-0.5, -0.3]", "0.100 [-0.1, +0.3]"]
        assert down == [before[0], before[2], before[1]] and up == down[::-1]


def test_an_interval_away_from_zero_is_coloured_and_svgs_keep_apart() -> None:
    html = report()
    assert '<td class="up">+0.200' in html and '<td class="down">-0.400' in html and "<td>0.100" in html
    ids = re.findall(r'<path id="([^"]*)"', html)
    assert len(ids) == len(set(ids)) == 2 and all(f'href="#{name}"' in html for name in ids)
    # the background follows the theme
    assert "#ffffff" not in html.split("<body>")[1]
    assert "stroke: var(--c0)" in html and "://" not in html
