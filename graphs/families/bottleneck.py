"""Deep residual networks: blocks that narrow, convolve and widen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from graphs.families.probe import normal_input

# Of a block's output to its inner convolution.
EXPANSION = 4


class Bottleneck(nn.Module):
    """relu(x + norm(1x1(relu(norm(3x3(relu(norm(1x1(x))))))))), with a 1x1 convolution on x where its shape changes."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class BottleneckResNet(nn.Module):
    """A stem, four or fewer stages of Bottlenecks, the mean over the map and one linear layer;
    https://arxiv.org/abs/1512.03385, table 1, with the parameter names of torchvision.

    Widths 64, 128, 256, 512 and blocks 3, 4, 6, 3 are ResNet-50.

    Args:
        input_shape: channels, height, width.
        widths: channels of the inner convolutions of each stage; every stage but the first halves the map.
        blocks: number of blocks of each stage.
        outputs: number of outputs.
        large_images: whether the stem is a 7x7 convolution of stride 2 and max pooling, as for ImageNet, or 3x3.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.

    >>> import torch
    >>> with torch.device("meta"):
    ...     net = BottleneckResNet((3, 224, 224), (64, 128, 256, 512), (3, 4, 6, 3), 1000, large_images=True)
    >>> sum(p.numel() for p in net.parameters())
    25557032
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 8, 8),
        widths: Sequence[int] = (4, 8),
        blocks: Sequence[int] = (1, 1),
        outputs: int = 10,
        large_images: bool = False,
    ):
        super().__init__()
        if len(widths) != len(blocks) or not widths:
            raise ValueError(f"one number of blocks a stage: got {len(widths)} widths and {len(blocks)} block counts")
        kernel, stride = (7, 2) if large_images else (3, 1)
        self.conv1 = nn.Conv2d(input_shape[0], widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large_images else nn.Identity()
        fan_in = widths[0]
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for j in range(count):
                stage.append(Bottleneck(fan_in, width, 2 if i > 0 and j == 0 else 1))
                fan_in = EXPANSION * width
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.stages = len(widths)
        self.fc = nn.Linear(fan_in, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (3, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)
