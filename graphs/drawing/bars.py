"""The bars of a picture, each with its names below."""

from __future__ import annotations

from itertools import groupby

from graphs.drawing.colours import FAINT, FIXED, INK, PAPER
from graphs.drawing.labels import FONT, LINE, SMALL, Box, text_box
from graphs.drawing.places import Bar
from graphs.drawing.svg import Element, element, path, text
from graphs.topology import Topology

# Bars whose neurons would be thinner are drawn without lines between them.
THINNEST = 4.0


def draw_names(parent: Element, number: int, bar: Bar) -> list[Box]:
    """The lines below the bar of a site; returns the space that they take."""
    boxes = []
    group = element(parent, "g", class_="names", data_site=number)
    y = bar.box.bottom + 6 + 0.9 * FONT
    for lines, size, fill in ((bar.name, FONT, INK), (bar.rest, SMALL, FAINT)):
        for line in lines:
            text(group, line, bar.x, y, size, fill=fill)
            boxes.append(text_box(line, bar.x, y, size))
            y += LINE
    return boxes


def draw_bar(parent: Element, topology: Topology, number: int, bar: Bar, colours: list[str]) -> None:
    """A piece a run of neurons, in the colour of its group."""
    site, name = topology.sites[number], topology.site_paths[number]
    facts = {"path": name, "size": site.size, "layer": site.layer, "activation": site.activation}
    told = f"{name or '(network)'}: {', '.join([f'{site.size:,} neurons', f'layer {site.layer}', *site.steps])}"
    marks = {f"data_{key}": value for key, value in {"site": number, **facts}.items()}
    group = element(parent, "g", title=told, class_="site", **marks)
    first = 0
    for number_of_group, runs in groupby(site.runs, key=lambda run: (run.group, run.rank)):
        count = sum(run.count for run in runs)
        _piece(group, bar, first, count, number_of_group[0], colours[number_of_group[0]])
        first += count
    if all(colours[run.group] == FIXED for run in site.runs):
        _lines(group, bar, FAINT)
    else:
        _lines(group, bar, PAPER)


def _piece(parent: Element, bar: Bar, first: int, count: int, group: int, fill: str) -> None:
    top, bottom = bar.extent(first, [(count, 1)])
    box = {"x": bar.box.left, "y": top, "width": bar.box.right - bar.box.left, "height": bottom - top}
    stroke = FAINT if fill == FIXED else PAPER
    element(parent, "rect", class_="neurons", data_group=group, **box, fill=fill, stroke=stroke)


def _lines(parent: Element, bar: Bar, stroke: str) -> None:
    """Lines between the neurons, where there is room."""
    unit = (bar.box.bottom - bar.box.top) / max(1, bar.size)
    if bar.size > 1 and unit >= THINNEST:
        parts = [p for i in range(1, bar.size) for p in ("M", bar.box.left, bar.box.top + i * unit, "H", bar.box.right)]
        style = {"stroke": stroke, "stroke_width": 0.6, "stroke_opacity": 0.7, "fill": "none"}
        element(parent, "path", d=path(*parts), **style)
