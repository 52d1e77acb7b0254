"""The tensors within nested values: tuples, dicts, dataclasses, model outputs, caches and graphs of a data set."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

# Objects whose attributes are none of a value's own.
_OPAQUE = (nn.Module, type, FunctionType, MethodType, ModuleType)


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in ``value``, each once, in the order of its containers and of the attributes of its objects.

    >>> import torch
    >>> [t.shape[0] for t in tensors_in({"a": torch.zeros(2), "b": [torch.zeros(3), None]})]
    [2, 3]
    """
    found: dict[int, Tensor] = {}
    map_tensors(lambda t: found.setdefault(id(t), t), value)
    return list(found.values())


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A copy of ``value`` with every tensor replaced by ``function`` of it; what holds no tensor stays the same object,
    and what occurs twice is copied once.

    >>> import torch
    >>> map_tensors(lambda t: t + 1, (torch.zeros(1), "text"))
    (tensor([1.]), 'text')
    """
    return _Mapping(function).copy(value)


def described(value: Any) -> str:
    """The value in short, its tensors as type and shape.

    >>> import torch
    >>> described((torch.zeros(2, 3), {"mask": None}))
    '(float32[2, 3], {mask: None})'
    """
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {described(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(described, value)) + ")"
    if isinstance(value, (str, int, float, complex, type(None))):
        return repr(value)
    return f"{type(value).__name__}({', '.join(map(described, tensors_in(value)))})"


class _Mapping:
    """One walk; ``seen`` holds the copies by the identity of what they are of, so that cycles end."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self.seen: dict[int, tuple[Any, Any]] = {}

    def copy(self, value: Any) -> Any:
        if value is None or isinstance(value, (str, bytes, int, float, complex)):
            return value
        if id(value) not in self.seen:
            self.seen[id(value)] = (value, value)  # the original is kept alive, so that its identity stays its own
            self.seen[id(value)] = (value, self._copy(value))
        return self.seen[id(value)][1]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.function(value)
        if isinstance(value, Mapping):
            return self._filled(value, {k: self.copy(v) for k, v in value.items()})
        if isinstance(value, (tuple, list, set, frozenset)):
            return self._sequence(value, [self.copy(v) for v in value])
        if _is_pyg_data(value):
            return copy.copy(value).apply(self.copy)
        if isinstance(value, _OPAQUE) or not hasattr(value, "__dict__"):
            return value
        return self._object(value, {k: self.copy(v) for k, v in vars(value).items()})

    @staticmethod
    def _filled(value: Any, items: dict[Any, Any]) -> Any:
        """A mapping of the same type; model outputs keep their attributes in step with their items."""
        changed = {k: v for k, v in items.items() if v is not value[k]}
        if not changed:
            return value
        filled = copy.copy(value) if hasattr(value, "__setitem__") else dict(value)
        for key, item in changed.items():
            filled[key] = item
        return filled

    @staticmethod
    def _sequence(value: Any, items: list[Any]) -> Any:
        if all(a is b for a, b in zip(value, items, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)

    @staticmethod
    def _object(value: Any, attributes: dict[str, Any]) -> Any:
        changed = {k: v for k, v in attributes.items() if v is not vars(value)[k]}
        if not changed:
            return value
        other = copy.copy(value)
        for name, attribute in changed.items():
            object.__setattr__(other, name, attribute)
        return other


def _is_pyg_data(value: Any) -> bool:
    """Whether this is a graph or batch of PyG, told by name so that PyG need not be imported."""
    return any(c.__module__.startswith("torch_geometric.") and c.__name__ == "BaseData" for c in type(value).__mro__)
