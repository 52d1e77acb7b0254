"""Which column and lane of a picture each site takes: columns follow the layers, lanes hold parallel branches."""

from __future__ import annotations

from dataclasses import dataclass

from graphs.topology import Topology


@dataclass(frozen=True)
class Link:
    """A block or relation between two sites. ``number`` is its place in the topology's blocks or relations."""

    what: str
    number: int
    kind: str
    source: int
    target: int


@dataclass(frozen=True)
class Cell:
    """Where a site stands: ``column`` from the left, ``lane`` from the top."""

    column: int
    lane: int


def links(topology: Topology) -> list[Link]:
    """What is drawn between sites: blocks, then relations."""
    found = [
        Link("block", i, b.kind, b.source, b.target)
        for i, b in enumerate(topology.blocks)
        if b.source is not None and b.target is not None
    ]
    return found + [Link("relation", i, r.kind, r.source, r.target) for i, r in enumerate(topology.relations)]


def cells(topology: Topology) -> list[Cell]:
    """A cell of its own for every site; what a site comes from in the same layer stands to its left."""
    into: list[list[Link]] = [[] for _ in topology.sites]
    for link in links(topology):
        if link.source < link.target:
            into[link.target].append(link)
    columns = _columns(topology, into)
    lanes = [0] * len(columns)
    for column in range(max(columns, default=-1) + 1):
        taken: set[int] = set()
        here = [s for s, c in enumerate(columns) if c == column]
        for site in sorted(here, key=lambda s: (_is_aside(into[s]), _wanted(into[s], lanes), s)):
            lane = _wanted(into[site], lanes)
            while lane in taken:
                lane += 1
            lanes[site] = lane
            taken.add(lane)
    return [Cell(column, lane) for column, lane in zip(columns, lanes, strict=True)]


def _columns(topology: Topology, into: list[list[Link]]) -> list[int]:
    rank = [0] * len(into)
    for site, found in enumerate(into):
        same = [k.source for k in found if topology.sites[k.source].layer == topology.sites[site].layer]
        rank[site] = max((rank[source] + 1 for source in same), default=0)
    keys = [(site.layer, rank[i]) for i, site in enumerate(topology.sites)]
    order = {key: column for column, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]


def _is_aside(found: list[Link]) -> bool:
    """Whether a site is only told from others, as heads are: it stands below what flows past it."""
    return bool(found) and all(link.kind == "member" for link in found)


def _wanted(found: list[Link], lanes: list[int]) -> int:
    """The topmost lane among those a site comes from."""
    if _is_aside(found):
        return 1 + min(lanes[link.source] for link in found)
    return min((lanes[link.source] for link in found if link.kind != "member"), default=0)
