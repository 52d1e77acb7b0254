"""Record one eager forward pass as a computation graph.

As with labels (:mod:`graphs.labelling.storages`), values are known by the memory they lie in, so a view needs no rule.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from graphs.execution.evaluation import own_storages, plain_evaluation, traceable_layout, untraceable
from graphs.execution.trees import map_tensors, tensors_in
from graphs.execution.unchanged import ValuesUnchanged
from graphs.execution.whereabouts import Whereabouts
from graphs.layout import Layout
from graphs.op_graph import ComputationGraph, OpNode

# What these leave in a whole tensor does not depend on what was there.
_OVERWRITING = frozenset(["copy_", "fill_", "zero_"])


def record(module: nn.Module, inputs: tuple, kwargs: dict[str, Any]) -> ComputationGraph:
    """See :func:`graphs.computation_graph`."""
    layout = traceable_layout(module)
    inputs, kwargs = map_tensors(torch.clone, (inputs, kwargs))
    weights = own_storages(module, layout)
    recorder = OpRecorder({**module.state_dict(keep_vars=True), **weights}, layout, tensors_in((inputs, kwargs)))
    with (
        plain_evaluation(module),
        ValuesUnchanged(module),
        recorder.where.within(module),
        untraceable(module, recorder),
        recorder,
    ):
        outputs = torch.func.functional_call(module, weights, inputs, kwargs)
    return recorder.finish(tensors_in(outputs))


class OpRecorder(TorchDispatchMode):
    """The dispatch mode. ``maker`` holds the node that wrote each storage last; storages are kept alive, so that none
    is taken for another. What nothing of ours went into has no maker and is no node."""

    def __init__(self, state: dict[str, Tensor], layout: Layout, inputs: list[Tensor]) -> None:
        super().__init__()
        self.where = Whereabouts()
        self.running = ""
        self.nodes: list[OpNode] = []
        self.edges: dict[tuple[int, int], None] = {}
        self.maker: dict[int, int] = {}
        self._alive: list[Any] = []
        for i, tensor in enumerate(inputs):
            self._add(OpNode("input", str(i), shape=tuple(tensor.shape)), [], [tensor])
        for entry in layout.entries:
            if entry.tied_to is None:
                names = [e.name for e in layout.entries if entry.name in (e.name, e.tied_to)]
                kind = "buffer" if entry.is_buffer else "parameter"
                node = OpNode(kind, entry.name, shape=entry.shape, parameters=dict.fromkeys(names, entry.shape))
                self._add(node, [], [state[entry.name]])

    def finish(self, outputs: list[Tensor]) -> ComputationGraph:
        for i, tensor in enumerate(outputs):
            self._add(OpNode("output", str(i), shape=tuple(tensor.shape)), self._makers([tensor]), [])
        return ComputationGraph(tuple(self.nodes), tuple(self.edges))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {**dict(zip((a.name for a in func._schema.arguments), args, strict=False)), **(kwargs or {})}
        self.running = func.overloadpacket.__name__
        result = func(*args, **(kwargs or {}))
        self.running = ""
        read, written = _tensors(given), _written(func, given)
        known = {_key(t) for t in read}
        made = [t for t in _tensors(result) if _key(t) not in known] + written
        if made and torch.Tag.inplace_view not in func.tags:
            self._record(func, given, [t for t in read if not _is_lost(func, t, written)], made)
        return result

    def _record(self, func: Any, given: dict[str, Any], read: list[Tensor], made: list[Tensor]) -> None:
        makers = self._makers(read)
        if not makers:
            for tensor in made:
                self.maker.pop(_key(tensor), None)
            return
        name = func.overloadpacket.__name__
        node = OpNode(
            "op",
            name if name.startswith("__") else name.rstrip("_"),
            module=self.where.path,
            layer=self.where.layer,
            call=self.where.call,
            shape=tuple(made[0].shape),
            arguments=_plain_arguments(func, given),
        )
        self._add(node, makers, made)

    def _makers(self, tensors: list[Tensor]) -> list[int]:
        return sorted({self.maker[_key(t)] for t in tensors if _key(t) in self.maker})

    def _add(self, node: OpNode, makers: list[int], made: list[Tensor]) -> None:
        self.nodes.append(node)
        self.edges.update(dict.fromkeys((maker, len(self.nodes) - 1) for maker in makers))
        for tensor in made:
            self._alive.append(tensor.untyped_storage() if tensor.layout == torch.strided else tensor)
            self.maker[_key(tensor)] = len(self.nodes) - 1


def _tensors(value: Any) -> list[Tensor]:
    """The tensors among an op's arguments or results, which lists nest at most."""
    values = list(value.values()) if isinstance(value, dict) else [value]
    nested = [v if isinstance(v, (list, tuple)) else [v] for v in values]
    return [t for v in nested for t in v if isinstance(t, Tensor)]


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _written(func: Any, given: dict[str, Any]) -> list[Tensor]:
    """The tensors in which the op leaves something."""
    if not func._schema.is_mutable:
        return []
    names = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return _tensors({name: given.get(name) for name in names})


def _is_lost(func: Any, tensor: Tensor, written: list[Tensor]) -> bool:
    """Whether what a tensor held before is gone unread: a whole tensor that is filled or is the ``out`` of the op."""
    if not any(tensor is t for t in written):
        return False
    overwrites = func.overloadpacket.__name__ in _OVERWRITING or func._overloadname.endswith("out")
    return overwrites and tensor.numel() * tensor.element_size() >= int(tensor.untyped_storage().nbytes())


def _plain_arguments(func: Any, given: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold of the arguments that differ from their defaults."""
    defaults = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
    plain = {n: list(v) if isinstance(v, tuple) else v for n, v in given.items() if _is_plain(v)}
    return {n: v for n, v in plain.items() if n not in defaults or defaults[n] != v}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v) for v in value)
    return type(value) in (bool, int, float, str)
