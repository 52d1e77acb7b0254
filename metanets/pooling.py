"""From the nodes and edges of a batch to one vector a network."""

from __future__ import annotations

import torch
from torch import Tensor

from graphs import KINDS, GraphBatch
from graphs.kernels import BlockTable, segment_reduce

OUTPUT = KINDS.index("output")


def graph_mean(values: Tensor, graph: Tensor, num_graphs: int) -> Tensor:
    """Mean over the rows of each network; 0 for a network without any. Shapes: ``[n, F]``, ``[n]``; ``[B, F]``."""
    return segment_reduce(values, BlockTable.from_index(graph, num_graphs), ("mean",))[0]


def edge_mean(sums: Tensor, table: BlockTable, graph: Tensor, num_graphs: int) -> Tensor:
    """Mean over the edges of each network, of which ``sums`` are the sums into each node.

    Shapes: sums ``[N, F]``, graph (of each node) ``[N]``; ``[B, F]``, 0 for a network without edges.
    """
    members = BlockTable.from_index(graph, num_graphs)
    (total,), (count,) = (segment_reduce(x, members) for x in (sums, table.degree[:, None].to(sums.dtype)))
    return total / count.clamp(min=1)


def output_nodes(batch: GraphBatch) -> Tensor:
    """Which nodes are outputs of a network: those of its last output site. Shapes: bool ``[N]``."""
    site = torch.where(batch.kind == OUTPUT, batch.site, -1)
    last = site.new_full((batch.num_graphs,), -1).scatter_reduce(0, batch.batch, site, "amax")
    return (batch.kind == OUTPUT) & (site == last[batch.batch])


def concatenate_outputs(x: Tensor, batch: GraphBatch, outputs: int) -> Tensor:
    """The states of the output nodes of each network, one after the other. Shapes: ``[N, F]``; ``[B, outputs * F]``.

    Raises ValueError unless every network has ``outputs`` of them.
    """
    mask = output_nodes(batch)
    counts = torch.bincount(batch.batch[mask], minlength=batch.num_graphs)
    if bool((counts != outputs).any()):
        graph = int((counts != outputs).nonzero()[0])
        raise ValueError(
            f"expected networks of {outputs} outputs, network {graph} of the batch has {int(counts[graph])}; "
            f"create the model with outputs={int(counts[graph])}, or with readout='nodes' for networks that differ"
        )
    return x[mask].reshape(batch.num_graphs, outputs * x.shape[1])
