"""Convolutional networks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

from torch import Tensor, nn

from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input
from graphs.families.residual import Residual

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
        activation: one of ``graphs.families.activations.ACTIVATIONS``, or one a convolution and hidden layer.
        dropout: probability of dropping an element after an activation.
        residual: whether a block is added to its input, if it has the same shape; its layers are then in a
            ``Residual`` of their own.

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
        activation: str | Sequence[str] = "relu",
        dropout: float = 0.0,
        residual: bool = False,
    ):
        super().__init__()
        fan_in, *size = input_shape
        depth = len(channels)
        kernels, strides, pools = (
            _per_layer(n, v, depth) for n, v in [("kernel", kernel), ("stride", stride), ("pool", pool)]
        )
        paddings = [k // 2 for k in kernels] if padding == "same" else _per_layer("padding", padding, depth)
        activations = _per_layer("activation", activation, depth + len(hidden), "convolutions and hidden layers")
        for i, (width, k, s, p, window) in enumerate(zip(channels, kernels, strides, paddings, pools, strict=True)):
            block: dict[str, nn.Module] = {f"conv{i}": nn.Conv2d(fan_in, width, k, s, p)}
            if window > 1:
                block[f"pool{i}"] = _choose("pool_kind", POOLS, pool_kind)(window)
            block |= _nonlinear(i, activations[i], dropout)
            before, size = [fan_in, *size], [((n + 2 * p - k) // s + 1) // window for n in size]
            if residual and before == [width, *size]:
                block = {f"residual{i}": Residual(OrderedDict(block))}
            self._append(block)
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
            self._append(_nonlinear(i, activations[i], dropout))
        self.head = nn.Linear(widths[-1], outputs)

    def _append(self, layers: dict[str, nn.Module]) -> None:
        for name, layer in layers.items():
            self.add_module(name, layer)

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (1, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)


def _nonlinear(i: int, activation: str, dropout: float) -> dict[str, nn.Module]:
    return {f"activation{i}": make_activation(activation), f"dropout{i}": nn.Dropout(dropout)}


def _per_layer(name: str, value: Any, depth: int, layers: str = "convolutions") -> list[Any]:
    """One value a layer."""
    values = [value] * depth if isinstance(value, (int, str)) else list(value)
    if len(values) != depth:
        raise ValueError(f"{name} has {len(values)} values for {depth} {layers}; give one for all, or {depth}")
    return values


def _choose(what: str, choices: dict[str, Value], name: str) -> Value:
    if name not in choices:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(choices)}")
    return choices[name]
