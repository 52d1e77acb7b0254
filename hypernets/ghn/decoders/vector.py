"""Decoder of vectors: scales and shifts of norms, biases, and the bias of the last layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear

SCALE, SHIFT = 0, 1


class VectorDecoder(nn.Module):
    """Two rows from every node, the scale and the shift of a norm (https://arxiv.org/abs/2110.13100, appendix A.2.2).

    Args:
        hidden: width of the embeddings. channels: largest length. num_classes: of the bias of the last layer, which is
        read off the second row.

    Shapes: ``[n, hidden]`` -> ``[n, length]`` of one of the rows.
    """

    def __init__(self, hidden: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.channels = channels
        self.first = nn.Linear(hidden, 2 * hidden)
        self.last = nn.Linear(2 * hidden, 2 * channels)
        self.classes = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor, row: int, length: int) -> Tensor:
        weight, bias = (p.unflatten(0, (2, -1))[row, :length] for p in self.last.parameters())
        return linear(self.first(x).relu_(), weight, bias)

    def classify(self, x: Tensor) -> Tensor:
        """``[n, num_classes]``."""
        return self.classes(self(x, SHIFT, self.channels).relu_())
