"""Whether the blocks of one use can be moved by every symmetry: each element one place, each place within its site."""

from __future__ import annotations

import numpy as np

from graphs.assembling.naming import Names
from graphs.assembling.placing import SiteDraft
from graphs.boxes import spread
from graphs.labelling.distinct import numbered, packed
from graphs.topology import BoxAxis, ParameterBlock

Array = np.ndarray


def is_movable(blocks: list[ParameterBlock], sites: list[SiteDraft], names: Names) -> bool:
    """All entries within the sites, no two elements at one (target, source, tap), and of neurons that permute as one
    all or none: a symmetry then has a place for every element."""
    if not all(_is_injective(block) for block in blocks) or (len(blocks) > 1 and _repeats(blocks)):
        return False
    for end in ("target", "source"):
        site = getattr(blocks[0], end)
        if site is not None:
            reached = np.unique(np.concatenate([_reach(block, end) for block in blocks]))
            if not _is_whole(sites[site], reached, names):
                return False
    return True


def _is_injective(block: ParameterBlock) -> bool:
    """Whether its axes tell different entries apart."""
    pure = [a for a in block.axes if a.source and not a.target]
    for axes, end in (([a for a in block.axes if a.target], "target"), (pure, "source")):
        entries = _spread(block, axes, end)
        if len(np.unique(entries)) < entries.size:
            return False
    return True


def _reach(block: ParameterBlock, end: str) -> Array:
    return np.unique(_spread(block, [a for a in block.axes if getattr(a, end)], end))


def _spread(block: ParameterBlock, axes: list[BoxAxis], end: str) -> Array:
    return spread(getattr(block, f"first_{end}"), [(a.size, getattr(a, end)) for a in axes]).reshape(-1)


def _repeats(blocks: list[ParameterBlock]) -> bool:
    """Whether two elements of the blocks have one (target, source, tap)."""
    rows = []
    for block in blocks:
        target = spread(block.first_target, [(a.size, a.target) for a in block.axes]).reshape(-1)
        source = spread(block.first_source, [(a.size, a.source) for a in block.axes]).reshape(-1)
        taps = int(np.prod(block.taps))
        rows.append(np.stack([target, source, np.tile(np.arange(taps), len(target) // taps)], 1))
    table = np.concatenate(rows)
    return len(np.unique(table, axis=0)) < len(table)


def _is_whole(site: SiteDraft, reached: Array, names: Names) -> bool:
    """Whether the entries reached are in the site, and for neurons that permute as one (at one rank) all of them."""
    if reached[0] < 0 or reached[-1] >= site.size:
        return False
    if site.entries is None:
        return True
    vertex, rank = np.array(site.entries).T
    free = names.cell_size[names.cell[vertex]] > 1
    kind = numbered(packed(names.cell[vertex], rank))[1]
    inside = np.zeros(site.size, dtype=bool)
    inside[reached] = True
    seen = np.isin(kind, kind[inside & free])
    return bool(inside[free & seen].all())
