"""Blocks and relations of a picture: bands between neighbours, arcs over what stands between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphs.drawing.colours import FIXED, INK, KINDS
from graphs.drawing.grid import Cell, Link
from graphs.drawing.labels import LINE, SMALL, Box, band_lines, text_box
from graphs.drawing.places import BAR, Bar, Picture, steps
from graphs.drawing.svg import Element, element, path, rounded, text
from graphs.topology import ParameterBlock, Relation, Topology

LEVEL = 13.0
DEEPEST = 260.0
LANDING = BAR / 2 - 4
Extent = tuple[float, float]
Station = tuple[float, float, float]


@dataclass(frozen=True)
class Route:
    """How a link runs: as a band (``level`` 0), or as an arc on a level above the lane of its source."""

    level: int
    bend: str = ""


def routes(links: Sequence[Link], cells: Sequence[Cell]) -> list[Route]:
    """A band where the way is free, else an arc; arcs of one source and kind share a level."""
    taken = {(cell.column, cell.lane) for cell in cells}
    bends = [_bend(cells[k.source], cells[k.target], taken) for k in links]
    buses: dict[tuple, list[tuple[float, float]]] = {}
    for link, bend in zip(links, bends, strict=True):
        if bend is None:
            source, target = cells[link.source], cells[link.target]
            ends = (source.column + 0.2, target.column - (0.2 if source.lane == target.lane else 0.4))
            buses.setdefault((source.lane, link.source, link.what, link.kind), []).append(ends)
    levels = _levels({key: (min(min(e) for e in ends), max(max(e) for e in ends)) for key, ends in buses.items()})
    return [
        Route(levels[cells[k.source].lane, k.source, k.what, k.kind]) if bend is None else Route(0, bend)
        for k, bend in zip(links, bends, strict=True)
    ]


def levels_above(links: Sequence[Link], found: Sequence[Route], cells: Sequence[Cell]) -> list[int]:
    """How many levels of arcs run above each lane."""
    levels = [0] * (1 + max(cell.lane for cell in cells))
    for link, route in zip(links, found, strict=True):
        lane = cells[link.source].lane
        levels[lane] = max(levels[lane], route.level)
    return levels


def space_of(levels: int) -> float:
    """The space that levels of arcs take."""
    return 14 + (min(DEEPEST, LEVEL * levels) + 4 if levels else 0)


def _bend(source: Cell, target: Cell, taken: set[tuple[int, int]]) -> str | None:
    """Where a band changes its lane: in the first or the last gap; None where neither way is free."""
    between = range(source.column + 1, target.column)
    if target.column <= source.column:
        return None
    if not any((column, target.lane) in taken for column in between):
        return "first"
    if not any((column, source.lane) in taken for column in between):
        return "last"
    return None


def _levels(spans: dict[tuple, tuple[float, float]]) -> dict[tuple, int]:
    """The lowest free level for every bus, short ones first."""
    levels: dict[tuple, int] = {}
    for key in sorted(spans, key=lambda k: (spans[k][1] - spans[k][0], k)):
        low, high = spans[key]
        used = {levels[k] for k in levels if k[0] == key[0] and spans[k][0] < high and low < spans[k][1]}
        levels[key] = next(n for n in range(1, len(used) + 2) if n not in used)
    return levels


@dataclass
class Painter:
    """Draws links into three layers: below the bars, above them, and words."""

    topology: Topology
    picture: Picture
    colours: list[str]
    levels: list[int]
    below: Element
    above: Element
    words: Element
    used: list[Box]

    def draw(self, link: Link, route: Route) -> None:
        part = self._part(link)
        source, target = self.picture.bars[link.source], self.picture.bars[link.target]
        if route.level:
            self._arc(link, part, source, target, route.level)
        else:
            self._band(link, part, source, target, route.bend)

    # ---- bands

    def _band(self, link: Link, part: ParameterBlock | Relation, source: Bar, target: Bar, bend: str) -> None:
        start = source.extent(part.first_source, steps(part.axes, "source"))
        end = target.extent(part.first_target, steps(part.axes, "target"))
        stations = self._stations(source, target, start, end, bend)
        element(self.below, "path", d=_ribbon(stations), **self._style(link, part, True))
        middle = (end[0] + end[1]) / 2
        tip = target.box.left
        self._arrow(link, [(tip - 7, middle - 4.5), (tip, middle), (tip - 7, middle + 4.5)])
        if isinstance(part, ParameterBlock):
            a, b = max(itertools.pairwise(stations), key=lambda pair: pair[1][0] - pair[0][0])
            self._label(link, part, (a[0] + b[0]) / 2 - 2, (a[1] + a[2] + b[1] + b[2]) / 4)

    def _stations(self, source: Bar, target: Bar, start: Extent, end: Extent, bend: str) -> list[Station]:
        """Where a band passes: it changes lanes in one gap, beside the names that stand there."""
        left, right = source.box.right, target.box.left
        if target.cell.column > source.cell.column + 1:
            if bend == "first":
                right = self.picture.columns[source.cell.column + 1] - BAR / 2
            else:
                left = self.picture.columns[target.cell.column - 1] + BAR / 2
        if target.cell.lane > source.cell.lane:
            left = max(left, source.x + source.half)
        elif target.cell.lane < source.cell.lane:
            right = min(right, target.x - target.half)
        found = [(source.box.right, *start), (left, *start), (right, *end), (target.box.left, *end)]
        return [station for i, station in enumerate(found) if i == 0 or station != found[i - 1]]

    # ---- arcs

    def _arc(self, link: Link, part: ParameterBlock | Relation, source: Bar, target: Bar, level: int) -> None:
        y = self._height(source.cell.lane, level)
        start = (source.x + LANDING, source.box.top)
        if source.cell.lane == target.cell.lane:
            x = target.x - LANDING
            points = [start, (start[0], y), (x, y), (x, target.box.top)]
            arrow = [(x - 4, target.box.top - 6.5), (x, target.box.top), (x + 4, target.box.top - 6.5)]
        else:
            low, high = target.extent(part.first_target, steps(part.axes, "target"))
            x, middle, tip = target.box.left - 16, (low + high) / 2, target.box.left
            points = [start, (start[0], y), (x, y), (x, middle), (tip, middle)]
            arrow = [(tip - 6.5, middle - 4), (tip, middle), (tip - 6.5, middle + 4)]
        element(self.above, "path", d=rounded(points), **self._style(link, part, False))
        self._arrow(link, arrow)
        if isinstance(part, ParameterBlock):
            self._label(link, part, (points[1][0] + points[2][0]) / 2, y, one_line=True)

    def _height(self, lane: int, level: int) -> float:
        """The middle of a level above a lane."""
        place = self.picture.lanes[lane]
        pitch = min(LEVEL, DEEPEST / self.levels[lane])
        return place.top - 12 - (level - 0.5) * pitch

    # ---- style

    def _part(self, link: Link) -> ParameterBlock | Relation:
        parts = self.topology.blocks if link.what == "block" else self.topology.relations
        return parts[link.number]

    def _style(self, link: Link, part: ParameterBlock | Relation, band: bool) -> dict[str, object]:
        name = f"{link.kind}, edges: {part.num_edges:,}"
        if isinstance(part, ParameterBlock):
            name = f"{self.topology.entries[part.parameter].name}: {name}"
        found: dict[str, object] = {
            "title": name,
            "class_": "block" if link.what == "block" else f"relation {link.kind}",
            "data_number": link.number,
            "data_source": link.source,
            "data_target": link.target,
            "data_kind": link.kind,
            "data_edges": part.num_edges,
        }
        strong = self._strength(part)
        if link.what == "block":
            colour = KINDS[link.kind][0]
            if band:
                return {**found, "fill": colour, "fill_opacity": round(0.25 + 0.6 * strong, 2)}
            return {**found, "fill": "none", "stroke": colour, "stroke_width": round(2 + 4 * strong, 1)}
        colour = self.line_colour(part)
        dashes = "5 3" if link.kind == "identity" else "1.5 3"
        line = {"stroke": colour, "stroke_width": 1.6, "stroke_dasharray": dashes}
        return {**found, **({"fill": colour, "fill_opacity": 0.07} if band else {"fill": "none"}), **line}

    def _strength(self, part: ParameterBlock | Relation) -> float:
        most = max((b.num_edges for b in self.topology.blocks if b.source is not None), default=1)
        return math.sqrt(part.num_edges / most)

    def line_colour(self, part: ParameterBlock | Relation) -> str:
        """The colour of the group that an identity carries on; ink where there are several or none has a colour."""
        if part.kind != "identity" or part.target is None or part.source is None:
            return INK
        ends = (self.topology.sites[part.source], self.topology.sites[part.target])
        shared = set.intersection(*({run.group for run in site.runs} for site in ends))
        colour = self.colours[shared.pop()] if len(shared) == 1 else INK
        return INK if colour == FIXED else colour

    def _arrow(self, link: Link, points: Sequence[tuple[float, float]]) -> None:
        part = self._part(link)
        colour = KINDS[link.kind][1] if link.what == "block" else self.line_colour(part)
        (a, b), (c, d), (e, f) = points
        element(self.above, "path", d=path("M", a, b, "L", c, d, "L", e, f, "Z"), fill=colour, class_="arrow")

    def _label(self, link: Link, part: ParameterBlock, x: float, y: float, one_line: bool = False) -> None:
        """The kind of weights, where there is room for it."""
        lines = band_lines(self.topology, part)
        lines = [" ".join(lines)] if one_line else lines
        first = y - (len(lines) - 1) * (LINE - 2) / 2 + 0.3 * SMALL
        rows = [(line, first + i * (LINE - 2)) for i, line in enumerate(lines)]
        boxes = [text_box(line, x, row, SMALL) for line, row in rows]
        if any(box.overlaps(other) for box in boxes for other in self.used):
            return
        self.used.extend(boxes)
        for line, row in rows:
            text(self.words, line, x, row, SMALL, fill=KINDS[link.kind][1], class_="band-label")


def _ribbon(stations: Sequence[Station]) -> str:
    """A band through (x, top, bottom) stations, along its top and back along its bottom."""
    parts: list[str | float] = ["M", stations[0][0], stations[0][1]]
    for (x, y, _), (u, v, _) in itertools.pairwise(stations):
        parts += ["C", (x + u) / 2, y, (x + u) / 2, v, u, v]
    parts += ["L", stations[-1][0], stations[-1][2]]
    back = list(reversed(stations))
    for (x, _, y), (u, _, v) in itertools.pairwise(back):
        parts += ["C", (x + u) / 2, y, (x + u) / 2, v, u, v]
    return path(*parts, "Z")
