"""A metanetwork on a network of GPT2-small's size, with memory for its nodes only."""

from __future__ import annotations

import time
from typing import Any

import _results
import torch
from _kernel_memory import resident
from torch import Tensor, nn
from torch.nn.functional import linear

from graphs.kernels import BlockTable, Update, backend_info, lazy_chain
from metanets.layers import perceptron

WIDTH, DEPTH = 16, 3
MOST_GIGABYTES = 20
VOCABULARY, CONTEXT, STREAM, BLOCKS = 50257, 1024, 768, 12


def gpt2_small(blocks: int = BLOCKS, vocabulary: int = VOCABULARY) -> BlockTable:
    """An edge for every entry of its matrices, as rows of each matrix's outputs: 124 million of them.

    Nodes are places in the computation: positions, for every block the stream, queries with keys and values, attended
    values, the stream again and hidden units, then the last stream and the tokens that it predicts.
    """
    sites = [CONTEXT, *[STREAM, 3 * STREAM, STREAM, STREAM, 4 * STREAM] * blocks, STREAM, vocabulary]
    first = torch.tensor([0, *sites]).cumsum(0).tolist()
    pairs = [(0, 1), (len(sites) - 2, len(sites) - 1)]
    for stream in range(1, 5 * blocks, 5):
        queries, attended, again, hidden, after = range(stream + 1, stream + 6)
        pairs += [(stream, queries), (attended, again), (again, hidden), (hidden, after)]
    rows = torch.cat([_matrix(first[i], sites[i], first[j], sites[j]) for i, j in pairs])
    rows[:, 0] = rows[:, 2].cumsum(0) - rows[:, 2]
    return BlockTable.from_rows(rows, first[-1])


def _matrix(first_source: int, inputs: int, first_target: int, outputs: int) -> Tensor:
    """Rows of a matrix ``[outputs, inputs]``, their first edges left open."""
    columns = torch.tensor([0, first_source, inputs]).expand(outputs, 3)
    return torch.cat([columns, torch.arange(first_target, first_target + outputs)[:, None]], dim=1)


class LazyMetanetwork(nn.Module):
    """Layers of a Graph Metanetwork (https://arxiv.org/abs/2312.04501) whose edge states are never stored.

    Edge states start as ``relu(a w + b)`` of the raw weights, nodes as a vector that all share; the prediction is an
    MLP of the mean over the nodes.

    Shapes: weights ``[E, 1]``; output ``[1]``.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.start, self.encoder = nn.Parameter(torch.randn(width)), nn.Linear(1, width)
        self.layers = tuple(LazyLayer(width) for _ in range(depth))
        self.registered = nn.ModuleList(self.layers)
        self.head = perceptron(width, width, 1, activation=nn.SiLU)

    def forward(self, weights: Tensor, table: BlockTable) -> Tensor:
        x, updates = self.start.expand(table.num_nodes, -1), []
        for layer in self.layers:
            updates.append(layer.edge_update(x))
            mean = layer.mean(x, weights, self.encoder, updates, table)
            x = x + layer.nodes(layer.norm(torch.cat([x, mean], dim=1)))
        return self.head(x.mean(0))


class LazyLayer(nn.Module):
    """``e <- e + last(silu(source x_j + target x_i + edge e))``, then ``x <- x + MLP(LayerNorm([x, m]))`` with m the
    mean over the edges into a node of ``silu(source' x_j + edge' e)``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.message, self.edges = nn.Linear(2 * width, width), nn.Linear(3 * width, width)
        self.last, self.norm = nn.Linear(width, width), nn.LayerNorm(2 * width)
        self.nodes = perceptron(2 * width, width, width, activation=nn.SiLU)

    def mean(self, x: Tensor, weights: Tensor, encoder: nn.Linear, updates: list[Update], table: BlockTable) -> Tensor:
        source, edge = self.message.weight.chunk(2, dim=1)
        start = weights, encoder.weight.T, encoder.bias, updates
        ways: dict[str, Any] = {"act": "silu", "update_act": "silu", "reduce": ("mean",)}
        return lazy_chain(*start, linear(x, source), None, edge.T, table, bias=self.message.bias, **ways)[0]

    def edge_update(self, x: Tensor) -> Update:
        (source, target, edge), last = self.edges.weight.chunk(3, dim=1), self.last
        return Update(linear(x, source), linear(x, target), edge.T, last.weight.T, self.edges.bias, last.bias)


def measure(table: BlockTable, seed: int) -> list[dict[str, Any]]:
    """One forward and backward pass, in this process, which must be fresh: its greatest memory counts."""
    chosen = backend_info()["cpu"]
    if chosen["backend"] == "reference":
        raise SystemExit(f"plain torch would need hundreds of GB for {table.num_edges:,} edges; {chosen['why']}")
    torch.manual_seed(seed)
    model = LazyMetanetwork(WIDTH, DEPTH)
    weights = torch.randn(table.num_edges, 1).mul_(0.02)
    clocks = [time.process_time()]
    loss = model(weights, table).square().sum()
    clocks.append(time.process_time())
    loss.backward()
    clocks.append(time.process_time())
    forward, backward = clocks[1] - clocks[0], clocks[2] - clocks[1]
    title = f"GMN of {DEPTH} layers, F={WIDTH}, on GPT2-small's matrices"
    gigabytes = resident("VmHWM") / 1e9
    return [
        _results.row(f"{title}: edges", table.num_edges, ""),
        _results.row(f"{title}: forward", forward, "s of CPU time"),
        _results.row(f"{title}: backward", backward, "s of CPU time"),
        _results.row(f"{title}: edges a second, both passes", table.num_edges / (forward + backward), "edges/s"),
        _results.row(f"{title}: greatest memory of the process", gigabytes, "GB", at_most=MOST_GIGABYTES),
    ]
