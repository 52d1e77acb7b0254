"""A copy of a module whose tensors are converted on the way, also of one that Python's deepcopy refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphs.execution.trees import map_tensors, tensors_in
from graphs.execution.unchanged import memory_of

Memo = dict[int, Any]
Convert = Callable[[Tensor, bool], Tensor]
REFUSED = (TypeError, RuntimeError, AttributeError, ValueError, copy.Error, pickle.PicklingError)


def copied(module: nn.Module, convert: Convert) -> nn.Module:
    """A copy whose parameters, buffers and other tensors are ``convert`` of the originals.

    ``convert(tensor, is_parameter)`` may return its argument. Parameters stay parameters, ties stay ties and views stay
    views. Tensors computed from others (old-style weight norm) are copied too; what cannot be copied (locks,
    generators, open files) is shared with the original.

    >>> double = copied(nn.Linear(2, 3), lambda t, is_parameter: t.double())
    >>> double(torch.zeros(1, 2, dtype=torch.float64)).dtype
    torch.float64
    """
    states = {m: {k: v for k, v in vars(m).items() if k != "_modules"} for m in module.modules()}
    memo: Memo = _converted(tensors_in(list(states.values())), convert)
    # Inner modules first, so that a deep network needs no deep recursion.
    for m, state in reversed(states.items()):
        if _refused(m, memo):
            for value in state.values():
                if _refused(value, memo):
                    memo[id(value)] = map_tensors(lambda t: memo[id(t)], value)
            memo[id(m)] = _bare_copy(m, memo)
    return memo[id(module)]


def _refused(value: Any, memo: Memo) -> bool:
    """Copies into ``memo``; True where that fails, which leaves no trace there."""
    before = len(memo)
    try:
        copy.deepcopy(value, memo)
    except REFUSED:
        for key in list(memo)[before:]:
            del memo[key]
        return True
    return False


def _bare_copy(module: nn.Module, memo: Memo) -> nn.Module:
    """A copy by the attributes alone, each already in ``memo`` or copied now."""
    other = memo[id(module)] = type(module).__new__(type(module))
    other.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(module).items()})
    return other


def _converted(tensors: list[Tensor], convert: Convert) -> Memo:
    """The copies by the identity of the originals; what shares memory shares it in the copies."""
    together: dict[tuple, list[Tensor]] = {}
    for tensor in tensors:
        key = (tensor.untyped_storage()._cdata, tensor.dtype) if tensor.layout == torch.strided else (id(tensor),)
        together.setdefault(key, []).append(tensor)
    memo: Memo = {}
    for group in together.values():
        if len(group) == 1:
            copies = [_fresh(group[0].detach(), _is_parameter(group[0]), convert)]
        else:
            whole = _fresh(memory_of(group[0]), any(map(_is_parameter, group)), convert)
            copies = [whole.as_strided(t.shape, t.stride(), t.storage_offset()) for t in group]
        memo.update({id(t): _in_the_form_of(t, new) for t, new in zip(group, copies, strict=True)})
    return memo


def _fresh(tensor: Tensor, is_parameter: bool, convert: Convert) -> Tensor:
    new = convert(tensor, is_parameter)
    return new.clone() if new is tensor else new


def _is_parameter(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter)


def _in_the_form_of(old: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new, requires_grad=old.requires_grad) if _is_parameter(old) else new
