"""How the report looks and what its one script does. The page loads nothing: fonts are the reader's own."""

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2933; --soft: #5f6c7b; --line: #e1e6eb; --tint: #f5f7fa;
  --accent: #0b62a4; --good: #00795a; --bad: #b84a00; --rule: #9aa5b1;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #c98a00; --c5: #3f9fd6; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e4e9ee; --soft: #9fabb8; --line: #2c343d;
  --tint: #1c2229; --accent: #74b9f0; --good: #4fd0a5; --bad: #ff9d5c; --rule: #566270;
  --c0: #56a9e8; --c1: #ff8a3d; --c2: #35c797; --c3: #e59bc3; --c4: #f0b429; --c5: #8fd0f5; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 64px; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-font-smoothing: antialiased;
  font: 16px/1.6 -apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 8px 28px 96px; }
a { color: var(--accent); text-underline-offset: 3px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 3px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 12px; top: 12px; background: var(--paper); padding: 8px 12px; z-index: 3; }
header { max-width: 1120px; margin: 0 auto; padding: 52px 28px 22px; }
h1 { font-size: clamp(26px, 4.4vw, 36px); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 8px;
  text-wrap: balance; }
.subtitle { color: var(--soft); margin: 0; font-size: 17px; }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); border-block: 1px solid var(--line); }
nav div { max-width: 1120px; margin: 0 auto; padding: 0 28px; display: flex; gap: 4px 22px; overflow-x: auto;
  scrollbar-width: none; }
nav div::-webkit-scrollbar { display: none; }
nav a { color: var(--soft); text-decoration: none; font-size: 14px; padding: 12px 0; white-space: nowrap; }
nav a:hover, nav a:focus-visible { color: var(--accent); }
h2 { font-size: 25px; line-height: 1.25; letter-spacing: -.015em; margin: 56px 0 12px; text-wrap: balance; }
h3 { font-size: 18px; letter-spacing: -.005em; margin: 40px 0 6px; }
p { margin: 10px 0; max-width: 74ch; overflow-wrap: break-word; }
p.lead { font-size: 19px; line-height: 1.5; margin: 16px 0; text-wrap: pretty; }
p.note { border-left: 3px solid var(--rule); padding: 2px 0 2px 14px; color: var(--soft); font-size: 14.5px; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 12px;
  margin: 22px 0 8px; }
.figures div { background: var(--tint); border-radius: 10px; padding: 14px 18px 12px; }
.figures b { display: block; font-size: 28px; line-height: 1.2; font-weight: 620; letter-spacing: -.025em;
  font-variant-numeric: tabular-nums; }
.figures span { display: block; color: var(--soft); font-size: 13.5px; line-height: 1.4; margin-top: 2px; }
figure { margin: 24px 0 30px; }
figure.aside { display: grid; grid-template-columns: minmax(0, 620px) minmax(200px, 1fr); gap: 8px 36px; }
figure.aside figcaption { margin-top: 12px; }
.plot { overflow-x: auto; }
.plot svg { display: block; width: 100%; min-width: 640px; height: auto; }
.aside .plot svg { min-width: 420px; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption, p.caption { color: var(--soft); font-size: 14px; line-height: 1.5; margin-top: 8px; max-width: 82ch; }
.scroll { overflow-x: auto; margin: 16px 0 4px; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 13.5px; line-height: 1.45; font-variant-numeric: tabular-nums;
  width: 100%; }
th { color: var(--soft); font-weight: 600; font-size: 12.5px; border-bottom: 1.5px solid var(--rule);
  vertical-align: bottom; }
th, td { padding: 6px 8px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 4px; }
th button { all: unset; cursor: pointer; } th button:hover { color: var(--accent); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 3px; }
th button:hover { text-decoration: underline; text-underline-offset: 3px; }
th[aria-sort=ascending] button::after { content: "\\2009\\2191"; }
th[aria-sort=descending] button::after { content: "\\2009\\2193"; }
td { border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover td { background: var(--tint); }
.left { text-align: left; }
tr.strong td { font-weight: 600; }
tr.rule td { border-top: 1.5px solid var(--rule); }
td.up { color: var(--good); } td.down { color: var(--bad); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(238px, 100%), 1fr)); gap: 18px;
  margin: 18px 0; }
.gallery > div { border: 1px solid var(--line); border-radius: 10px; padding: 14px; min-width: 0; }
.pair { display: flex; gap: 8px; align-items: flex-end; }
.pair img { image-rendering: pixelated; border: 1px solid var(--line); min-width: 0; width: calc(50% - 4px); }
.gallery td.left { white-space: normal; } .gallery td { white-space: normal; overflow-wrap: anywhere; }
.yes::after { content: " \\2713"; color: var(--good); } .no::after { content: " \\2717"; color: var(--bad); }
details { margin: 22px 0; border-top: 1px solid var(--line); padding-top: 12px; }
summary { cursor: pointer; font-weight: 600; font-size: 16px; padding: 4px 0; }
summary h2, summary h3 { display: inline; font-size: inherit; margin: 0; }
dl { display: grid; grid-template-columns: minmax(120px, max-content) 1fr; gap: 8px 24px; font-size: 14.5px; }
dt { font-weight: 600; overflow-wrap: anywhere; } dd { margin: 0; color: var(--soft); overflow-wrap: anywhere;
  max-width: 84ch; }
footer { color: var(--soft); font-size: 13.5px; margin-top: 64px; }
@media (max-width: 640px) { main { padding: 4px 18px 72px; } header { padding: 32px 18px 18px; }
  nav div { padding: 0 18px; }
  dl { grid-template-columns: 1fr; gap: 2px; } dd { margin-bottom: 10px; }
  .figures { grid-template-columns: 1fr 1fr; }
  .figures div { padding: 12px 14px; } .figures b { font-size: 24px; } p.lead { font-size: 17.5px; }
  h2 { margin-top: 44px; } }
@media (max-width: 960px) { figure.aside { display: block; } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #ccc; --tint: #f4f4f4;
  --rule: #888; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #e69f00; --c5: #56b4e9; }
  body { font-size: 10.5pt; } nav, .skip, th button::after { display: none; } main, header { max-width: none;
  padding: 0; }
  .scroll, .plot { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: 2px 4px; white-space: normal; }
  .plot svg { min-width: 0; } figure, .gallery > div, tr, .figures { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""

# sorts a table by the column whose heading is pressed; numbers by value, and a third press brings the order back
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], original = [...body.rows];
  const value = (row, column) => {
    const text = row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/^[<\\[(]\\s*/, "").replace(/,/g, ""));
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
  table.querySelectorAll("th").forEach((head, column) => {
    const press = head.querySelector("button");
    if (press) press.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === "descending" ? "ascending" : now === "ascending" ? "none" : "descending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const rows = next === "none" ? original
        : [...original].sort((a, b) => sign * order(value(a, column), value(b, column)));
      body.append(...rows);
      table.classList.toggle("sorted", next !== "none");
    });
  });
}
for (const folded of document.querySelectorAll("details")) {
  addEventListener("beforeprint", () => { folded.open = true; });
}
"""
