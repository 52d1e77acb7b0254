"""The cases of the kernel benchmark as users of PyTorch Geometric write them: messages of concatenated states."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from graphs.kernels import BlockTable


def segment_sum(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    return (scatter(t["e"], edge_index(table)[1], 0, table.num_nodes, "sum"),)


def gather_relu_sum(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    source, target = edge_index(table)
    return (scatter((t["x"][source] + t["e"]).relu(), target, 0, table.num_nodes, "sum"),)


def propagate_relu_sum(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    return (_GatherReluSum()(t, edge_index(table)),)


def layer(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    return _Layer()(t, edge_index(table))


def edge_index(table: BlockTable) -> Tensor:
    """Source and target of every edge ``[2, E]``, made once a table."""
    if "_edge_index" not in table.__dict__:
        table.__dict__["_edge_index"] = torch.stack([table.source(), table.target()])
    return table.__dict__["_edge_index"]


class _GatherReluSum(MessagePassing):
    """GINE (https://arxiv.org/abs/1905.12265) before its perceptron."""

    def __init__(self) -> None:
        super().__init__(aggr="sum")

    def forward(self, t: Mapping[str, Tensor], edge_index: Tensor) -> Tensor:
        return self.propagate(edge_index, x=t["x"], e=t["e"])

    def message(self, x_j: Tensor, e: Tensor) -> Tensor:
        return (x_j + e).relu()


class _Layer(MessagePassing):
    """Messages and edge updates by linear maps of ``[x_i, x_j, e]``."""

    def __init__(self) -> None:
        super().__init__(aggr="sum")

    def forward(self, t: Mapping[str, Tensor], edge_index: Tensor) -> tuple[Tensor, Tensor]:
        found = self.propagate(edge_index, x=t["x"], e=t["e"], W=t["Wm"])
        return self.edge_updater(edge_index, x=t["x"], e=t["e"], W=t["Wu"], Wo=t["Wo"]), found

    def message(self, x_i: Tensor, x_j: Tensor, e: Tensor, W: Tensor) -> Tensor:
        return (torch.cat([x_i, x_j, e], dim=-1) @ W).relu()

    def edge_update(self, x_i: Tensor, x_j: Tensor, e: Tensor, W: Tensor, Wo: Tensor) -> Tensor:
        return e + (torch.cat([x_i, x_j, e], dim=-1) @ W).relu() @ Wo
