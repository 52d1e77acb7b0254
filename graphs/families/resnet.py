"""Residual networks with batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input


class BasicBlock(nn.Module):
    """act(x + norm(conv(act(norm(conv(x)))))), with a 1x1 convolution on x where its shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, activation: str):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.activation = make_activation(activation)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of BasicBlocks, the mean over the map and one linear layer; https://arxiv.org/abs/1512.03385.

    Args:
        input_shape: channels, height, width.
        widths: channels of each stage; every stage but the first halves the map.
        blocks: number of blocks of each stage.
        outputs: number of outputs.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 8, 8),
        widths: Sequence[int] = (8, 16),
        blocks: Sequence[int] = (2, 2),
        outputs: int = 10,
        activation: str = "relu",
    ):
        super().__init__()
        if len(widths) != len(blocks):
            raise ValueError(f"one number of blocks a stage: got {len(widths)} widths and {len(blocks)} block counts")
        self.stem = nn.Conv2d(input_shape[0], widths[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.activation = make_activation(activation)
        layers: list[nn.Module] = []
        fan_in = widths[0]
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for j in range(count):
                layers.append(BasicBlock(fan_in, width, 2 if i > 0 and j == 0 else 1, activation))
                fan_in = width
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(fan_in, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.activation(self.norm(self.stem(x))))
        return self.head(x.mean((2, 3)))

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (3, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)
