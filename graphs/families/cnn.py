"""Plain convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

from torch import Tensor, nn

from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input

POOLS = {"max": nn.MaxPool2d, "mean": nn.AvgPool2d}
READOUTS = ("mean", "flatten")
Value = TypeVar("Value")


class CNN(nn.Sequential):
    """Blocks of convolution, pooling, activation and dropout, then a readout and linear layers.

    Args:
        input_shape: channels, height, width of an image.
        channels: output channels of each convolution.
        kernel: kernel size, or one a convolution.
        stride: stride, or one a convolution.
        padding: "same" (half the kernel), pixels, or one a convolution.
        pool: pooling window, 1 for none, or one a convolution.
        pool_kind: "max" or "mean".
        readout: "mean" over the map, or "flatten" (channel-major).
        hidden: widths of the linear layers before the last one.
        outputs: number of outputs.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.
        dropout: probability of dropping an element after an activation.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.

    CNN-s, the 2464-parameter network of https://arxiv.org/abs/2209.14764:

    >>> cnn_s = dict(channels=[8, 6, 4], kernel=[5, 5, 2], padding=0, pool=[2, 2, 1], readout="flatten", hidden=[20])
    >>> sum(p.numel() for p in CNN(input_shape=[1, 28, 28], **cnn_s).parameters())
    2464
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 8, 8),
        channels: Sequence[int] = (8, 8),
        kernel: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "same",
        pool: int | Sequence[int] = 1,
        pool_kind: str = "max",
        readout: str = "mean",
        hidden: Sequence[int] = (),
        outputs: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        fan_in, *size = input_shape
        depth = len(channels)
        kernels, strides, pools = (
            _per_layer(n, v, depth) for n, v in [("kernel", kernel), ("stride", stride), ("pool", pool)]
        )
        paddings = [k // 2 for k in kernels] if padding == "same" else _per_layer("padding", padding, depth)
        for i, (width, k, s, p, window) in enumerate(zip(channels, kernels, strides, paddings, pools, strict=True)):
            self.add_module(f"conv{i}", nn.Conv2d(fan_in, width, k, s, p))
            if window > 1:
                self.add_module(f"pool{i}", _choose("pool_kind", POOLS, pool_kind)(window))
            self._nonlinear(i, activation, dropout)
            size = [((n + 2 * p - k) // s + 1) // window for n in size]
            fan_in = width
        if min(size) < 1:
            raise ValueError(
                f"an image of shape {list(input_shape)} shrinks to nothing; use less pooling, stride or kernel"
            )
        _choose("readout", {name: name for name in READOUTS}, readout)
        if readout == "mean":
            self.mean = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        widths = [fan_in * (size[0] * size[1] if readout == "flatten" else 1), *hidden]
        for i, (narrow, wide) in enumerate(pairwise(widths), start=depth):
            self.add_module(f"linear{i}", nn.Linear(narrow, wide))
            self._nonlinear(i, activation, dropout)
        self.head = nn.Linear(widths[-1], outputs)

    def _nonlinear(self, i: int, activation: str, dropout: float) -> None:
        self.add_module(f"activation{i}", make_activation(activation))
        self.add_module(f"dropout{i}", nn.Dropout(dropout))

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (1, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)


def _per_layer(name: str, value: Any, depth: int) -> list[int]:
    """One value a layer."""
    values = [value] * depth if isinstance(value, int) else list(value)
    if len(values) != depth:
        raise ValueError(f"{name} has {len(values)} values for {depth} convolutions; give one number or {depth}")
    return values


def _choose(what: str, choices: dict[str, Value], name: str) -> Value:
    if name not in choices:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(choices)}")
    return choices[name]
