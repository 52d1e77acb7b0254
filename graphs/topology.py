"""Topology: the structure of an architecture as groups, sites, blocks and relations, without weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from graphs.layout import Layout
from graphs.scaling.scales import Scale

if TYPE_CHECKING:
    import torch
    from torch import nn

    from graphs.parameter_graph import ParameterGraph
    from graphs.symmetries import Symmetry

KINDS = ("hidden", "head", "vocabulary", "input", "output", "pinned")
PERMUTING = ("hidden", "head")
ACTIVATIONS = ("none", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "sin", "other")
EDGE_KINDS = ("linear", "conv", "embedding", "other", "identity", "member")
NODE_KINDS = ("bias", "norm_weight", "norm_bias", "running_mean", "running_var", "other")
# Steps at a site that are not its activation function.
_PLAIN_STEPS = frozenset(
    "batch_norm layer_norm group_norm rms_norm mean sum mul div add sub softmax masked_fill dropout".split()
)
FORMAT = 1


@dataclass(frozen=True)
class NeuronGroup:
    """Neurons that permute as one. ``parent`` is the group whose neurons contain them (heads); hidden and head groups
    permute, the others are named from outside the network."""

    size: int
    kind: str
    parent: int | None = None


@dataclass(frozen=True)
class Run:
    """``count`` consecutive entries of a site: neurons ``first, first + step, ...`` of a group, at one pinned rank
    (0, or which of several places of the same neuron)."""

    group: int
    first: int
    step: int
    count: int
    rank: int = 0


@dataclass(frozen=True)
class Site:
    """Groups at one place of the computation, in the order of that activation's channel axis.

    Args:
        size: number of entries, which are nodes of the graph.
        runs: the entries.
        steps: what happens to a neuron here, in order, such as ``("batch_norm", "relu")``.
        layer: 0 for inputs, else 1 + the longest chain of weights before it.
    """

    size: int
    runs: tuple[Run, ...]
    steps: tuple[str, ...]
    layer: int

    @property
    def activation(self) -> str:
        """The last function at the site that is no normalisation or arithmetic, as a name of ACTIVATIONS."""
        names = [step.split("(")[0] for step in self.steps]
        functions = [n for n in names if n not in _PLAIN_STEPS and "pool" not in n]
        if not functions:
            return "none"
        return functions[-1] if functions[-1] in ACTIVATIONS else "other"


@dataclass(frozen=True)
class BoxAxis:
    """One axis of a box: advancing it moves ``stride`` elements in P, ``target`` and ``source`` entries in the sites.
    An axis that moves neither is a tap (kernel position, place in a flattened map) or pinned (position, expert)."""

    size: int
    stride: int
    target: int
    source: int

    @property
    def is_tap(self) -> bool:
        return self.target == 0 and self.source == 0


@dataclass(frozen=True)
class ParameterBlock:
    """One use of one parameter, as a box of P.

    Args:
        parameter: number of the state_dict entry.
        kind: one of EDGE_KINDS (with a source) or NODE_KINDS.
        source: site it reads, or None for a node or graph feature.
        target: site it writes, or None for a graph feature.
        offset: element of P at index 0. first_source, first_target: entries of the sites there.
        axes: the box.
        flat: whether its taps are places of a flattened map rather than kernel positions.
    """

    parameter: int
    kind: str
    source: int | None
    target: int | None
    offset: int
    first_source: int
    first_target: int
    axes: tuple[BoxAxis, ...]
    flat: bool = False

    @property
    def taps(self) -> tuple[int, ...]:
        return tuple(a.size for a in self.axes if a.is_tap)

    @property
    def num_edges(self) -> int:
        """Edges, or nodes for a node feature."""
        count = 1
        for axis in self.axes:
            count *= 1 if axis.is_tap else axis.size
        return count


@dataclass(frozen=True)
class Relation:
    """Edges without weights between two sites, as a box: identity (residual, concatenation, norm) or member (head)."""

    kind: str
    source: int
    target: int
    first_source: int
    first_target: int
    axes: tuple[BoxAxis, ...]

    @property
    def num_edges(self) -> int:
        count = 1
        for axis in self.axes:
            count *= axis.size
        return count


@dataclass(frozen=True)
class Bond:
    """Neurons of two groups that every symmetry keeps together, as a box of (target neuron, source neuron) pairs."""

    source: int
    target: int
    colour: int
    first_source: int
    first_target: int
    axes: tuple[BoxAxis, ...]


@dataclass(frozen=True)
class Topology:
    """The structure of an architecture; frozen, without weights, identified by ``digest``.

    The layout of the state_dict, the module path of every site, the torch call whose output holds its activation, what
    was pinned, and the scale and sign symmetries (None until :func:`graphs.with_scales` has searched them) are kept
    beside the structure: they are not part of the digest.
    """

    groups: tuple[NeuronGroup, ...]
    sites: tuple[Site, ...]
    blocks: tuple[ParameterBlock, ...]
    relations: tuple[Relation, ...]
    bonds: tuple[Bond, ...]
    layout: Layout
    site_paths: tuple[str, ...] = ()
    site_calls: tuple[tuple[int, tuple[int, ...]] | None, ...] = ()
    pinned: Mapping[str, int] = field(default_factory=dict)
    scales: tuple[Scale, ...] | None = None

    # ---- identity

    @cached_property
    def digest(self) -> str:
        """sha256 of the structure in canonical JSON; equal in every process and for every probe size."""
        shapes = [(e.shape, e.offset, e.is_buffer) for e in self.layout.entries]
        text = json.dumps([FORMAT, self._structure(), shapes], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _structure(self) -> dict[str, Any]:
        return {name: [asdict(x) for x in getattr(self, name)] for name in _PARTS}

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topology) and self.digest == other.digest

    def to_json(self) -> str:
        """Everything, as JSON text; :meth:`from_json` returns an equal topology."""
        rest = {"layout": self.layout.to_json(), "pinned": dict(self.pinned)}
        rest |= {"site_paths": self.site_paths, "site_calls": self.site_calls}
        if self.scales is not None:
            rest["scales"] = [scale.to_json() for scale in self.scales]
        return json.dumps({"format": FORMAT, "digest": self.digest, **self._structure(), **rest})

    @classmethod
    def from_json(cls, text: str) -> Topology:
        """Raises ValueError for another format version or a structure that is not the one its digest names."""
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise ValueError(
                f"expected a topology of format {FORMAT}, got {data.get('format')!r}; trace the module anew"
            )
        parts = {name: tuple(_read(name, row) for row in data[name]) for name in _PARTS}
        missing = {*_PARTS, "layout", "site_paths", "site_calls", "pinned", "digest"} - data.keys()
        if missing:
            raise ValueError(f"this is no whole topology, {sorted(missing)} are missing; trace the module anew")
        calls = tuple(c and (c[0], tuple(c[1])) for c in data["site_calls"])
        rest = {"site_paths": tuple(data["site_paths"]), "site_calls": calls, "pinned": data["pinned"]}
        if "scales" in data:
            rest["scales"] = tuple(Scale.from_json(row) for row in data["scales"])
        topology = cls(**parts, layout=Layout.from_json(data["layout"]), **rest)
        if topology.digest != data["digest"]:
            raise ValueError(
                f"expected a topology of digest {data['digest']}, got {topology.digest}; the file is damaged"
            )
        return topology

    # ---- sizes

    @property
    def entries(self) -> tuple:
        """The state_dict entries (:class:`graphs.layout.Entry`), in order."""
        return self.layout.entries

    @property
    def num_parameters(self) -> int:
        """Length of P: floating state_dict elements, buffers included, ties once."""
        return self.layout.num_parameters

    @cached_property
    def num_nodes(self) -> int:
        return sum(site.size for site in self.sites)

    @cached_property
    def num_edges(self) -> int:
        """Weighted edges (an edge per kernel, not per tap) and relation edges."""
        weights = sum(b.num_edges for b in self.blocks if b.source is not None)
        return weights + sum(r.num_edges for r in self.relations)

    # ---- weights and symmetries

    @property
    def module(self) -> nn.Module | None:
        """A copy of the traced module without weights, with which its networks run; None after reading from a file."""
        return self.__dict__.get("_module")

    def attach(self, module: nn.Module) -> Topology:
        """Remember the module, so that ``batch.run`` can run networks of this topology; returns the topology."""
        from graphs.running import weightless_copy

        self.__dict__["_module"] = weightless_copy(module).eval()
        return self

    def bind(self, state_dict: Mapping[str, Tensor]) -> ParameterGraph:
        """The ParameterGraph of these weights, without a copy. Raises ValueError for another architecture's."""
        from graphs.parameter_graph import ParameterGraph

        return ParameterGraph.from_state_dict(self, state_dict)

    def bind_flat(self, flat: Tensor, other: Mapping[str, Tensor] | None = None) -> ParameterGraph:
        """The ParameterGraph of a flat vector ``[P]`` (a row of a zoo), without a copy."""
        from graphs.parameter_graph import ParameterGraph

        return ParameterGraph(self, flat, dict(other or {}))

    def random_symmetry(self, generator: torch.Generator | None = None, scale: bool = False) -> Symmetry:
        """A random automorphism: a permutation of every group that leaves the function of any weights unchanged.

        Args:
            generator: of the random numbers.
            scale: also draw a factor for every neuron of every scale and sign symmetry.

        Raises ValueError for ``scale=True`` where the scale symmetries were not searched.
        """
        from graphs.symmetries import random_symmetry

        return random_symmetry(self, generator, scale)

    @cached_property
    def log10_group_order(self) -> float:
        """log10 of the number of permutation symmetries."""
        from graphs.symmetries import log10_group_order

        return log10_group_order(self)


_PARTS = ("groups", "sites", "blocks", "relations", "bonds")
_TYPES = {"groups": NeuronGroup, "sites": Site, "blocks": ParameterBlock, "relations": Relation, "bonds": Bond}


def _read(name: str, row: dict[str, Any]) -> Any:
    row = dict(row)
    if "axes" in row:
        row["axes"] = tuple(BoxAxis(**a) for a in row["axes"])
    if "runs" in row:
        row["runs"] = tuple(Run(**r) for r in row["runs"])
        row["steps"] = tuple(row["steps"])
    return _TYPES[name](**row)
