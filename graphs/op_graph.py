"""The computation graph of a network: a node per operation and parameter, an edge from each value to what reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NODE_KINDS = ("input", "parameter", "buffer", "op", "output")
FORMAT = 1


@dataclass(frozen=True)
class OpNode:
    """One value of the computation.

    Args:
        kind: one of NODE_KINDS.
        name: of an op its name in ATen without overload (``addmm``) or, once reduced, its primitive (``conv``); of a
            parameter or buffer its state_dict entry; of an input or output its number.
        module: path of the module that ran the op, "" for the network itself.
        layer: class of that module.
        call: number of the run of that module, counted over the forward pass, so that a layer used twice has two.
        shape: of the value on the example inputs.
        parameters: the state_dict entries that the node holds, with their shapes; all names of a tied parameter.
        arguments: numbers and names that the op was given beside tensors, where they differ from its defaults.
    """

    kind: str
    name: str
    module: str = ""
    layer: str = ""
    call: int = 0
    shape: tuple[int, ...] = ()
    parameters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in NODE_KINDS:
            raise ValueError(f"unknown kind of node {self.kind!r}; choose one of {', '.join(NODE_KINDS)}")


@dataclass(frozen=True)
class ComputationGraph:
    """Nodes in topological order (every edge goes to a later node) and the edges between them.

    Args:
        nodes: N nodes.
        edges: E pairs (producer, consumer), each once.

    >>> graph = computation_graph(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(1, 2))
    >>> [node.name for node in graph.nodes]
    ['0', '0.weight', '0.bias', 'addmm', 'relu', '0']
    >>> graph.edge_index.tolist()
    [[0, 1, 2, 3, 4], [3, 3, 3, 4, 5]]
    """

    nodes: tuple[OpNode, ...]
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        wrong = [e for e in self.edges if not 0 <= e[0] < e[1] < len(self.nodes)]
        if wrong:
            raise ValueError(f"expected edges to later ones of {len(self.nodes)} nodes, got {wrong[0]}; sort the nodes")

    @property
    def num_nodes(self) -> int:
        return len(self.nodes)

    @property
    def num_edges(self) -> int:
        return len(self.edges)

    @cached_property
    def edge_index(self) -> Tensor:
        """``[2, E]`` int64, producers above consumers."""
        return torch.tensor(self.edges, dtype=torch.int64).reshape(-1, 2).T.contiguous()

    @cached_property
    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """Of each node, those whose values it reads, in order."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for producer, consumer in self.edges:
            found[consumer].append(producer)
        return tuple(tuple(sorted(p)) for p in found)

    def shortest_paths(self, max_distance: int = 50) -> Tensor:
        """Lengths of shortest directed paths ``[N, N]`` int64: 1 at an edge, 2 .. ``max_distance`` at a virtual edge of
        graph hypernetworks (https://arxiv.org/abs/2110.13100, section 3.2), 0 where there is neither.

        >>> chain = ComputationGraph(tuple(OpNode("op", "relu") for _ in range(3)), ((0, 1), (1, 2)))
        >>> chain.shortest_paths().tolist()
        [[0, 1, 2], [0, 0, 1], [0, 0, 0]]
        """
        count = self.num_nodes
        # No path has `count` edges, so that this much and more stands for none; it grows to twice as much.
        lengths = np.full((count, count), count, np.int16 if count < 2**14 else np.int32)
        rows = list(lengths)
        # Nodes are in topological order: backwards, the rows of what reads a node are complete.
        for node, readers in reversed(list(enumerate(self._readers()))):
            row = rows[node]
            if readers:
                nearest = rows[readers[0]]
                for reader in readers[1:]:
                    nearest = np.minimum(nearest, rows[reader], out=row)
                np.add(nearest, 1, out=row)
            row[node] = 0
        lengths *= lengths <= min(max_distance, count - 1)
        return torch.from_numpy(lengths.astype(np.int64))

    def _readers(self) -> list[list[int]]:
        """Of each node, those that read its value."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for producer, consumer in self.edges:
            found[producer].append(consumer)
        return found

    def reduced(self, only_parameters: bool = False) -> ComputationGraph:
        """The graph of primitives that graph hypernetworks read; see :mod:`graphs.primitives`.

        Args:
            only_parameters: leave out every primitive that holds no parameter; what it read feeds what read it.

        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        >>> [node.name for node in computation_graph(net, torch.zeros(1, 1, 8, 8)).reduced().nodes]
        ['input', 'conv', 'bias', 'bn', 'max_pool', 'output']
        """
        from graphs.primitives import reduce

        return reduce(self, only_parameters)

    def to_json(self) -> str:
        """Everything, as JSON text; :meth:`from_json` returns an equal graph."""
        return json.dumps({"format": FORMAT, "nodes": [asdict(n) for n in self.nodes], "edges": self.edges})

    @classmethod
    def from_json(cls, text: str) -> ComputationGraph:
        """Raises ValueError for another format version."""
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise ValueError(
                f"expected a computation graph of format {FORMAT}, got {data.get('format')!r}; make it anew"
            )
        return cls(tuple(_node(row) for row in data["nodes"]), tuple((a, b) for a, b in data["edges"]))


def _node(row: dict[str, Any]) -> OpNode:
    parameters = {name: tuple(shape) for name, shape in row["parameters"].items()}
    return OpNode(**{**row, "shape": tuple(row["shape"]), "parameters": parameters})


def computation_graph(module: nn.Module, *inputs: Any, **kwargs: Any) -> ComputationGraph:
    """The ComputationGraph of ``module``, from one forward pass in evaluation mode.

    Nodes are inputs, every parameter and buffer of the state_dict (a tied one once, an unread one without edges), every
    ATen op on what depends on them, and outputs. A view is no node: it stands for what it views. An op that writes in
    place makes a new version of the whole tensor whose memory it writes. A module on the meta device works too.

    Args:
        module: any network; it is not changed.
        inputs, kwargs: example inputs.

    Raises UntraceableError when the forward pass fails or the module holds what is no tensor.
    """
    from graphs.op_recording import record

    return record(module, inputs, kwargs)
