"""Spectral norms under predicted weights: the singular vectors that they keep are those of another weight.

A spectral norm divides by ``u W v``, with u and v found by power iteration. With the vectors of the module's own weight
that is nearly 0 for a predicted one, and activations grow without bounds (https://arxiv.org/abs/1802.05957).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

ITERATIONS = 30


class Vectors(NamedTuple):
    """The entries of one spectral norm: its weight, u and v; ``axis`` of the weight is the row of the matrix."""

    weight: str
    u: str
    v: str
    axis: int

    def below(self, path: str) -> Vectors:
        """The entries of the layer of this path in a larger module."""
        weight, u, v = (f"{path}.{entry}" if path else entry for entry in self[:3])
        return Vectors(weight, u, v, self.axis)


def spectral_norms(module: nn.Module) -> list[Vectors]:
    """Of every layer that is normalised by its largest singular value.

    >>> spectral_norms(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)))[0].weight
    'parametrizations.weight.original'
    """
    return [
        found.below(path) for path, part in module.named_modules() for found in (*_parametrised(part), *_hooked(part))
    ]


def _parametrised(part: nn.Module) -> Iterator[Vectors]:
    first = part[0] if isinstance(part, ParametrizationList) else None
    if isinstance(first, _SpectralNorm) and hasattr(first, "_u"):
        yield Vectors("original", "0._u", "0._v", first.dim)


def _hooked(part: nn.Module) -> Iterator[Vectors]:
    for hook in part._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm):
            yield Vectors(f"{hook.name}_orig", f"{hook.name}_u", f"{hook.name}_v", hook.dim)


def singular_vectors(weight: Tensor, axis: int, u: Tensor) -> tuple[Tensor, Tensor]:
    """The left and right vectors of the largest singular value of a weight, from a start ``u``.

    >>> import torch
    >>> u, v = singular_vectors(torch.diag(torch.tensor([1.0, 5.0])), 0, torch.ones(2))
    >>> [round(x, 3) for x in (*u.tolist(), *v.tolist())]
    [0.0, 1.0, 0.0, 1.0]
    """
    matrix = weight.movedim(axis, 0).flatten(1).float()
    u = u.to(matrix)
    v = matrix.T @ u
    for _ in range(ITERATIONS):
        v = normalize(matrix.T @ u, dim=0)
        u = normalize(matrix @ v, dim=0)
    return u, v
