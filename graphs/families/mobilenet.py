"""MobileNet-like networks of inverted residuals with depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input


class InvertedResidual(nn.Module):
    """Pointwise widening, depthwise 3x3, pointwise narrowing; added to the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, activation: str):
        super().__init__()
        wide = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.widen = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), make_activation(activation)
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            make_activation(activation),
        )
        self.narrow = nn.Sequential(nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.depthwise(self.widen(x)))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A stem, inverted residuals, the mean over the map and one linear layer; after https://arxiv.org/abs/1801.04381.

    Args:
        input_shape: channels, height, width.
        stem: channels of the first convolution.
        widths: output channels of each block.
        strides: stride of each block.
        expansion: factor by which a block widens its input.
        outputs: number of outputs.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 8, 8),
        stem: int = 8,
        widths: Sequence[int] = (8, 12, 12),
        strides: Sequence[int] = (1, 2, 1),
        expansion: int = 2,
        outputs: int = 10,
        activation: str = "relu",
    ):
        super().__init__()
        if len(widths) != len(strides):
            raise ValueError(f"one stride a block: got {len(widths)} widths and {len(strides)} strides")
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), make_activation(activation)
        )
        blocks = zip(pairwise([stem, *widths]), strides, strict=True)
        self.blocks = nn.Sequential(*(InvertedResidual(a, b, s, expansion, activation) for (a, b), s in blocks))
        self.head = nn.Linear([stem, *widths][-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (3, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)
