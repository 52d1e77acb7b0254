"""A module is after its forward pass what it was before, whatever the pass assigns or writes in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from graphs.execution.trees import tensors_in


@contextmanager
def attributes_unchanged(module: nn.Module) -> Iterator[None]:
    """Every module has its attributes, parameters, buffers, hooks and training flag again, as objects.

    >>> net = nn.Linear(2, 3)
    >>> with attributes_unchanged(net):
    ...     net.training, net.bias, net.more = False, None, 1
    >>> net.training, net.bias is None, hasattr(net, "more")
    (True, False, False)
    """
    states = {m: _state(m) for m in module.modules()}
    held = [t for m in states for t in (*m._parameters.values(), *m._buffers.values()) if t is not None]
    memory = [t.detach() for t in held]
    try:
        yield
    finally:
        for m, state in states.items():
            _put_back(vars(m), state)
        for tensor, before in zip(held, memory, strict=True):
            if not tensor.is_meta and tensor.layout == torch.strided and not tensor.is_set_to(before):
                tensor.data = before


def _state(module: nn.Module) -> dict[str, Any]:
    """The attributes, with the registries (parameters, buffers, hooks) copied one level deep."""
    return {k: dict(v) if _is_registry(k, v) else v for k, v in vars(module).items()}


def _put_back(now: dict[str, Any], before: dict[str, Any]) -> None:
    for name in now.keys() - before.keys():
        del now[name]
    for name, value in before.items():
        if name in now and _is_registry(name, now[name]) and isinstance(value, dict):
            _put_back(now[name], value)
        elif name not in now or now[name] is not value:
            now[name] = value


def _is_registry(name: Any, value: Any) -> bool:
    return isinstance(name, str) and name.startswith("_") and isinstance(value, dict)


class Writes:
    """The values of a module's tensors, saved before the first operation that writes them in place.

    Args:
        names: the tensors, by the names under which they are known.
    """

    def __init__(self, names: dict[str, Tensor]) -> None:
        self._names = {_key(t): name for name, t in reversed(names.items()) if _has_memory(t)}
        self._saved: dict[int, tuple[Tensor, Tensor]] = {}

    def before(self, func: Any, arguments: dict[str, Any]) -> None:
        """Save what this operation is about to write."""
        for tensor in written_tensors(func, arguments):
            if _has_memory(tensor) and _key(tensor) in self._names and _key(tensor) not in self._saved:
                whole = memory_of(tensor)
                self._saved[_key(tensor)] = (whole, whole.clone())

    def undo(self) -> list[str]:
        """Put the values back; the names of what had been written."""
        for whole, values in self._saved.values():
            whole.copy_(values)
        return [self._names[key] for key in self._saved]


class ValuesUnchanged(TorchDispatchMode):
    """What a forward pass writes in place into tensors that a module holds is undone at the end of the block.

    Args:
        module: see :func:`named_tensors`.
        more: tensors beside its own.

    >>> net = nn.BatchNorm1d(2)
    >>> with torch.no_grad(), ValuesUnchanged(net):
    ...     _ = net(torch.randn(3, 2))
    >>> net.running_var, net.num_batches_tracked
    (tensor([1., 1.]), tensor(0))
    """

    def __init__(self, module: nn.Module, more: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self._writes = Writes({**named_tensors(module), **{f"given {n}": t for n, t in (more or {}).items()}})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = zip(func._schema.arguments, args, strict=False)
        self._writes.before(func, {**{a.name: value for a, value in named}, **(kwargs or {})})
        return func(*args, **(kwargs or {}))

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        with torch.no_grad():
            self._writes.undo()


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every tensor that a module holds, also those that are neither parameters nor buffers."""
    found = dict(module.state_dict(keep_vars=True))
    for path, part in module.named_modules():
        for i, tensor in enumerate(tensors_in([v for k, v in vars(part).items() if k != "_modules"])):
            found.setdefault(f"{path}[{i}]", tensor)
    return found


def written_tensors(func: Any, arguments: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operation writes in place; batch norm's statistics among them, which its schema hides."""
    names = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if "batch_norm" in func.name() and (arguments.get("training") or arguments.get("train")):
        names += ["running_mean", "running_var"]
    values = [arguments.get(name) for name in names]
    flat = [t for value in values for t in (value if isinstance(value, (list, tuple)) else [value])]
    return [t for t in flat if isinstance(t, Tensor)]


def memory_of(tensor: Tensor) -> Tensor:
    """All elements of the memory that a tensor is a view of."""
    count = tensor.untyped_storage().nbytes() // tensor.element_size()
    return tensor.detach().as_strided((count,), (1,), 0)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta
