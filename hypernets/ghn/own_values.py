"""The values that a module's own rule gives to a state_dict entry, on the meta device by running that rule."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class OwnValues:
    """Looks up state_dict entries of a module.

    >>> OwnValues(nn.BatchNorm1d(2, device="meta"))["running_var"]
    tensor([1., 1.])
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._state = module.state_dict(keep_vars=True)
        self._made: tuple[str, nn.Module] | None = None

    def __getitem__(self, name: str) -> Tensor | None:
        """A copy of the entry; None on the meta device where the layer that owns it has no ``reset_parameters``."""
        value = self._state[name].detach()
        if not value.is_meta:
            return value.clone(memory_format=torch.contiguous_format)
        owner, _, last = name.rpartition(".")
        layer = self._layer(owner)
        return None if layer is None else layer.state_dict()[last]

    def _layer(self, owner: str) -> nn.Module | None:
        """The layer on the CPU, initialised by itself; the last one is kept, for its other entries."""
        if self._made is None or self._made[0] != owner:
            layer = self._module.get_submodule(owner)
            reset = getattr(layer, "reset_parameters", None)
            if not callable(reset) or any(True for _ in layer.children()):
                return None
            made = copy.deepcopy(layer).to_empty(device="cpu")
            made.get_submodule("").reset_parameters()  # type: ignore[operator]
            self._made = owner, made
        return self._made[1]
