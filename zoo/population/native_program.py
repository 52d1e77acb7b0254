"""A network as the list of layers that the native trainer runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from graphs.families.activations import Sine
from graphs.families.siren import Shift
from zoo.population.leaves import ResidualEnd, ResidualStart, leaves
from zoo.population.stacked_network import why_not_sequential

# The numbers of network.cpp's layers, in its order.
LINEAR, CONVOLUTION, MAXIMUM, MEAN, FLATTEN, DROPOUT, SHIFT = range(7)
ACTIVATIONS: dict[type[nn.Module], int] = {
    kind: 7 + i for i, kind in enumerate((nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, Sine))
}
RESIDUAL_START, RESIDUAL_END = 14, 15
FIELDS = 6


@dataclass(frozen=True)
class Program:
    """What ``network.cpp`` needs to know of a network.

    Args:
        layers: ``FIELDS`` whole numbers a layer: its kind and sizes.
        parameters: a number a layer: dropout rate, slope, frequency, amount.
        shape: 1 for a map or 0 for rows, channels, height, width of an input.
        dropouts: rate and shape of the values of each dropout layer, in order.
        outputs: number of outputs.
    """

    layers: tuple[tuple[int, ...], ...]
    parameters: tuple[float, ...]
    shape: tuple[int, int, int, int]
    dropouts: tuple[tuple[float, tuple[int, ...]], ...]
    outputs: int


def why_not_native(module: nn.Module, loss: str) -> str | None:
    """Why the native trainer does not take a network, or None when it does."""
    if loss not in ("cross_entropy", "mse"):
        return f"the loss {loss} is not one of cross_entropy, mse"
    reason = why_not_sequential(module)
    if reason:
        return reason
    return next((why for layer in leaves(module) if (why := _why_not(layer))), None)


def _why_not(layer: nn.Module) -> str | None:
    if type(layer) not in WRITERS and type(layer) not in ACTIVATIONS and not isinstance(layer, nn.Identity):
        known = ", ".join(kind.__name__ for kind in (*WRITERS, *ACTIVATIONS))
        return f"the layer {layer} is not one of {known}"
    if isinstance(layer, nn.Conv2d) and any(len(set(pair)) > 1 for pair in _pairs(layer)):
        return f"{layer} is not square"
    if isinstance(layer, nn.GELU) and layer.approximate != "none":
        return f"{layer} is not the exact GELU"
    return None


def _pairs(layer: nn.Conv2d) -> tuple[Any, ...]:
    return layer.kernel_size, layer.stride, layer.padding


@torch.no_grad()
def write_program(module: nn.Module, input_shape: Sequence[int]) -> Program:
    """The program of a network that ``why_not_native`` has nothing against.

    >>> program = write_program(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (4,))
    >>> program.layers[0], program.outputs
    ((0, 3, 1, 0, 0, 0), 2)
    """
    is_map = len(input_shape) == 3
    x, rows, dropouts = torch.zeros(1, *input_shape), [], []
    for layer in leaves(module):
        before = tuple(x.shape[1:])
        x = x if isinstance(layer, nn.Dropout) else layer(x)  # which would draw random numbers
        if _does_nothing(layer, before):
            continue
        if isinstance(layer, nn.Dropout):
            dropouts.append((layer.p, before))
        rows.append(_row(layer))
    if is_map and rows and rows[0][0][0] == FLATTEN:  # rows as they are
        is_map, rows = False, rows[1:]
    layers, parameters = zip(*rows, strict=True)
    channels, height, width = input_shape if is_map else (math.prod(input_shape), 1, 1)
    shape = (int(is_map), channels, height, width)
    return Program(layers, parameters, shape, tuple(dropouts), math.prod(x.shape[1:]))


def _does_nothing(layer: nn.Module, shape: tuple[int, ...]) -> bool:
    """Layers that pass on what they read: at this rate, on this shape."""
    if isinstance(layer, nn.Dropout):
        return layer.p == 0
    return isinstance(layer, nn.Identity) or (isinstance(layer, nn.Flatten) and len(shape) == 1)


def _row(layer: nn.Module) -> tuple[tuple[int, ...], float]:
    kind = type(layer)
    if kind in ACTIVATIONS:
        return _padded(ACTIVATIONS[kind]), _parameter(layer)
    return _padded(*WRITERS[kind](layer)), _parameter(layer)


def _padded(*fields: int) -> tuple[int, ...]:
    return (*fields, *[0] * (FIELDS - len(fields)))


def _parameter(layer: nn.Module) -> float:
    names = {nn.LeakyReLU: "negative_slope", Sine: "w0", nn.Dropout: "p", Shift: "amount"}
    return float(getattr(layer, names[type(layer)])) if type(layer) in names else 0.0


def _side(size: Any) -> int:
    return size if isinstance(size, int) else size[0]


WRITERS: dict[type[nn.Module], Callable[[Any], tuple[int, ...]]] = {
    nn.Linear: lambda m: (LINEAR, m.out_features, m.bias is not None),
    nn.Conv2d: lambda m: (
        CONVOLUTION,
        m.out_channels,
        m.bias is not None,
        m.kernel_size[0],
        m.stride[0],
        m.padding[0],
    ),
    nn.MaxPool2d: lambda m: (MAXIMUM, _side(m.kernel_size)),
    nn.AvgPool2d: lambda m: (MEAN, _side(m.kernel_size)),
    nn.AdaptiveAvgPool2d: lambda m: (MEAN, 0),
    nn.Flatten: lambda m: (FLATTEN,),
    nn.Dropout: lambda m: (DROPOUT,),
    Shift: lambda m: (SHIFT,),
    ResidualStart: lambda m: (RESIDUAL_START,),
    ResidualEnd: lambda m: (RESIDUAL_END,),
}
