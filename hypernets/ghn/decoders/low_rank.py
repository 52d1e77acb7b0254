"""Decoder of wide weights as products of two thin factors."""

from __future__ import annotations

from torch import Tensor, nn

from hypernets.ghn.decoders.kernels import CORNER
from hypernets.ghn.target import Size4


class LowRankDecoder(nn.Module):
    """Decoder of LoGAH (https://arxiv.org/abs/2405.16287, section 3.1 and figure 5)::

        x = MLP(h) in [2r, r];    [A; B] = relu(x) L in [2r, K] read as [2K, r];    W = A[:out * height] B[:in * width]'

    with L of r x K shared by all: the decoder has about 16 hidden r * r + r * K numbers where a full one has K * K for
    each feature, so that K can be as large as the widest layer. Only rows of x whose products end up in the parameter
    are computed. The head of classes is a weight like any other.

    Args:
        hidden: width of the embeddings. max_shape: K for out and in, which are equal here, and the largest kernel.
        num_classes: rows of the head. rank: r, a divisor of K.

    Shapes: ``[n, hidden]`` -> ``[n, *size]``.
    """

    kernels = CORNER

    def __init__(self, hidden: int, max_shape: Size4, num_classes: int, rank: int) -> None:
        super().__init__()
        if max_shape[0] != max_shape[1] or max_shape[0] % rank:
            raise ValueError(
                f"expected as many out as in channels in max_shape, a multiple of the rank, got {max_shape} and {rank}"
            )
        self.max_shape, self.num_classes, self.rank = max_shape, num_classes, rank
        self.mlp = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.ReLU(), nn.Linear(4 * hidden, 8 * hidden), nn.ReLU())
        self.rows = nn.Linear(8 * hidden, 2 * rank * rank)
        self.widen = nn.Linear(rank, max_shape[0])

    def fit(self, canonical: Size4) -> Size4:
        width = self.max_shape[0]
        height, across = (min(a, b) for a, b in zip(canonical[2:], self.max_shape[2:], strict=True))
        return min(canonical[0], width // height), min(canonical[1], width // across), height, across

    def forward(self, x: Tensor, size: Size4) -> Tensor:
        out, inputs, height, width = size
        features = self.mlp(x)
        left, right = self._factor(features, 0, out * height), self._factor(features, 1, inputs * width)
        product = left @ right.transpose(1, 2)
        return product.unflatten(2, (inputs, width)).unflatten(1, (out, height)).transpose(2, 3)

    def classify(self, x: Tensor, inputs: int) -> Tensor:
        """The weights of a last layer, ``[n, num_classes, inputs]``; fewer classes where K is smaller."""
        return self(x, self.fit((self.num_classes, inputs, 1, 1))).flatten(2)

    def _factor(self, features: Tensor, which: int, rows: int) -> Tensor:
        """Of A (0) or B (1) the first rows, ``[n, rows, r]``; a row of x becomes K / r of them."""
        needed = -(-rows * self.rank // self.max_shape[0])
        weight, bias = (p.unflatten(0, (2, self.rank, self.rank))[which, :needed] for p in self.rows.parameters())
        x = nn.functional.linear(features, weight.flatten(0, 1), bias.flatten()).unflatten(1, (needed, self.rank))
        return self.widen(x.relu_()).unflatten(2, (-1, self.rank)).flatten(1, 2)[:, :rows]
