"""Many networks of one architecture as one stack of layers over flat weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from graphs.families.siren import Shift
from zoo.population.leaves import ResidualEnd, ResidualStart, is_sequential, leaves
from zoo.population.stacked_activations import FUNCTIONS, StackedActivation
from zoo.population.stacked_layers import (
    StackedConv2d,
    StackedDropout,
    StackedFlatten,
    StackedLayer,
    StackedLinear,
    StackedMean,
    StackedPool2d,
    StackedShift,
)
from zoo.population.stacked_residuals import StackedResidualEnd, StackedResidualStart, join_residuals

WEIGHTED = (nn.Linear, nn.Conv2d)


class StackedNetwork:
    """E networks ``[E, P]`` that run, and are differentiated, together.

    Args:
        modules: the members' networks, of equal layers but for activations and dropout rates; the weights are copied.
        generators: the source of each member's dropout masks.
        dtype: dtype of the weights.
        device: where they live.

    Shapes: ``forward`` takes samples ``[k, B, ...]`` of the first k members and gives ``[k, B, outputs]``; ``backward``
    takes the gradient of the outputs and fills ``gradients[:k]``.
    """

    by_hand = True

    def __init__(
        self,
        modules: Sequence[nn.Module],
        generators: list[torch.Generator],
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ):
        reason = why_not_sequential(modules[0])
        if reason:
            raise ValueError(f"the stacked trainer does not take this network: {reason}; use the reference trainer")
        rows = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in modules]
        self.weights = torch.stack(rows).to(device, dtype)
        self.gradients = torch.zeros_like(self.weights)
        self.layers: list[StackedLayer] = []
        offset, first = 0, True
        for members in zip(*(leaves(m) for m in modules), strict=True):
            count = sum(p.numel() for p in members[0].parameters())
            weights, gradients = (self._views(members[0], flat, offset) for flat in (self.weights, self.gradients))
            self.layers.append(_stack(list(members), generators, weights, gradients, first))
            offset, first = offset + count, first and not count
        join_residuals(self.layers)
        for linear, activation in pairwise(self.layers):
            if isinstance(linear, StackedLinear) and isinstance(activation, StackedActivation):
                linear.scale = activation.take_frequency()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        x = x.permute(0, 2, 3, 1, 4) if x.ndim == 5 else x
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Tensor) -> None:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
            if getattr(layer, "first", False):
                return

    def states(self) -> Tensor:
        """All members' state ``[E, P]``: their weights, for there is nothing else."""
        return self.weights.clone()

    def other(self) -> dict[str, Tensor]:
        """The entries of their state_dict that are no weights: none."""
        return {}

    @staticmethod
    def _views(module: nn.Module, matrix: Tensor, offset: int) -> list[Tensor]:
        """The module's parameters as views ``[E, *shape]`` of the flat matrix."""
        views = []
        for parameter in module.parameters():
            views.append(matrix[:, offset : offset + parameter.numel()].view(-1, *parameter.shape))
            offset += parameter.numel()
        return views


@torch.no_grad()
def member_bytes(module: nn.Module, x: Tensor) -> int:
    """The largest tensor that one member's step on the batch ``x`` makes."""
    largest = 4 * sum(p.numel() for p in module.parameters())
    for layer in leaves(module):
        y = layer(x)
        unfold = math.prod(layer.kernel_size) * x.shape[1] / y.shape[1] if isinstance(layer, nn.Conv2d) else 1
        largest, x = max(largest, int(4 * y.numel() * unfold)), y
    return largest


def why_not_sequential(module: nn.Module) -> str | None:
    """Why a network cannot be stacked, or None when it can."""
    if not is_sequential(module):
        return f"{type(module).__name__} is not an nn.Sequential with its own forward"
    layers = leaves(module)
    if len({id(layer) for layer in layers}) < len(layers):
        return "a layer is used twice"
    if sum(len(list(layer.parameters())) for layer in layers) != len(module.state_dict()):
        return "it has buffers, tied parameters, or parameters outside its layers"
    if not all(p.requires_grad for p in module.parameters()):
        return "some of its parameters do not train"
    if not any(isinstance(layer, WEIGHTED) for layer in layers):
        return "it has no weights"
    return next((reason for layer in layers if (reason := _why_not(layer))), None)


def _why_not(layer: nn.Module) -> str | None:
    if type(layer) not in STACKERS and type(layer) not in FUNCTIONS:
        known = ", ".join(kind.__name__ for kind in (*STACKERS, *FUNCTIONS))
        return f"the layer {layer} is not one of {known}"
    if layer._forward_hooks or layer._forward_pre_hooks:
        return f"the layer {layer} has forward hooks"
    return None if all(CHECKS.get(type(layer), lambda m: [True])(layer)) else f"the options of {layer} are not taken"


def _window(module: nn.MaxPool2d | nn.AvgPool2d) -> int:
    size = module.kernel_size
    return size if isinstance(size, int) else size[0]


def _whole_windows(module: nn.MaxPool2d | nn.AvgPool2d) -> list[bool]:
    """Whether windows are square and neither overlap nor reach outside."""
    equal = (_window(module), (_window(module), _window(module)))
    plain = [module.kernel_size in equal, module.stride in equal, module.padding in (0, (0, 0)), not module.ceil_mode]
    if isinstance(module, nn.MaxPool2d):
        return [*plain, module.dilation in (1, (1, 1)), not module.return_indices]
    return [*plain, module.divisor_override is None]


CHECKS: dict[type[nn.Module], Callable[..., list[bool]]] = {
    nn.Conv2d: lambda m: [
        m.groups == 1,
        m.dilation == (1, 1),
        m.padding_mode == "zeros",
        not isinstance(m.padding, str),
    ],
    nn.MaxPool2d: _whole_windows,
    nn.AvgPool2d: _whole_windows,
    nn.AdaptiveAvgPool2d: lambda m: [m.output_size in (1, (1, 1))],
    nn.Flatten: lambda m: [m.start_dim == 1, m.end_dim == -1],
}

# Layer type -> how to stack a list of them, given the generators and views of weights and gradients.
STACKERS: dict[type[nn.Module], Callable[..., StackedLayer]] = {
    nn.Linear: lambda ms, g, weights, gradients, first: StackedLinear(weights, gradients, first),
    nn.Conv2d: lambda ms, g, weights, gradients, first: StackedConv2d(ms[0], weights, gradients, first),
    nn.MaxPool2d: lambda ms, *_: StackedPool2d(_window(ms[0]), maximum=True),
    nn.AvgPool2d: lambda ms, *_: StackedPool2d(_window(ms[0]), maximum=False),
    nn.AdaptiveAvgPool2d: lambda ms, *_: StackedMean(),
    nn.Flatten: lambda ms, *_: StackedFlatten(),
    nn.Dropout: lambda ms, generators, *_: StackedDropout([m.p for m in ms], generators),
    Shift: lambda ms, *_: StackedShift(ms[0].amount),
    ResidualStart: lambda ms, *_: StackedResidualStart(),
    ResidualEnd: lambda ms, *_: StackedResidualEnd(),
}


def _stack(
    members: list[nn.Module],
    generators: list[torch.Generator],
    weights: list[Tensor],
    gradients: list[Tensor],
    first: bool,
) -> StackedLayer:
    kind = type(members[0])
    return (
        StackedActivation(members)
        if kind in FUNCTIONS
        else STACKERS[kind](members, generators, weights, gradients, first)
    )
