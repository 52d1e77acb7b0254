"""A picture of a topology: sites as bars from left to right, blocks as bands, identities as dashed lines."""

from __future__ import annotations

import os
from pathlib import Path

from graphs.drawing.bars import draw_bar, draw_names
from graphs.drawing.colours import FAINT, PAPER, STRIPE, group_colours
from graphs.drawing.grid import cells, links
from graphs.drawing.labels import FONT, LINE, SMALL, Box, width
from graphs.drawing.legend import draw_legend, entries
from graphs.drawing.links import Painter, levels_above, routes, space_of
from graphs.drawing.places import MARGIN, Picture, arrange
from graphs.drawing.svg import FAMILY, Element, element, text, written
from graphs.durable import write_durably
from graphs.topology import Topology

HEAD = 56.0
NARROWEST = 560.0


def draw(topology: Topology, path: str | os.PathLike[str], title: str = "network") -> None:
    """Write a picture of a topology as SVG; the same topology and title give the same bytes.

    Sites stand in columns by layer, their height grows with their size, and the parts of one group have one colour at
    all of its sites. A block is a band, stronger for more edges, or an arc where it passes over other sites; relations
    are dashed (identity) or dotted (member). What the pointer rests on tells its name.

    Args:
        topology: what ``graphs.trace`` returns.
        path: a file name that ends in ``.svg``.
        title: the line above the picture.

    Raises ValueError for another file name or a topology without sites.

    >>> import tempfile, torch, graphs
    >>> topology = graphs.trace(torch.nn.Linear(2, 3), torch.zeros(1, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw(topology, f"{folder}/net.svg")
    ...     Path(folder, "net.svg").read_text()[:4]
    '<svg'
    """
    check_path(path)
    write_durably(Path(path), svg(topology, title).encode())


def check_path(path: str | os.PathLike[str]) -> None:
    """Raise ValueError unless a picture can be written under this name."""
    if not str(os.fspath(path)).endswith(".svg"):
        raise ValueError(
            f"expected a file name that ends in .svg, got {os.fspath(path)}; browsers and Inkscape turn SVG into "
            "PNG or PDF"
        )
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"expected a folder {folder} for the picture, got none there; make it first")


def svg(topology: Topology, title: str = "network") -> str:
    """The text of the picture that :func:`draw` writes."""
    if not topology.sites:
        raise ValueError("expected a topology with sites to draw, got none; trace a network that has parameters")
    where, found = cells(topology), links(topology)
    ways = routes(found, where)
    levels = levels_above(found, ways, where)
    picture = arrange(topology, where, [space_of(n) for n in levels], HEAD)
    colours = group_colours(topology)
    subtitle = _subtitle(topology)
    right = max(picture.right, NARROWEST, MARGIN * 2 + width(title, 15), MARGIN * 2 + width(subtitle, FONT))
    root = element(None, "svg", xmlns="http://www.w3.org/2000/svg", font_family=FAMILY)
    element(root, "title").text = title
    paper = element(root, "rect", x=0.0, y=0.0, fill=PAPER)
    text(root, title, MARGIN, 26.0, 15.0, text_anchor="start", font_weight="bold")
    text(root, subtitle, MARGIN, 43.0, FONT, text_anchor="start", fill=FAINT)
    bottom = _layers(root, topology, picture)
    below, bars, above, words = (element(root, "g") for _ in range(4))
    used: list[Box] = []
    for number, bar in enumerate(picture.bars):
        draw_bar(bars, topology, number, bar, colours)
        used += draw_names(words, number, bar)
    painter = Painter(topology, picture, colours, levels, below, above, words, used)
    for link, way in zip(found, ways, strict=True):
        painter.draw(link, way)
    bottom = draw_legend(root, entries(topology, colours), MARGIN, bottom + 18, right - MARGIN) + 12
    root.set("viewBox", f"0 0 {right:.0f} {bottom:.0f}")
    for node in (root, paper):
        node.set("width", f"{right:.0f}")
        node.set("height", f"{bottom:.0f}")
    return written(root)


def _subtitle(topology: Topology) -> str:
    nodes, edges, weights = topology.num_nodes, topology.num_edges, topology.num_parameters
    order = round(topology.log10_group_order)
    many = "10" + str(order).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    count = many if order > 3 else f"{10**topology.log10_group_order:,.0f}"
    return f"nodes: {nodes:,} · edges: {edges:,} · parameters: {weights:,} · permutation symmetries: {count}"


def _layers(parent: Element, topology: Topology, picture: Picture) -> float:
    """A stripe behind every other layer, and its number below."""
    group = element(parent, "g", class_="layers")
    top, bottom = HEAD - 4, picture.lanes[-1].bottom
    columns: dict[int, set[int]] = {}
    for site, bar in zip(topology.sites, picture.bars, strict=True):
        columns.setdefault(site.layer, set()).add(bar.cell.column)
    for number, (layer, at) in enumerate(sorted(columns.items())):
        left, right = picture.edges[min(at)], picture.edges[max(at) + 1]
        if number % 2 == 0:
            element(group, "rect", x=left, y=top, width=right - left, height=bottom + LINE + 4 - top, fill=STRIPE)
        text(group, f"layer {layer}", (left + right) / 2, bottom + LINE - 3, SMALL, fill=FAINT, class_="layer")
    return bottom + LINE + 4
