"""Where the bars of a picture stand: the geometry of sites, lanes and columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphs.drawing.grid import Cell
from graphs.drawing.labels import FONT, LINE, SMALL, Box, site_lines, width
from graphs.topology import PERMUTING, BoxAxis, Topology

BAR = 18.0
TALLEST, LOWEST = 112.0, 16.0
MARGIN = 24.0
GAP = 62.0


@dataclass(frozen=True)
class Bar:
    """The bar of a site, and the names below it."""

    cell: Cell
    box: Box
    size: int
    name: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def x(self) -> float:
        return (self.box.left + self.box.right) / 2

    @property
    def half(self) -> float:
        """Half the width of the bar with its names."""
        return _wide(self.name, self.rest) / 2

    def extent(self, first: int, steps: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """Top and bottom of the entries ``first + sum(i * step)``, for (count, step) in ``steps``."""
        low = first + sum(min(0, (count - 1) * step) for count, step in steps)
        high = first + sum(max(0, (count - 1) * step) for count, step in steps) + 1
        unit = (self.box.bottom - self.box.top) / max(1, self.size)
        return self.box.top + low * unit, self.box.top + high * unit


@dataclass(frozen=True)
class Lane:
    """A row of bars: the tallest stand from ``top`` to ``foot``, arcs run above them, names end at ``bottom``."""

    top: float
    foot: float
    bottom: float


@dataclass(frozen=True)
class Picture:
    """The bars and lanes of a picture, and the middle of every column."""

    bars: tuple[Bar, ...]
    lanes: tuple[Lane, ...]
    columns: tuple[float, ...]
    edges: tuple[float, ...]

    @property
    def right(self) -> float:
        return self.edges[-1] + MARGIN


def arrange(topology: Topology, cells: Sequence[Cell], spaces: Sequence[float], top: float) -> Picture:
    """Columns as wide as their names, lanes as high as their bars and names, with ``spaces`` for arcs above them."""
    lines = [site_lines(topology, s) for s in range(len(cells))]
    heights = list(_heights(topology))
    lanes, y = [], top
    for lane, space in enumerate(spaces):
        here = [s for s, cell in enumerate(cells) if cell.lane == lane]
        foot = y + space + max(heights[s] for s in here)
        bottom = foot + LINE * max(len(lines[s][0]) + len(lines[s][1]) for s in here) + 16
        lanes.append(Lane(y + space, foot, bottom))
        y = bottom
    widths = _column_widths(cells, lines)
    columns, edges = _columns(widths)
    made = []
    for cell, height, (name, rest) in zip(cells, heights, lines, strict=True):
        x, middle = columns[cell.column], (lanes[cell.lane].top + lanes[cell.lane].foot) / 2
        box = Box(x - BAR / 2, middle - height / 2, x + BAR / 2, middle + height / 2)
        size = topology.sites[len(made)].size
        made.append(Bar(cell, box, size, tuple(name), tuple(rest)))
    return Picture(tuple(made), tuple(lanes), tuple(columns), tuple(edges))


def steps(axes: Sequence[BoxAxis], side: str) -> list[tuple[int, int]]:
    """(count, step) of a box along the entries of its ``source`` or ``target``."""
    return [(axis.size, getattr(axis, side)) for axis in axes]


def _heights(topology: Topology) -> Iterator[float]:
    """Higher for more neurons, by a root so that small sites stay visible; fixed sites do not set the scale."""
    free = [s.size for s in topology.sites if any(topology.groups[r.group].kind in PERMUTING for r in s.runs)]
    largest = max(free or [s.size for s in topology.sites], default=1)
    for site in topology.sites:
        yield max(LOWEST, TALLEST * min(1.0, site.size / max(1, largest)) ** 0.4)


def _column_widths(cells: Sequence[Cell], lines: Sequence[tuple[list[str], list[str]]]) -> list[float]:
    found = [BAR] * (1 + max(cell.column for cell in cells))
    for cell, (name, rest) in zip(cells, lines, strict=True):
        found[cell.column] = max(found[cell.column], _wide(name, rest))
    return found


def _wide(name: Sequence[str], rest: Sequence[str]) -> float:
    return max(BAR, *(width(t, FONT) for t in name), *(width(t, SMALL) for t in rest))


def _columns(widths: Sequence[float]) -> tuple[list[float], list[float]]:
    """The middle of every column, and the edges between them."""
    columns = [MARGIN + widths[0] / 2]
    for left, right in itertools.pairwise(widths):
        columns.append(columns[-1] + max((left + right) / 2 + 10, BAR + GAP))
    edges = [MARGIN, *((a + b) / 2 for a, b in itertools.pairwise(columns)), columns[-1] + widths[-1] / 2]
    return columns, edges
