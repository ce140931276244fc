"""How the HTML report looks: one sheet of style, light and dark, no network."""

CSS = """
:root {
  --paper: #ffffff; --card: #f6f8fa; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --accent: #0072b2;
  --good: #1a7f37; --bad: #b4232a; --warn: #9a6700;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0d1117; --card: #161b22; --ink: #e6edf3; --soft: #9198a1; --line: #30363d; --accent: #58a6ff;
    --good: #3fb950; --bad: #f85149; --warn: #d29922;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 28px; }
header { padding-top: 44px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 52px 0 6px; padding-top: 18px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 30px 0 4px; }
p.lead { color: var(--soft); margin: 0 0 12px; }
a { color: var(--accent); text-decoration: none; }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 4px; font-size: 14px; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 22px 0 8px; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 18px; min-width: 112px;
}
.card b { display: block; font-size: 25px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; }
.card.good b { color: var(--good); } .card.bad b { color: var(--bad); }
figure { margin: 22px 0 30px; }
figcaption { font-weight: 600; margin-bottom: 8px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th {
  text-align: left; font-weight: 600; color: var(--soft); background: var(--card); padding: 7px 14px;
  white-space: nowrap; font-size: 13px;
}
thead tr:last-child th { border-bottom: 1px solid var(--line); }
th.right { text-align: right; } th[colspan] { text-align: center; }
td { padding: 7px 14px; vertical-align: top; border-top: 1px solid color-mix(in srgb, var(--line) 55%, transparent); }
tbody tr:first-child td { border-top: 0; }
td.right { text-align: right; } td.short { white-space: nowrap; }
td small { display: block; color: var(--soft); font-size: 12px; font-weight: 400; }
td.good { color: var(--good); } td.bad { color: var(--bad); } td.dim { color: var(--soft); }
ul.notes { color: var(--soft); font-size: 13px; margin: 8px 0 0; padding-left: 18px; }
p.empty { color: var(--soft); font-style: italic; }
.plot { border: 1px solid var(--line); border-radius: 10px; padding: 14px; overflow-x: auto; }
.plot svg { width: 100%; height: auto; min-width: 640px; display: block; }
.plot.narrow svg { max-width: 720px; margin: 0 auto; min-width: 420px; }
footer { color: var(--soft); font-size: 13px; padding: 30px 28px 50px; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 0.92em; }
@media print { .scroll, .plot { break-inside: avoid; } }
"""
