"""The legend of a picture: an entry for everything that is drawn in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphs.drawing.colours import FAINT, FIXED, INK, KINDS, OWN
from graphs.drawing.labels import SMALL, width
from graphs.drawing.svg import Element, element, text
from graphs.inspection import site_groups
from graphs.topology import Topology

SWATCH, ROW, BETWEEN = 22.0, 18.0, 18.0
MOST_GROUPS = 8
_MEANING = {
    "identity": "the same neurons (residual, concatenation, norm)",
    "member": "membership (a head and its neurons)",
}


@dataclass(frozen=True)
class Entry:
    """One line of a legend: how its swatch is drawn, and what it says."""

    words: str
    swatch: Callable[[Element, float, float], None]


def entries(topology: Topology, colours: list[str]) -> list[Entry]:
    """What occurs in the picture: groups, kinds of weights, kinds of relations."""
    return [*_groups(topology, colours), *_links(topology)]


def draw_legend(parent: Element, found: list[Entry], left: float, top: float, right: float) -> float:
    """Entries from left to right in rows; returns where they end."""
    x, y = left, top
    for entry in found:
        wide = SWATCH + 6 + width(entry.words, SMALL)
        if x > left and x + wide > right:
            x, y = left, y + ROW
        row = element(parent, "g", class_="legend")
        entry.swatch(row, x, y)
        text(row, entry.words, x + SWATCH + 6, y + 0.35 * SMALL, SMALL, text_anchor="start")
        x += wide + BETWEEN
    return y + ROW / 2


def _groups(topology: Topology, colours: list[str]) -> list[Entry]:
    shared = [g for g, colour in enumerate(colours) if colour not in (OWN, FIXED)]
    found = []
    for group in shared[:MOST_GROUPS]:
        at = sum(group in site_groups(site) for site in topology.sites)
        where = f"at {at} sites" if at > 1 else "several times at one site"
        found.append(Entry(f"group of {topology.groups[group].size:,} {where}", _square(colours[group], INK)))
    if len(shared) > MOST_GROUPS:
        found.append(Entry(f"and {len(shared) - MOST_GROUPS} more groups: one colour, one group", _square("#ddd", INK)))
    if OWN in colours:
        found.append(Entry("group at one site", _square(OWN, INK)))
    fixed = dict.fromkeys(group.kind for group, colour in zip(topology.groups, colours, strict=True) if colour == FIXED)
    if fixed:
        found.append(Entry(f"does not permute ({', '.join(fixed)})", _square(FIXED, FAINT)))
    return found


def _links(topology: Topology) -> list[Entry]:
    kinds = {b.kind for b in topology.blocks if b.source is not None}
    found = [Entry(f"{kind} weights", _square(colour, "none")) for kind, (colour, _) in KINDS.items() if kind in kinds]
    related = {r.kind for r in topology.relations}
    dashes = {"identity": "5 3", "member": "1.5 3"}
    if found:
        found.append(Entry("few to many edges", _fading))
    return found + [Entry(_MEANING[k], _line(dashes[k])) for k in dashes if k in related]


def _square(fill: str, stroke: str) -> Callable[[Element, float, float], None]:
    def swatch(parent: Element, x: float, y: float) -> None:
        element(parent, "rect", x=x + 4, y=y - 6, width=SWATCH - 8, height=12.0, rx=2.0, fill=fill, stroke=stroke)

    return swatch


def _fading(parent: Element, x: float, y: float) -> None:
    for i, opacity in enumerate((0.25, 0.55, 0.85)):
        element(parent, "rect", x=x + 2 + 6 * i, y=y - 6, width=6.0, height=12.0, fill=FAINT, fill_opacity=opacity)


def _line(dashes: str) -> Callable[[Element, float, float], None]:
    def swatch(parent: Element, x: float, y: float) -> None:
        style = {"stroke": INK, "stroke_width": 1.6, "stroke_dasharray": dashes, "fill": "none"}
        element(parent, "path", d=f"M {x:.1f} {y:.1f} L {x + SWATCH:.1f} {y:.1f}", **style)

    return swatch
