"""From a recording to a Topology: places become sites, cells groups, uses blocks, links relations."""

from __future__ import annotations

from graphs.assembling.blocks import Locator, LostAxis
from graphs.assembling.grouping import Grouping
from graphs.assembling.naming import name_neurons
from graphs.assembling.placing import draft_sites
from graphs.assembling.relating import bonds, relations
from graphs.labelling.classes import NeuronClasses
from graphs.labelling.recording import Recording
from graphs.layout import Layout
from graphs.topology import ParameterBlock, Relation, Site, Topology


def assemble(recording: Recording, classes: NeuronClasses, layout: Layout) -> Topology:
    """The Topology of a recording. A parameter axis that stands at no site is pinned, and the names are made again."""
    while True:
        try:
            return _assemble(recording, classes, layout)
        except LostAxis as lost:
            parameter, dim = lost.axis
            classes.pin(classes.roots(recording.axis_ids[lost.axis]))
            what = f"axis {dim} of {layout.entries[parameter].name}"
            assert what not in recording.pinned, what
            recording.pinned[what] = recording.axis_ids[lost.axis].numel()


def _assemble(recording: Recording, classes: NeuronClasses, layout: Layout) -> Topology:
    names = name_neurons(classes, recording)
    drafts, site_of = draft_sites(recording, names)
    axis_ids = {axis: ids.numpy() for axis, ids in recording.axis_ids.items()}
    locator = Locator(names, drafts, site_of, axis_ids, recording.uses)
    by_use = [locator.blocks(use, layout.entries[use.parameter]) for use in recording.uses]
    locator.require_all_movable(by_use)
    blocks = list(dict.fromkeys(block for blocks in by_use for block in blocks))
    related = relations(recording, drafts, site_of, names)
    grouping = Grouping(names, drafts)
    runs = [grouping.runs(draft) for draft in drafts]
    layers = _layers(len(drafts), blocks, related)
    sites = tuple(Site(d.size, r, tuple(d.steps), n) for d, r, n in zip(drafts, runs, layers, strict=True))
    groups = grouping.finish()
    return Topology(
        groups=groups,
        sites=sites,
        blocks=tuple(blocks),
        relations=tuple(related),
        bonds=bonds(names, grouping),
        layout=layout,
        site_paths=tuple(d.path for d in drafts),
        site_calls=tuple(d.seen for d in drafts),
        pinned=dict(recording.pinned),
    )


def _layers(count: int, blocks: list[ParameterBlock], related: list[Relation]) -> list[int]:
    """1 + the longest chain of weights before each site, 0 where there is none; sites are in order of computation."""
    layers = [0] * count
    into: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for block in blocks:
        if block.source is not None and block.target is not None:
            into[block.target].append((block.source, 1))
    for relation in related:
        into[relation.target].append((relation.source, 0))
    for site in range(count):
        layers[site] = max((layers[source] + step for source, step in into[site]), default=0)
    return layers
