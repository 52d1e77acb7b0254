"""VGG-like networks, whose flattened map feeds the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each ended by a 2x2 max-pool, then a CHW flatten and two linear layers.

    After https://arxiv.org/abs/1409.1556, in small.

    Args:
        input_shape: channels, height, width; height and width divisible by 2 a stage.
        stages: channels of the convolutions of each stage.
        hidden: width of the hidden linear layer.
        outputs: number of outputs.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.
        dropout: probability of dropping a hidden neuron of the classifier.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 8, 8),
        stages: Sequence[Sequence[int]] = ((8,), (16, 16)),
        hidden: int = 32,
        outputs: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        fan_in, height, width = input_shape
        shrink = 2 ** len(stages)
        if height % shrink or width % shrink:
            raise ValueError(f"{len(stages)} stages need height and width divisible by {shrink}, got {height}x{width}")
        layers: list[nn.Module] = []
        for stage in stages:
            for channels in stage:
                layers += [nn.Conv2d(fan_in, channels, 3, padding=1), make_activation(activation)]
                fan_in = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        flat = fan_in * (height // shrink) * (width // shrink)
        self.classifier = nn.Sequential(
            nn.Linear(flat, hidden), make_activation(activation), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (3, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)
