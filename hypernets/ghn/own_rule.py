"""What the module's own rule of initialisation says of the scale of a parameter, read off its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# The scale of tables where there are no values to read (meta device): that of most transformers.
USUAL_TABLE = 0.02


@dataclass(frozen=True)
class OwnRule:
    """A few figures of the values that the module was made with.

    Args:
        low, high, mean, rms: of all elements.

    >>> OwnRule.of(torch.full((4,), 1e-5)).constant, OwnRule.of(torch.randn(9)).constant
    (True, False)
    """

    low: float
    high: float
    mean: float
    rms: float

    @classmethod
    def of(cls, values: Tensor) -> OwnRule:
        values = values.detach().float()
        low, high = torch.aminmax(values)
        return cls(low.item(), high.item(), values.mean().item(), values.square().mean().sqrt().item())

    @property
    def constant(self) -> bool:
        return self.low == self.high

    @property
    def one_sign(self) -> bool:
        """Whether all values lie on one side of zero."""
        return self.low * self.high > 0

    @property
    def zero(self) -> bool:
        return self.rms == 0


def own_rules(module: nn.Module) -> dict[str, OwnRule]:
    """The rule of every parameter that has values: not on the meta device, not empty, floating."""
    found: Mapping[str, Tensor] = dict(module.named_parameters())
    return {n: OwnRule.of(p) for n, p in found.items() if p.is_floating_point() and p.numel() and not p.is_meta}
