"""Decoder of whole blocks of weights by two maps applied at every position of a kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hypernets.ghn.decoders.kernels import KernelRule
from hypernets.ghn.target import Size4


class ConvDecoder(nn.Module):
    """Decoder of GHN-2 (https://arxiv.org/abs/2110.13100, section 3.3) and of GHN-3, which differ in ``kernels``.

    A linear map to ``4 hidden`` features at each of S x S positions; at each of them 4 hidden -> 8 hidden -> out * in.
    Only rows of the maps that end up in the parameter are multiplied.

    Args:
        hidden: width of the embeddings. max_shape: ``(out, in, S, S)`` of the largest block. num_classes: of the head,
        which mixes the ``out`` channels. kernels: see :class:`KernelRule`.

    Shapes: ``[n, hidden]`` -> ``[n, *size]``.
    """

    def __init__(self, hidden: int, max_shape: Size4, num_classes: int, kernels: KernelRule) -> None:
        super().__init__()
        self.max_shape, self.kernels = max_shape, kernels
        self.spread = nn.Linear(hidden, 4 * hidden * max_shape[2] * max_shape[3])
        self.inner = nn.Linear(4 * hidden, 8 * hidden)
        self.last = nn.Linear(8 * hidden, max_shape[0] * max_shape[1])
        self.classes = nn.Linear(max_shape[0], num_classes)

    def shrink_last(self) -> None:
        """Start as GHN-3 does: the last maps at a fifth, their biases 0."""
        shrink(self.last)
        shrink(self.classes)

    def fit(self, canonical: Size4) -> Size4:
        out, inputs, height, width = (min(a, b) for a, b in zip(canonical, self.max_shape, strict=True))
        return out, inputs, height, width

    def forward(self, x: Tensor, size: Size4) -> Tensor:
        out, inputs, height, width = size
        features = self._spread(x, height, width).relu_()  # [n, height, width, 4 hidden]
        weight, bias = (p.unflatten(0, self.max_shape[:2])[:out, :inputs].flatten(0, 1) for p in self.last.parameters())
        decoded = linear(self.inner(features).relu_(), weight, bias)
        return decoded.unflatten(-1, (out, inputs)).permute(0, 3, 4, 1, 2)

    def classify(self, x: Tensor, inputs: int) -> Tensor:
        """The weights of a last layer, ``[n, num_classes, inputs]``."""
        block = self(x, (self.max_shape[0], inputs, 1, 1)).flatten(2)
        return self.classes(block.relu().transpose(1, 2)).transpose(1, 2)

    def _spread(self, x: Tensor, height: int, width: int) -> Tensor:
        places = [self.kernels.cut(full, n) for full, n in zip(self.max_shape[2:], (height, width), strict=True)]
        maps = self.spread.weight.view(-1, *self.max_shape[2:], x.shape[1])[:, *places].permute(1, 2, 0, 3)
        bias = self.spread.bias.view(-1, *self.max_shape[2:])[:, *places].permute(1, 2, 0)
        return linear(x, maps.flatten(0, 2), bias.flatten()).unflatten(-1, (height, width, -1))


def shrink(layer: nn.Linear) -> None:
    with torch.no_grad():
        layer.weight /= 5
        layer.bias.zero_()
