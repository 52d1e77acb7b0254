"""Keep the activations of a predicted network near those of the module's own initialisation.

A hypernetwork knows the scale of what it saw in training. Where a layer of a predicted network puts out values many
times larger or smaller than the same layer under the module's own rule, its predicted weights are scaled to put out the
same: layer by layer in one pass, as in LSUV (https://arxiv.org/abs/1511.06422), but towards the own rule's scale and
only for what strayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from graphs.execution.evaluation import plain_evaluation
from graphs.execution.trees import map_tensors
from graphs.primitives import CONTRACTIONS
from hypernets.ghn.batch_statistics import normalise_by_batch

_WATCHED = CONTRACTIONS | {"add"}


class Level(NamedTuple):
    """What a layer put out: the parameters it read (a sum of activations none), the root mean square of its values."""

    parameters: tuple[str, ...]
    rms: float


def steady(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    predicted: frozenset[str],
    inputs: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    within: float,
) -> dict[str, float]:
    """Scale in place those of ``weights`` whose layers stray; returns the factor of each.

    Batch norms normalise by the batch in both networks, for neither has statistics of its own yet.

    Args:
        module: with the values of its own rule; it is not changed.
        weights: its state_dict with predictions, each in a memory of its own.
        predicted: the entries that may be scaled.
        inputs, kwargs: on which both networks are run.
        within: how many times larger or smaller a layer's output may be.
    """
    own = _Watch(dict(module.state_dict(keep_vars=True)))
    _run(module, None, own, inputs, kwargs)
    other = _Steadying(dict(weights), predicted, own.levels, within)
    _run(module, weights, other, inputs, kwargs)
    return other.factors


def _run(
    module: nn.Module, weights: Mapping[str, Tensor] | None, watch: TorchDispatchMode, inputs: Any, kwargs: Any
) -> None:
    inputs, kwargs = map_tensors(torch.clone, (inputs, dict(kwargs)))
    with plain_evaluation(module), torch.random.fork_rng(devices=[]), watch:
        torch.manual_seed(0)
        normalise_by_batch(module)
        torch.func.functional_call(module, dict(weights or {}), inputs, kwargs)


class _Watch(TorchDispatchMode):
    """The level of every layer that reads parameters, in the order of the pass."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.levels: list[Level] = []
        self._state = state
        self._names = {_memory(t): name for name, t in reversed([*state.items()]) if t.is_floating_point()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.overloadpacket.__name__ not in _WATCHED or not isinstance(out, Tensor) or not out.is_floating_point():
            return out
        read = tuple(dict.fromkeys(self._parameters(args)))
        if not read and func.overloadpacket.__name__ != "add":
            return out
        level = Level(read, _rms(out))
        return self.take(level, out, lambda: func(*args, **kwargs))

    def take(self, level: Level, out: Tensor, again: Any) -> Tensor:
        """Note a level; returns what the layer is to put out."""
        self.levels.append(level)
        return out

    def _parameters(self, args: Any) -> Iterator[str]:
        for tensor in args:
            if isinstance(tensor, Tensor) and (name := self._names.get(_memory(tensor))):
                yield name


class _Steadying(_Watch):
    """Compares with the levels of the own rule, and scales what strays, each parameter once."""

    def __init__(self, state: Mapping[str, Tensor], predicted: frozenset[str], own: list[Level], within: float) -> None:
        super().__init__(state)
        self.factors: dict[str, float] = {}
        self._seen: set[str] = set()
        self._predicted, self._own, self._within = predicted, own, within
        self._strayed = False

    def take(self, level: Level, out: Tensor, again: Any) -> Tensor:
        at = len(self.levels)
        self.levels.append(level)
        # A pass whose way depends on its values is compared as far as it is the same.
        if not self._own[at : at + 1] or self._own[at].parameters != level.parameters:
            return out
        factor = self._factor(self._own[at].rms, level.rms)
        scalable = [n for n in level.parameters if n in self._predicted and n not in self._seen]
        self._seen.update(level.parameters)
        if not level.parameters:
            # Branches that are each near the own rule can add up to what is not: from here on they have to equal it.
            self._strayed = factor is not None
        elif factor and scalable:
            self._scale(scalable, factor)
            return again()
        return out

    def _factor(self, own: float, now: float) -> float | None:
        """None where the two are near, or where nothing is to be compared: zero or infinite."""
        within = 1.0 if self._strayed else self._within
        if not (0 < own < torch.inf and 0 < now < torch.inf) or 1 / within <= now / own <= within:
            return None
        return own / now

    def _scale(self, names: list[str], factor: float) -> None:
        for name in names:
            self._state[name].mul_(factor)
            self.factors[name] = factor


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _rms(values: Tensor) -> float:
    return values.detach().float().square().mean().sqrt().item() if values.numel() else 0.0
