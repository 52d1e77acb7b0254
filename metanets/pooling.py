"""From the nodes and edges of a batch to one vector a network."""

from __future__ import annotations

import torch
from torch import Tensor

from graphs import KINDS, GraphBatch
from graphs.kernels import segment_reduce
from metanets.layers import full_precision, index_table

OUTPUT = KINDS.index("output")


def graph_mean(values: Tensor, graph: Tensor, num_graphs: int) -> Tensor:
    """Mean over the rows of each network; 0 for a network without any. Shapes: ``[n, F]``, ``[n]``; ``[B, F]``."""
    return segment_reduce(full_precision(values), index_table(graph, num_graphs), ("mean",))[0]


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
