"""ParameterGraph: a topology with the weights of one network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from graphs.memory import copy
from graphs.topology import ParameterBlock, Topology

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from graphs.symmetries import Symmetry


class ParameterGraph:
    """One network as a graph: nodes are entries of sites, edges are weights.

    Args:
        topology: structure.
        flat: weights ``[P]``; several states may be given as ``[..., P]`` views elsewhere, one graph holds one.
        other: integer entries of the state_dict, verbatim.
    """

    def __init__(self, topology: Topology, flat: Tensor, other: Mapping[str, Tensor] | None = None) -> None:
        if flat.shape != (topology.num_parameters,):
            raise ValueError(
                f"expected {topology.num_parameters} weights for topology {topology.digest[:12]}, got shape "
                f"{tuple(flat.shape)}; the weights belong to another architecture"
            )
        self.topology = topology
        self.other = dict(other or {})
        self._flat: Tensor | None = flat
        self._tensors: dict[str, Tensor] | None = None

    @classmethod
    def from_state_dict(cls, topology: Topology, state_dict: Mapping[str, Tensor]) -> ParameterGraph:
        """Bind without a copy. Raises ValueError when names or shapes are another architecture's."""
        topology.layout.check(state_dict)
        graph = cls.__new__(cls)
        graph.topology, graph.other = topology, topology.layout.other(state_dict)
        graph._flat, graph._tensors = None, dict(state_dict)
        return graph

    def flat(self) -> Tensor:
        """P: floating entries in state_dict order, buffers included, ties once ``[P]``."""
        if self._flat is None:
            assert self._tensors is not None
            self._flat = self.topology.layout.flatten(self._tensors)
        return self._flat

    def copy_flat(self) -> Tensor:
        """A contiguous copy of P; unlike :meth:`flat`, it is not kept here ``[P]``."""
        if self._flat is None:
            assert self._tensors is not None
            return self.topology.layout.flatten(self._tensors)
        return copy(self._flat)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights as they were bound, bit for bit; views into the flat vector when that was given."""
        if self._tensors is not None:
            return dict(self._tensors)
        return self.topology.layout.unflatten(self.flat(), self.other)

    def values(self, block: ParameterBlock) -> Tensor:
        """The elements of one block ``[edges or nodes, taps]``, in the order of its axes."""
        flat = self.flat()  # perhaps a row of a larger storage
        strides = [a.stride * flat.stride(0) for a in block.axes]
        first = flat.storage_offset() + block.offset * flat.stride(0)
        return flat.as_strided([a.size for a in block.axes], strides, first).reshape(block.num_edges, -1)

    def apply(self, symmetry: Symmetry) -> ParameterGraph:
        """The same function with other weights. Raises ValueError for a symmetry of another topology.

        >>> import torch, graphs
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        >>> graph = graphs.trace(module, torch.zeros(1, 2)).bind(module.state_dict())
        >>> moved = graph.apply(graph.topology.random_symmetry(torch.Generator().manual_seed(0)))
        >>> sorted(moved.state_dict()) == sorted(graph.state_dict())
        True
        """
        from graphs.symmetries import apply

        return apply(self, symmetry)

    def to_data(self) -> HeteroData:
        """PyG data with one edge type a kernel shape; see :mod:`graphs.pyg`."""
        from graphs.pyg import to_data

        return to_data(self)

    @staticmethod
    def from_data(data: HeteroData, topology: Topology) -> ParameterGraph:
        """The graph of :meth:`to_data`'s result, bit for bit."""
        from graphs.pyg import from_data

        return from_data(data, topology)
