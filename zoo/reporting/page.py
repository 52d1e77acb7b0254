"""Sections as one HTML page that needs nothing but itself."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from zoo.reporting.section import Listing, Part, Plot, Section, Table, Text

# By this a page is known again before it is replaced.
MARK = '<meta name="generator" content="metazoo zoo report">'
# Everything is on the page; the policy makes the browser refuse to ask anyone for more.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; form-action 'none'"
)

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""


def render_page(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """The page.

    Args:
        title: its heading.
        facts: name -> value of the tiles at its top.
        sections: in order.
    """
    head = HEAD.format(mark=MARK, policy=POLICY, title=escape(title), style=_file("page.css"))
    tiles = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
    contents = "".join(f'<li><a href="#{s.name}">{escape(s.title)}</a></li>' for s in sections)
    top = f'<header><h1>{escape(title)}</h1><dl class="tiles">{tiles}</dl></header>\n<nav><ol>{contents}</ol></nav>\n'
    main = "\n".join(_section(section) for section in sections)
    return f"{head}{top}<main>\n{main}\n</main>\n{_scripts()}</body>\n</html>\n"


def _section(section: Section) -> str:
    parts = "\n".join(RENDERERS[type(part)](part) for part in section.parts)
    lead = f'<p class="lead">{escape(section.lead)}</p>'
    return f'<section id="{section.name}">\n<h2>{escape(section.title)}</h2>\n{lead}\n{parts}\n</section>'


def _plot(plot: Plot) -> str:
    # A "<" inside JSON could end the script element.
    data = str(plot.figure.to_json()).replace("<", "\\u003c")
    title = f"<h3>{escape(plot.title)}</h3>" if plot.title else ""
    height = f"{plot.figure.layout.height}px"
    return (
        f"{title}{_choices(plot)}"
        f'<div class="plot" id="{plot.name}" style="height:{height}"></div>'
        f'<script type="application/json" id="{plot.name}-data">{data}</script>'
    )


def _choices(plot: Plot) -> str:
    buttons = "".join(
        f'<button type="button" data-plot="{plot.name}" data-view="{escape(name)}" aria-pressed="{str(not i).lower()}">'
        f"{escape(title)}</button>"
        for i, (name, title) in enumerate(plot.choices)
    )
    return f'<div class="choices" role="group">By {buttons}</div>' if len(plot.choices) > 1 else ""


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in table.rows)
    return (
        f'<div class="table"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _text(part: Text) -> str:
    return f"<p>{escape(part.text)}</p>"


def _listing(part: Listing) -> str:
    return f"<details><summary>{escape(part.title)}</summary><pre>{escape(part.text)}</pre></details>"


RENDERERS: dict[type[Part], Callable[[Any], str]] = {Plot: _plot, Table: _table, Text: _text, Listing: _listing}


def _scripts() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>\n<script>{_file('page.js')}</script>\n"


def _file(name: str) -> str:
    return files("zoo.reporting").joinpath(name).read_text(encoding="utf-8")
