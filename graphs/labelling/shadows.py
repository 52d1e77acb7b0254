"""Values on the device meta, where tensors have none: constants that the network makes are made on the CPU too.

A position table read by ``arange``, or a causal mask, then gives the same labels as on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map


class Shadows:
    """CPU tensors beside those meta tensors that depend on constants alone.

    >>> shadows = Shadows()
    >>> ones = shadows.run(torch.ops.aten.ones.default, ([2],), {"device": torch.device("meta")})
    >>> shadows.value(ones)
    tensor([1., 1.])
    """

    def __init__(self) -> None:
        self._values: dict[int, dict[tuple, tuple[Tensor, Tensor]]] = {}

    def value(self, tensor: Tensor) -> Tensor:
        """The tensor with values where they are known, else itself."""
        return (
            self._values.get(_storage(tensor), {}).get(_view(tensor), (tensor, tensor))[1] if _bare(tensor) else tensor
        )

    def run(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result of an operation; its values are remembered where those of all its arguments are known."""
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        device = kwargs.get("device")
        if not any(map(_bare, tensors)) and (device is None or torch.device(device).type != "meta"):
            return func(*args, **kwargs)
        if any(_bare(self.value(t)) for t in tensors):
            result = func(*args, **kwargs)
            self._forget(func, args, kwargs)
            return result
        args_, kwargs_ = tree_map(lambda v: self.value(v) if isinstance(v, Tensor) else v, (args, kwargs))
        values = func(*args_, **(kwargs_ | ({"device": torch.device("cpu")} if device is not None else {})))
        if not any(isinstance(v, Tensor) for v in tree_flatten(values)[0]):
            return values
        result = func(*args, **kwargs)
        for tensor, value in zip(tree_flatten(result)[0], tree_flatten(values)[0], strict=True):
            if isinstance(tensor, Tensor):
                self._values.setdefault(_storage(tensor), {})[_view(tensor)] = (tensor, value)
        return result

    def _forget(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """A constant that was written in place by something unknown is none any more."""
        bound = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | kwargs
        for argument in func._schema.arguments:
            value = bound.get(argument.name)
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, Tensor):
                self._values.pop(_storage(value), None)


def _bare(tensor: Tensor) -> bool:
    return tensor.is_meta and tensor.layout == torch.strided


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _view(tensor: Tensor) -> tuple:
    return tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.dtype
