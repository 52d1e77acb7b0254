"""Keep the activations of a predicted network near those of the module's own initialisation.

A hypernetwork knows the scale of what it saw in training. Where a layer of a predicted network puts out values many
times larger or smaller than the same layer under the module's own rule, its predicted weights are scaled to put out the
same: layer by layer in one pass, as in LSUV (https://arxiv.org/abs/1511.06422), but towards the own rule's scale and
only for what strayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from graphs.execution.evaluation import plain_evaluation, seeded
from graphs.execution.trees import map_tensors
from graphs.execution.unchanged import ValuesUnchanged
from graphs.primitives import CONTRACTIONS
from hypernets.ghn.batch_statistics import normalise_by_batch
from hypernets.ghn.target import Target

_WATCHED = CONTRACTIONS | {"add"}


class Layer(NamedTuple):
    """One run of a layer.

    Args:
        parameters: those it reads; a sum of activations none.
        run: how many layers of the same parameters ran before.
    """

    parameters: tuple[str, ...]
    run: int


# Root mean squares of what layers put out.
Levels = dict[Layer, float]


def steady_tables(targets: Iterable[Target], written: Mapping[str, Tensor], within: float | None) -> dict[str, float]:
    """Scale in place tables and embeddings whose values are far from the scale of the own rule, which their gain is;
    returns the factor of each."""
    factors: dict[str, float] = {}
    for target in targets:
        if within is None or target.kind != "position" or not target.gain:
            continue
        times = _rms(written[target.name]) / abs(target.gain)
        if 0 < times < torch.inf and not 1 / within <= times <= within:
            factors[target.name] = 1 / times
            written[target.name].mul_(1 / times)
    return factors


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
    _run(module, {}, own, ValuesUnchanged(module), inputs, kwargs)
    other = _Steadying(dict(weights), predicted, own.levels, within)
    kept = {name: value for name, value in weights.items() if name not in predicted}
    _run(module, weights, other, ValuesUnchanged(module, kept), inputs, kwargs)
    return other.factors


def _run(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    watch: TorchDispatchMode,
    unchanged: TorchDispatchMode,
    inputs: Any,
    kwargs: Any,
) -> None:
    inputs, kwargs = map_tensors(torch.clone, (inputs, dict(kwargs)))
    with plain_evaluation(module), seeded(0), unchanged, watch:
        normalise_by_batch(module)
        torch.func.functional_call(module, dict(weights), inputs, kwargs)


class _Watch(TorchDispatchMode):
    """The level of every layer that reads parameters."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.levels: Levels = {}
        self._runs: Counter[tuple[str, ...]] = Counter()
        self._names = {_memory(t): name for name, t in reversed([*state.items()]) if t.is_floating_point()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name not in _WATCHED or not _is_dense(out):
            return out
        read = tuple(dict.fromkeys(self._parameters(args)))
        if not read and name != "add":
            return out
        layer = Layer(read, self._runs[read])
        self._runs[read] += 1
        self.levels[layer] = _rms(out)
        return func(*args, **kwargs) if self.stray(layer) else out

    def stray(self, layer: Layer) -> bool:
        """Whether the layer's parameters were changed, so that it has to run again."""
        return False

    def _parameters(self, args: Any) -> Iterator[str]:
        for tensor in args:
            if isinstance(tensor, Tensor) and (name := self._names.get(_memory(tensor))):
                yield name


class _Steadying(_Watch):
    """Compares with the levels of the own rule, and scales what strays, each parameter once."""

    def __init__(self, state: Mapping[str, Tensor], predicted: frozenset[str], own: Levels, within: float) -> None:
        super().__init__(state)
        self.factors: dict[str, float] = {}
        self._seen: set[str] = set()
        self._state, self._predicted, self._own, self._within = state, predicted, own, within
        self._strayed = False

    def stray(self, layer: Layer) -> bool:
        factor = self._factor(self._own.get(layer, 0.0), self.levels[layer])
        scalable = [n for n in layer.parameters if n in self._predicted and n not in self._seen]
        self._seen.update(layer.parameters)
        if not layer.parameters:
            # Branches that are each near the own rule can add up to what is not: from here on they have to equal it.
            self._strayed = factor is not None
        elif factor and scalable:
            self._scale(scalable, factor)
            return True
        return False

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


def _is_dense(out: Any) -> bool:
    return isinstance(out, Tensor) and out.is_floating_point() and out.layout == torch.strided


def _rms(values: Tensor) -> float:
    return values.detach().float().square().mean().sqrt().item() if values.numel() else 0.0
