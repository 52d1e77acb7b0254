"""A topology as a report of plain numbers and words, which JSON can hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from graphs.certifying.certificate import pin_reason

if TYPE_CHECKING:
    from graphs.certifying.certificate import Certificate
    from graphs.scaling.scales import Scale
    from graphs.topology import Site, Topology

# Two int64 an edge, as an edge_index would hold.
EDGE_BYTES = 16


def report(topology: Topology, certificate: Certificate | None = None) -> dict[str, Any]:
    """Sizes, groups, sites, blocks, relations, what is pinned; the certificate and scales where they were asked for.

    >>> import torch, graphs
    >>> topology = graphs.trace(torch.nn.Linear(2, 3), torch.zeros(1, 2))
    >>> report(topology)["sizes"]["edges"]
    6
    """
    return {
        "digest": topology.digest,
        "sizes": _sizes(topology),
        "certificate": None if certificate is None else certificate.to_dict(),
        "pinned": [{"what": w, "neurons": n, "reason": pin_reason(w)} for w, n in topology.pinned.items()],
        "scales": None if topology.scales is None else [_scale(topology, scale) for scale in topology.scales],
        "groups": [_group(topology, g) for g in range(len(topology.groups))],
        "sites": [_site(topology, s) for s in range(len(topology.sites))],
        "blocks": [_block(topology, b) for b in range(len(topology.blocks))],
        "relations": [
            {"kind": r.kind, "source": r.source, "target": r.target, "edges": r.num_edges} for r in topology.relations
        ],
    }


def site_kind(topology: Topology, site: Site) -> str:
    """The kinds of the groups at a site, such as ``hidden`` or ``hidden+input``."""
    return "+".join(dict.fromkeys(topology.groups[g].kind for g in site_groups(site)))


def site_groups(site: Site) -> list[int]:
    """The groups at a site, in order, each once."""
    return list(dict.fromkeys(run.group for run in site.runs))


def _sizes(topology: Topology) -> dict[str, Any]:
    return {
        "groups": len(topology.groups),
        "sites": len(topology.sites),
        "blocks": len(topology.blocks),
        "relations": len(topology.relations),
        "nodes": topology.num_nodes,
        "edges": topology.num_edges,
        "parameters": topology.num_parameters,
        "edge_index_bytes_avoided": EDGE_BYTES * topology.num_edges,
        "log10_group_order": topology.log10_group_order,
    }


def _scale(topology: Topology, scale: Scale) -> dict[str, Any]:
    names = [topology.entries[part.parameter].name for part in scale.slices]
    slices = [
        {"parameter": name, "end": part.end, "rank": part.rank, "exponent": exponent}
        for name, part, exponent in zip(names, scale.slices, scale.exponents, strict=True)
    ]
    return {"group": scale.group, "factor": "positive" if scale.continuous else "sign", "slices": slices}


def _group(topology: Topology, number: int) -> dict[str, Any]:
    at = [i for i, site in enumerate(topology.sites) if number in site_groups(site)]
    return {**asdict(topology.groups[number]), "sites": at}


def _site(topology: Topology, number: int) -> dict[str, Any]:
    site = topology.sites[number]
    return {
        "path": topology.site_paths[number],
        "layer": site.layer,
        "size": site.size,
        "kind": site_kind(topology, site),
        "groups": site_groups(site),
        "activation": site.activation,
        "steps": list(site.steps),
    }


def _block(topology: Topology, number: int) -> dict[str, Any]:
    block = topology.blocks[number]
    return {
        "parameter": topology.entries[block.parameter].name,
        "shape": list(topology.entries[block.parameter].shape),
        "kind": block.kind,
        "source": block.source,
        "target": block.target,
        "edges": block.num_edges if block.source is not None else 0,
        "taps": list(block.taps),
    }
