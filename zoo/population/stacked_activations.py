"""Activations of a stack whose members may differ in them, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphs.families.activations import Sine
from zoo.population.stacked_buffers import Buffers

aten = torch.ops.aten
Setting = float | str


@dataclass(frozen=True)
class Function:
    """An elementwise function with its derivative, both writing to ``out``.

    value(x, s, out) and gradient(dy, x, y, s, out), with s a setting of the module, such as a slope.
    """

    value: Callable[[Tensor, Any, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor, Tensor, Any, Tensor], Tensor]
    setting: Callable[[Any], Setting] = lambda module: 0.0


def _writer(of_torch: Callable[..., Tensor], of_numpy: Callable[..., Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """f(x, out) for a function whose float32 version is much faster in numpy than in torch, which asks MKL.

    Measured on one AVX-512 core: sin and cos 2.7 times, tanh 13 times; both round to the last bit or next to it.
    """

    def write(x: Tensor, out: Tensor) -> Tensor:
        if x.dtype == torch.float32 and x.device.type == "cpu":
            of_numpy(x.numpy(), out=out.numpy())
            return out
        return of_torch(x, out=out)

    return write


_sin, _cos, _tanh = _writer(torch.sin, np.sin), _writer(torch.cos, np.cos), _writer(torch.tanh, np.tanh)


def _sine(x: Tensor, w0: float, out: Tensor) -> Tensor:
    return _sin(x if w0 == 1 else torch.mul(x, w0, out=out), out)


def _sine_gradient(dy: Tensor, x: Tensor, y: Tensor, w0: float, out: Tensor) -> Tensor:
    if w0 == 1:
        return _cos(x, out).mul_(dy)
    return _cos(torch.mul(x, w0, out=out), out).mul_(dy).mul_(w0)


FUNCTIONS: dict[type[nn.Module], Function] = {
    nn.ReLU: Function(
        lambda x, s, out: torch.clamp_min(x, 0, out=out),
        lambda dy, x, y, s, out: aten.threshold_backward(dy, y, 0, grad_input=out),
    ),
    nn.Tanh: Function(
        lambda x, s, out: _tanh(x, out),
        lambda dy, x, y, s, out: aten.tanh_backward(dy, y, grad_input=out),
    ),
    nn.Sigmoid: Function(
        lambda x, s, out: torch.sigmoid(x, out=out),
        lambda dy, x, y, s, out: aten.sigmoid_backward(dy, y, grad_input=out),
    ),
    nn.SiLU: Function(
        lambda x, s, out: aten.silu(x, out=out),
        lambda dy, x, y, s, out: aten.silu_backward(dy, x, grad_input=out),
    ),
    nn.GELU: Function(
        lambda x, s, out: aten.gelu(x, approximate=s, out=out),
        lambda dy, x, y, s, out: aten.gelu_backward(dy, x, approximate=s, grad_input=out),
        lambda module: module.approximate,
    ),
    nn.LeakyReLU: Function(
        lambda x, s, out: aten.leaky_relu(x, s, out=out),
        lambda dy, x, y, s, out: aten.leaky_relu_backward(dy, x, s, False, grad_input=out),
        lambda module: module.negative_slope,
    ),
    Sine: Function(_sine, _sine_gradient, lambda module: module.w0),
    nn.Identity: Function(lambda x, s, out: out.copy_(x), lambda dy, x, y, s, out: out.copy_(dy)),
}


class StackedActivation:
    """Member e's activation on row e.

    Shapes: forward ``[k, ...]`` -> the same, for the first k members; backward likewise.
    """

    def __init__(self, modules: list[nn.Module]):
        self.functions = [FUNCTIONS[type(m)] for m in modules]
        self.settings = [f.setting(m) for f, m in zip(self.functions, modules, strict=True)]
        self.plans: dict[int, list[tuple[int, Tensor]]] = {}
        self.buffers = Buffers()

    def take_frequency(self) -> float:
        """The frequency of the sine, if all members share one; from now on the inputs come multiplied by it."""
        if any(f is not FUNCTIONS[Sine] for f in self.functions) or len(set(self.settings)) > 1:
            return 1.0
        frequency, self.settings = float(self.settings[0]), [1.0] * len(self.settings)
        return frequency

    def forward(self, x: Tensor, training: bool) -> Tensor:
        y = self._by_kind("y", lambda e, x, out: self.functions[e].value(x, self.settings[e], out), x)
        self.saved = (x, y)
        return y

    def backward(self, dy: Tensor) -> Tensor:
        def gradient(e: int, *tensors: Tensor) -> Tensor:
            dy, x, y, out = tensors
            return self.functions[e].gradient(dy, x, y, self.settings[e], out)

        return self._by_kind("dx", gradient, dy, *self.saved)

    def _by_kind(self, name: str, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """Apply function(member, rows of the tensors, where to write) to the rows of each kind of activation."""
        out, plan = self.buffers(name, tensors[0].shape, tensors[0]), self._plan(len(tensors[0]))
        if len(plan) == 1:
            return function(plan[0][0], *tensors, out)
        for member, rows in plan:
            shape = (len(rows), *out.shape[1:])
            parts = [self.buffers(f"rows{i}", shape, out) for i in range(len(tensors) + 1)]
            for tensor, part in zip(tensors, parts[:-1], strict=True):
                torch.index_select(tensor, 0, rows, out=part)
            out.index_copy_(0, rows, function(member, *parts))
        return out

    def _plan(self, count: int) -> list[tuple[int, Tensor]]:
        """(a member, the rows with its activation) for each activation among the first ``count`` members."""
        if count not in self.plans:
            kinds: dict[Hashable, list[int]] = {}
            for e in range(count):
                kinds.setdefault((id(self.functions[e]), self.settings[e]), []).append(e)
            self.plans[count] = [(rows[0], torch.tensor(rows)) for rows in kinds.values()]
        return self.plans[count]
