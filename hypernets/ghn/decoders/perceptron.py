"""Decoder of whole blocks of weights by one MLP."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import linear

from hypernets.ghn.decoders.kernels import CORNER
from hypernets.ghn.target import Size4


class PerceptronDecoder(nn.Module):
    """MLP decoder of GHN-1 (https://arxiv.org/abs/1810.05749): hidden -> 2 hidden -> out * in * S * S.

    Only rows of the last map that end up in the parameter are multiplied.

    Args:
        hidden: width of the embeddings. max_shape: of the largest block. num_classes: of the head, which shares the
        first map.

    Shapes: ``[n, hidden]`` -> ``[n, *size]``.
    """

    kernels = CORNER

    def __init__(self, hidden: int, max_shape: Size4, num_classes: int) -> None:
        super().__init__()
        self.max_shape = max_shape
        self.first = nn.Linear(hidden, 2 * hidden)
        self.last = nn.Linear(2 * hidden, math.prod(max_shape))
        self.classes = nn.Linear(2 * hidden, num_classes * max_shape[1])

    def fit(self, canonical: Size4) -> Size4:
        out, inputs, height, width = (min(a, b) for a, b in zip(canonical, self.max_shape, strict=True))
        return out, inputs, height, width

    def forward(self, x: Tensor, size: Size4) -> Tensor:
        block = tuple(slice(n) for n in size)
        weight, bias = (p.unflatten(0, self.max_shape)[block].flatten(0, 3) for p in self.last.parameters())
        return linear(self.first(x).relu_(), weight, bias).unflatten(1, size)

    def classify(self, x: Tensor, inputs: int) -> Tensor:
        """The weights of a last layer, ``[n, num_classes, inputs]``."""
        return self.classes(self.first(x).relu_()).unflatten(1, (-1, self.max_shape[1]))[..., :inputs]
