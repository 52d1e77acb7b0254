"""Attention among all nodes of a graph, biased by the lengths of the paths between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from hypernets.ghn.architecture import ArchitectureBatch

MAX_DEGREE, MAX_FROM_INPUT, MAX_DISTANCE = 100, 1000, 254


class DistanceBias(nn.Module):
    """What a pair of nodes adds to its attention: an MLP of the embeddings of its forward and its backward distance.

    In an acyclic graph one of the two is 0, so that the MLP sees few pairs: it is run on each once.

    Shapes: distance ``[B, N, N]`` -> ``[B, heads, N, N]``.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        # Rows 0 and 1 are never read: published tables count distances from row 2.
        self.distance = nn.Embedding(MAX_DISTANCE + 3, hidden)
        self.mlp = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, heads))

    def forward(self, distance: Tensor) -> Tensor:
        signed = (distance - distance.transpose(1, 2)).clamp(-MAX_DISTANCE, MAX_DISTANCE)
        every = torch.arange(-MAX_DISTANCE, MAX_DISTANCE + 1, device=distance.device)
        pairs = torch.stack([every.clamp(min=0), (-every).clamp(min=0)], dim=1) + 2
        table = self.mlp(self.distance(pairs).flatten(1))  # [2 * MAX_DISTANCE + 1, heads]
        return table[signed + MAX_DISTANCE].permute(0, 3, 1, 2)


class Block(nn.Module):
    """Attention, then an MLP four times as wide, a layer norm before each."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden, bias=False)
        self.out = nn.Linear(hidden, hidden)
        self.mlp = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Shapes: x ``[B, N, hidden]``, bias ``[B, heads, N, N]``, -inf at nodes that are not there."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(*qkv.unbind(0), attn_mask=bias)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Graphormer(nn.Module):
    """Graph transformer of GHN-3 (https://arxiv.org/abs/2303.04143, section 3).

    Nodes get embeddings of their numbers of incoming and outgoing edges and of their distance from the input; the bias
    of the attention is made once and serves in every layer. The graphs of a batch do not see each other.

    Args:
        hidden: width. layers: their number. heads: of each; a divisor of ``hidden``.

    Shapes: ``[N, hidden]`` -> ``[N, hidden]``.
    """

    def __init__(self, hidden: int, layers: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or hidden % heads:
            raise ValueError(f"expected heads to be a divisor of hidden = {hidden}, got {heads}")
        self.degree_in = nn.Embedding(MAX_DEGREE + 1, hidden)
        self.degree_out = nn.Embedding(MAX_DEGREE + 1, hidden)
        self.from_input = nn.Embedding(MAX_FROM_INPUT + 1, hidden)
        self.bias = DistanceBias(hidden, heads)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(layers))
        # All tables, those of distances too, start as those of transformers do.
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=hidden**-0.5)

    def forward(self, x: Tensor, batch: ArchitectureBatch) -> Tensor:
        sizes = [len(distance) for distance in batch.distances]
        distance = _stack_square(batch.distances)
        x = self._placed(pad_sequence(list(x.split(sizes)), batch_first=True), distance)
        exists = torch.arange(max(sizes), device=x.device) < torch.tensor(sizes, device=x.device)[:, None]
        bias = self.bias(distance).masked_fill(~exists[:, None, None, :], float("-inf"))
        for block in self.blocks:
            x = block(x, bias)
        return x[exists]

    def _placed(self, x: Tensor, distance: Tensor) -> Tensor:
        edges = distance == 1
        x = x + self.degree_in(edges.sum(1).clamp(max=MAX_DEGREE))
        x = x + self.degree_out(edges.sum(2).clamp(max=MAX_DEGREE))
        return x + self.from_input(distance[:, 0].clamp(max=MAX_FROM_INPUT))


def _stack_square(matrices: tuple[Tensor, ...]) -> Tensor:
    """``[B, N, N]`` of matrices of different sizes, filled up with 0."""
    largest = max(len(m) for m in matrices)
    stacked = matrices[0].new_zeros(len(matrices), largest, largest)
    for place, matrix in zip(stacked, matrices, strict=True):
        place[: len(matrix), : len(matrix)] = matrix
    return stacked
