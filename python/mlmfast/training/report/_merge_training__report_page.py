"""The page of a training's report: one file that needs nothing from elsewhere."""

from __future__ import annotations

from html import escape
from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1f2430; --muted: #626a78; --rule: #e3e6ec;
  --first: #2f6fde; --second: #d9622b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161b; --card: #1c1f26; --ink: #e8eaf0; --muted: #9aa3b2; --rule: #2e333d;
    --first: #7aa7ff; --second: #ff9d6c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 10px; font-weight: 600; }
.lead { color: var(--muted); margin: 0 0 28px; }
.tiles, .charts, .tables { display: grid; gap: 14px; margin-bottom: 14px; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); }
.charts, .tables { grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
.card {
  background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 16px 18px; min-width: 0;
}
.tile b { display: block; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span, .tile small { color: var(--muted); font-size: 13px; }
.tile small { display: block; }
svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
td {
  padding: 5px 0; border-top: 1px solid var(--rule); vertical-align: top; overflow-wrap: anywhere;
}
tr:first-child td { border-top: 0; }
td:first-child { color: var(--muted); padding-right: 18px; white-space: nowrap; width: 1%; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="lead">$lead</p>
<div class="tiles">$tiles</div>
<div class="charts">$charts</div>
<div class="tables">$tables</div>
</main>
</body>
</html>
""")


def page(
    title: str,
    lead: str,
    tiles: list[tuple[str, str, str]],
    charts: list[tuple[str, str]],
    tables: list[tuple[str, dict[str, str]]],
) -> str:
    """Put a page together.

    Args:
        title: its heading.
        lead: the line below.
        tiles: name, value and remark of each figure.
        charts: title of each chart, and the chart as an SVG element.
        tables: title and rows of each table.
    """
    return PAGE.substitute(
        title=escape(title),
        lead=escape(lead),
        tiles="".join(_tile(*tile) for tile in tiles),
        charts="".join(
            f'<section class="card"><h2>{escape(name)}</h2>{element}</section>'
            for name, element in charts
        ),
        tables="".join(_table(name, rows) for name, rows in tables if rows),
    )


def _tile(name: str, value: str, remark: str) -> str:
    small = f"<small>{escape(remark)}</small>" if remark else ""
    return f'<div class="card tile"><span>{escape(name)}</span><b>{escape(value)}</b>{small}</div>'


def _table(name: str, rows: dict[str, str]) -> str:
    cells = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in rows.items()
    )
    return f'<section class="card"><h2>{escape(name)}</h2><table>{cells}</table></section>'
