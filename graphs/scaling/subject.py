"""A network to experiment on: a float64 copy whose weights are one vector P that can be changed in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import allow_mutation_on_saved_tensors
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from graphs.certifying.comparing import floating
from graphs.certifying.randomising import randomise
from graphs.execution.evaluation import seeded
from graphs.execution.probes import Probe
from graphs.execution.widening import double_copy, in_double
from graphs.layout import Layout
from graphs.topology import Topology


class Subject:
    """A copy of ``module`` in evaluation mode; ``flat [P]`` is the memory of its weights and statistics.

    Raises ValueError for a module without weights, or of another architecture than ``topology``.
    """

    def __init__(self, topology: Topology, module: nn.Module) -> None:
        if any(t.is_meta for t in module.state_dict().values()):
            raise ValueError(
                f"expected a {type(module).__name__} with weights, got one on the device meta; give find_scales the "
                "module that was traced, with its weights"
            )
        self.module = double_copy(module).eval()
        state = self.module.state_dict(keep_vars=True)
        layout = Layout(tuple(e if e.offset is None else replace(e, dtype="float64") for e in topology.layout.entries))
        layout.check(state)
        self.flat = torch.zeros(layout.num_parameters, dtype=torch.float64)
        views = layout.unflatten(self.flat, layout.other(state))
        self.weights: dict[int, tuple[Tensor, int]] = {}
        for entry in layout.entries:
            if entry.offset is not None:
                tensor = state[entry.name]
                views[entry.name].copy_(tensor.detach())
                tensor.data = views[entry.name]
                self.weights[id(tensor)] = tensor, entry.offset

    def randomise(self, generator: torch.Generator) -> None:
        randomise(self.module, generator)

    def outputs(self, probes: list[Probe]) -> list[Any]:
        with torch.no_grad():
            return [self._run(probe) for probe in probes]

    def like(self, example: Probe, generator: torch.Generator) -> Probe:
        """Random inputs; whole numbers stay those of the example where the network fails on others."""
        probe = example.like(generator)
        try:
            self.outputs([probe])
        except Exception:  # noqa: BLE001 whatever the network raises
            return example.like(generator, whole=False)
        return probe

    def _run(self, probe: Probe) -> Any:
        with in_double(), seeded(0):
            return probe.copy().run(self.module)

    def weighted_gradient(self, probe: Probe, generator: torch.Generator) -> Tensor:
        """Every weight times the derivative by it of a random sum of the outputs ``[P]``: what a sum over a slice of it
        tells is how the output changes as the slice is scaled.

        Raises ValueError where the outputs cannot be differentiated by the weights.
        """
        tensors = [t.requires_grad_(True) for t, _ in self.weights.values()]
        try:
            with allow_mutation_on_saved_tensors(), _BatchNormByHand(), torch.enable_grad():
                total = self._random_sum(floating(self._run(probe)), generator)
                gradients = torch.autograd.grad(total, tensors, allow_unused=True)
        finally:
            for tensor in tensors:
                tensor.requires_grad_(False)
        flat = torch.zeros_like(self.flat)
        for (tensor, offset), gradient in zip(self.weights.values(), gradients, strict=True):
            if gradient is not None:
                flat[offset : offset + tensor.numel()] += (gradient * tensor).reshape(-1)
        return flat

    def _random_sum(self, outputs: list[Tensor], generator: torch.Generator) -> Tensor:
        sums = [torch.real((t * _noise(t, generator)).sum()) for t in outputs if t.requires_grad]
        if not sums:
            raise ValueError(
                f"no output of {type(self.module).__name__} can be differentiated by its weights, so that scale "
                "symmetries cannot be searched; return what depends on them without detach or no_grad"
            )
        return torch.stack(sums).sum()


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, dtype=like.dtype, generator=generator)


class _BatchNormByHand(TorchFunctionMode):
    """Normalisation by running statistics as arithmetic: torch does not differentiate by them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        normalise = _BY_STATISTICS.get(func)
        output = normalise(*args, **(kwargs or {})) if normalise else None
        return func(*args, **(kwargs or {})) if output is None else output


def _batch_norm(x, mean, variance, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    return None if training or mean is None else _normalised(x, mean, variance, weight, bias, eps)


def _instance_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    return _batch_norm(x, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def _torch_batch_norm(x, weight, bias, mean, variance, training, momentum, eps, cudnn_enabled=False):
    return _batch_norm(x, mean, variance, weight, bias, training, momentum, eps)


def _normalised(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    def along(t: Tensor) -> Tensor:
        return t.view([-1 if d == 1 else 1 for d in range(x.dim())])

    y = (x - along(mean)) * (along(variance) + eps).rsqrt()
    y = y if weight is None else y * along(weight)
    return y if bias is None else y + along(bias)


_BY_STATISTICS: dict[Callable, Callable] = {
    functional.batch_norm: _batch_norm,
    functional.instance_norm: _instance_norm,
    torch.batch_norm: _torch_batch_norm,
}
