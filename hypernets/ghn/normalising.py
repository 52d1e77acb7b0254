"""From decoded numbers to numbers of the size that parameters have."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# Of GHN-2 (https://arxiv.org/abs/2110.13100, section 3.4 and appendix A.2.3): scales lie in (0, 2), shifts in (-1, 1).
_RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "weight": lambda p: p,
    "scale": lambda p: 2 * (0.5 * p).sigmoid(),
    "shift": lambda p: (0.2 * p).tanh(),
    "position": lambda p: p,
}


def normalise(kind: str, decoded: Tensor, gains: Tensor) -> Tensor:
    """The parameters of several targets of one kind: each by the rule of its kind, times its gain.

    Args:
        kind: one of :data:`hypernets.ghn.target.KINDS`. decoded: ``[n, ...]``. gains: ``[n]``.

    >>> import torch
    >>> normalise("weight", torch.ones(2, 1), torch.tensor([0.5, 2.0])).tolist()
    [[0.5], [2.0]]
    """
    return _RULES[kind](decoded) * gains.view(-1, *[1] * (decoded.dim() - 1))
