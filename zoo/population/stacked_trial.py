"""Whether a module may be stacked: one training step of two networks together against the same step of each alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphs.layout import flat_layout
from zoo.population.initialising import random_stream
from zoo.population.stacked_modules import StackedModules

Build = Callable[[int], nn.Module]

# How far a step together may be from the step alone, relative: far more than rounding, far less than a mistake.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


def why_not_vmapped(build: Build, x: Tensor) -> str | None:
    """Why networks of a module cannot be stacked by torch.vmap, or None when they can.

    Args:
        build: makes the untrained network of a seed.
        x: a batch ``[B, ...]`` that they take.

    >>> why_not_vmapped(lambda seed: nn.LayerNorm(3), torch.ones(4, 3)) is None
    True
    >>> why_not_vmapped(lambda seed: nn.Dropout(0.5), torch.ones(4, 3))
    'it has no weights'
    """
    with random_stream(0):
        return _why_not_made(build(0)) or _why_not_alone(build(0), x) or _why_not_together(build, x)


def _why_not_made(module: nn.Module) -> str | None:
    """What can be seen without a step."""
    if not any(True for _ in module.parameters()):
        return "it has no weights"
    if not all(p.requires_grad for p in module.parameters()):
        return "some of its weights do not train"
    if not all(p.is_floating_point() for p in module.parameters()):
        return "some of its weights are not real numbers"
    layout, own = flat_layout(module), {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}
    floating = {name for name, value in module.state_dict().items() if value.is_floating_point()}
    counters = {entry.name for entry in layout.entries if entry.offset is None}
    if floating & own != {entry.name for entry in layout.stored} or not counters <= own:
        return "a buffer of it shares memory with another entry"
    return None


def _why_not_alone(module: nn.Module, x: Tensor) -> str | None:
    """What an optimiser would pass over in every step of a network alone."""
    weights = dict(module.named_parameters())
    found = torch.autograd.grad(module.train()(x).sum(), list(weights.values()), allow_unused=True)
    unused = [name for name, gradient in zip(weights, found, strict=True) if gradient is None]
    return f"its output does not depend on its weights {', '.join(unused)}" if unused else None


def _why_not_together(build: Build, x: Tensor) -> str | None:
    reason = _difference(build, x, torch.float32)
    # Rounding may turn a maximum or the kink of a relu, whose gradients then go elsewhere; in float64 it hardly can.
    return reason if reason and _difference(build, x.double() if x.is_floating_point() else x, torch.float64) else None


def _difference(build: Build, x: Tensor, dtype: torch.dtype) -> str | None:
    try:
        together = _together([build(0), build(1)], x, dtype)
    # Whatever the module does that torch.vmap cannot: random numbers, control flow that depends on the data.
    except (RuntimeError, ValueError, TypeError) as error:
        return f"torch.vmap does not take it ({_first_sentence(error)})"
    for seed in range(2):
        alone = _alone(build(seed).to(dtype), x)
        wrong = [name for name, value in alone.items() if not _gap(together[name][seed], value) <= TOLERANCE[dtype]]
        if wrong:
            return f"a training step of two networks together differs from that of each alone in {wrong[0]}"
    return None


def _together(modules: list[nn.Module], x: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """What one training step of networks on the same batch gives, ``[E, ...]`` by name."""
    network = StackedModules(modules, dtype)
    outputs = network.forward(x.expand(len(modules), *x.shape), training=True)
    network.backward(_direction(outputs))
    found = {"outputs": outputs, "gradients": network.gradients, "buffers": network.states()}
    return found | network.other()


def _alone(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The same of one network, as the reference trainer steps."""
    layout, weights = flat_layout(module), list(module.parameters())
    outputs = module.train()(x)
    gradients = torch.cat([g.flatten() for g in torch.autograd.grad(outputs, weights, _direction(outputs.detach()))])
    found = {"outputs": outputs.detach(), "gradients": gradients, "buffers": layout.flatten(module.state_dict())}
    return found | layout.other(module.state_dict())


def _direction(outputs: Tensor) -> Tensor:
    """A gradient of the outputs. Not a constant, whose effect normalisation takes away."""
    return outputs.cos()


def _gap(a: Tensor, b: Tensor) -> float:
    """Distance relative to b."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-30))


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("vmap: ").split(". ")[0]
