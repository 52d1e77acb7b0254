"""A network as the list of its layers in order."""

from __future__ import annotations

from torch import Tensor, nn

from graphs.families.residual import Residual


class ResidualStart(nn.Module):
    """Where a ``Residual`` begins: its input goes on, and is kept for its end. It has no weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class ResidualEnd(ResidualStart):
    """Where the innermost open ``Residual`` ends: what was kept is added."""


def leaves(module: nn.Module) -> list[nn.Module]:
    """The layers of nested nn.Sequential in order, those of a ``Residual`` between its start and its end.

    >>> [type(layer).__name__ for layer in leaves(nn.Sequential(nn.Linear(2, 2), Residual(nn.Tanh())))]
    ['Linear', 'ResidualStart', 'Tanh', 'ResidualEnd']
    """
    if not is_sequential(module):
        return [module]
    inner = [leaf for child in module.children() for leaf in leaves(child)]
    return [ResidualStart(), *inner, ResidualEnd()] if type(module) is Residual else inner


def is_sequential(module: nn.Module) -> bool:
    """Whether a module is its children one after another, perhaps added to what they read."""
    return type(module) is Residual or (
        isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    )
