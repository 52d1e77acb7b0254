"""The dispatch mode under which one forward pass is recorded: labels of storages in, a Recording out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map_only

from graphs import rules
from graphs.errors import UntraceableError
from graphs.execution.evaluation import own_storages, untraceable
from graphs.execution.trees import tensors_in
from graphs.execution.unchanged import Writes, named_tensors
from graphs.execution.whereabouts import Whereabouts
from graphs.labelling.calls import Calls
from graphs.labelling.classes import NeuronClasses
from graphs.labelling.compounds import Compounds
from graphs.labelling.distinct import count_distinct, distinct
from graphs.labelling.labels import Algebra, Column, Label, grid, narrow, support
from graphs.labelling.operation import Operation
from graphs.labelling.recording import Recording, place_numbers
from graphs.labelling.shadows import Shadows
from graphs.labelling.storages import Storages, constant_label
from graphs.layout import Layout
from graphs.rules.pointwise import pointwise

FACTORIES = frozenset(
    "zeros ones full arange empty zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty "
    "scalar_tensor linspace randn rand rand_like randn_like empty_strided new_empty_strided eye "
    "tril_indices _local_scalar_dense is_nonzero _assert_async _assert_tensor_metadata".split()
)


class Recorder(TorchDispatchMode):
    """Labels live on what the pass writes; :func:`graphs.trace` drives it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled under this mode; torch would import its compiler at the first operation to say so."""
        return False

    def __init__(self, module: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.classes = NeuronClasses()
        self.recording = Recording()
        self.storages = Storages()
        self.shadows = Shadows()
        self.rules = rules.load()
        self.where = Whereabouts()
        self.running = ""
        self.read_ids: list[Tensor] = []
        self.null = int(self.classes.new(1))
        self.classes.pin(torch.tensor([self.null]))
        self.compounds = Compounds(Algebra(self.classes), self.recording, self.storages, self.null)
        self.weights = own_storages(module, layout)
        self.writes = Writes(named_tensors(module))
        self.written: list[str] = []
        state = {**module.state_dict(keep_vars=True), **self.weights}
        for number, entry in enumerate(layout.entries):
            if entry.offset is None:
                self._watch_constant(state[entry.name])
            elif entry.tied_to is None:
                self._watch_parameter(number, state[entry.name])

    # ---- what is watched

    def _watch_parameter(self, number: int, tensor: Tensor) -> None:
        if tensor.layout != torch.strided or self.storages.tracked(tensor):
            return
        columns = []
        for d, n in enumerate(tensor.shape):
            if n > 1:
                ids = self.classes.new(n, (number, d)).view([n if i == d else 1 for i in range(tensor.dim())])
                self.recording.axis_ids[number, d] = ids
                columns.append(Column(ids, frozenset([("axis", number, d)])))
        label = Label(columns=tuple(columns), parameters=frozenset([number]))
        self.compounds.tensors[number] = tensor.detach()
        self.storages.write(tensor.detach(), label, self.null)

    def _watch_constant(self, tensor: Tensor) -> None:
        """Integer entries belong to the network: each element is a place of its own, whatever its value now."""
        if tensor.layout == torch.strided and not self.storages.tracked(tensor):
            self.storages.write(tensor, Label(positions=grid(tensor.shape, range(tensor.dim()))), self.null)

    def watch_input(self, number: int, tensor: Tensor) -> None:
        """Each element is a place of its own; what is sparse is a constant."""
        if tensor.layout != torch.strided:
            return
        positions = grid(tensor.shape, range(tensor.dim()))
        label = Label(positions=positions, unit=frozenset([("input", number)]), active=True)
        self.storages.write(tensor, label, self.null)

    def watch_outputs(self, outputs: Any) -> None:
        """Pin every neuron axis of what the network returns, and mark its places."""
        tensors = tensors_in(outputs)
        if not tensors:
            raise UntraceableError(
                f"the forward pass returned {type(outputs).__name__}, expected at least one tensor; return the tensors"
            )
        labels = [(t, self.label(t)) for t in tensors if self.storages.tracked(t)]
        if not any(label.active for _, label in labels):
            raise UntraceableError(
                "no output depends on the inputs through torch operations; keep the forward pass in torch (no numpy), "
                "and give the tensors that the outputs depend on as inputs"
            )
        for tensor, label in labels:
            for column in label.columns:
                self.classes.mark(column.ids, list(grid(tensor.shape, column.dims)))
            for place in place_numbers(label.places()):
                self.recording.places[place].is_output = True

    def pin_unread(self) -> None:
        """Pin the parameter slots that the pass never read: nothing is known of them."""
        self.compounds.keep_shared_in_order()
        read = torch.zeros(len(self.classes), dtype=torch.bool)
        for ids in self.read_ids:
            read[ids.reshape(-1)] = True
        unread = [ids[~read[ids]] for ids in self.recording.axis_ids.values()]
        if unread:
            self.classes.pin(self.classes.roots(torch.cat(unread)))

    def run(self, module: nn.Module, inputs: tuple, kwargs: dict[str, Any]) -> Any:
        try:
            with untraceable(module, self, (*inputs, kwargs)), Calls(self._see, self._leave), self:
                if not self.weights:
                    return module(*inputs, **kwargs)
                return torch.func.functional_call(module, self.weights, inputs, kwargs)
        finally:
            self.written = self.writes.undo()

    def _see(self, number: int, output: Any) -> None:
        """Remember which torch call returned each place, and along which of its dimensions it lies."""
        if not isinstance(output, Tensor) or not self.storages.tracked(output):
            return
        with _disable_current_modes():
            label = self.label(output)
        for column in label.columns:
            self._seen_at(number, column.sources, tuple(sorted(column.dims)))
        if not label.columns:
            self._seen_at(number, label.unit, ())

    def _leave(self, name: str, tensor: Any) -> None:
        """Values go where they cannot be followed: what they are of is pinned."""
        if not isinstance(tensor, Tensor) or not self.storages.tracked(tensor):
            return
        with _disable_current_modes():
            for column in self.label(tensor).columns:
                self.classes.pin(self.classes.roots(column.ids))
                where = f"{name} in {self.where.path or 'the network'}"
                self.recording.pinned[where] = self.recording.pinned.get(where, 0) + count_distinct(column.ids)

    def _seen_at(self, number: int, sources: frozenset, dims: tuple[int, ...]) -> None:
        whole = [s[1] for s in sources if s[0] == "place" and len(s) == 2]
        for place in whole:
            self.recording.places[place].seen = self.recording.places[place].seen or (number, dims)

    # ---- labels

    def label(self, tensor: Tensor) -> Label:
        """The label of a tensor, in terms of the classes as they are now."""
        if not self.storages.tracked(tensor):
            return constant_label(self.shadows.value(tensor))
        try:
            view = self.storages.view(tensor)
        except LookupError:
            return self._resolve(tensor, self._of_parts(tensor))
        if view.resolved is None or view.epoch != self.classes.epoch:
            view.resolved, view.epoch = self._resolve(tensor, view.label), self.classes.epoch
        return view.resolved

    def _resolve(self, tensor: Tensor, label: Label) -> Label:
        for before, after in zip(self.storages.written(tensor).columns, label.columns, strict=False):
            self.classes.mark_part(before.ids, after.ids)
        if label is not self.storages.written(tensor):
            Algebra(self.classes).mark_selection(label)
        merged: dict[tuple, Column] = {}
        for column in label.columns:
            ids = narrow(self.classes.roots(column.ids))
            column = Column(ids, self._narrowed(column.sources, ids))
            key = (tuple(ids.shape), ids.numpy().tobytes())
            known = merged.get(key)
            merged[key] = Column(ids, column.sources | known.sources if known else column.sources)
        columns = tuple(c for c in merged.values() if c.dims or label.parameters)
        resolved = self.compounds.renamed(replace(label, columns=columns))
        if label.parameters:
            self.read_ids.extend(c.ids for c in resolved.columns)
        return resolved

    def _narrowed(self, sources: frozenset, ids: Tensor) -> frozenset:
        """A view of some neurons of a place comes from that part of it."""
        places = [s for s in sources if s[0] == "place"]
        if len(places) != 1:
            return sources
        whole, seen = self.recording.places[places[0][1]].ids, distinct(ids.numpy())
        if whole is None or len(seen) == count_distinct(self.classes.roots(whole)):
            return sources
        return (sources - {places[0]}) | {self.recording.part(places[0][1], torch.from_numpy(seen))}

    def _of_parts(self, tensor: Tensor) -> Label:
        """Elements of which each holds several that were written (complex numbers written as pairs): neurons of a pair
        keep their order in it. Of anything else the neurons are pinned."""
        try:
            parts = self.storages.read_parts(tensor)
        except LookupError:
            return self._pin_storage(tensor)
        last = tensor.dim()
        fresh = {d for p in parts.positions if last in support(p) for d in support(p)} - {last}
        kept = tuple(p for p in parts.positions if last not in support(p))
        whole = Algebra(self.classes).fold(replace(parts, positions=kept), {last}).map(lambda v: v.squeeze(-1))
        return replace(whole, positions=(*whole.positions, *grid(tensor.shape, fresh)))

    def _pin_storage(self, tensor: Tensor) -> Label:
        """A view that shows nothing of what was written as it was: the neurons of the storage are pinned."""
        label = self.storages.written(tensor)
        for column in label.columns:
            self.classes.pin(self.classes.roots(column.ids))
        where = f"a view as {tensor.dtype} in {self.where.path or 'the network'}"
        self.recording.pinned[where] = sum(c.ids.numel() for c in label.columns)
        unit = label.places()
        return Label(grid(tensor.shape, range(tensor.dim())), (), unit, label.parameters, label.active)

    # ---- dispatch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        self.writes.before(func, _bind(func, args, kwargs))
        if func._schema.is_mutable:
            self._activate_overwritten(func, _bind(func, args, kwargs), tensors)
        before = self._labels_before(func, tensors)
        self.running = func.overloadpacket.__name__
        result = self.shadows.run(func, args, kwargs)
        self.running = ""
        outputs = [t for t in tree_flatten(result)[0] if isinstance(t, Tensor)]
        for tensor in (*tensors, *outputs):
            if tensor.layout == torch.strided:
                self.storages.keep(tensor)
        name = func.overloadpacket.__name__
        ours = outputs and name not in FACTORIES and any(self.storages.tracked(t) for t in tensors)
        if ours and any(t.layout != torch.strided for t in outputs):
            for tensor in tensors:
                self._leave(name, tensor)
        elif ours and not self._is_view(func, outputs, tensors):
            self._record(func, name, args, kwargs, outputs, before)
        elif torch.Tag.nondeterministic_seeded in func.tags:
            self._stand(outputs)
        return result

    def _labels_before(self, func: Any, tensors: list[Tensor]) -> dict[int, Label]:
        """What an operation that writes in place reads, which afterwards is no longer there."""
        if not func._schema.is_mutable:
            return {}
        return {id(t): self.label(t) for t in tensors if t.layout == torch.strided}

    def _stand(self, outputs: list[Tensor]) -> None:
        """Random numbers stand where they were drawn, whatever their values: no symmetry moves them."""
        for tensor in outputs:
            if tensor.layout == torch.strided:
                self.storages.write(tensor, Label(positions=grid(tensor.shape, range(tensor.dim()))), self.null)

    def _is_view(self, func: Any, outputs: list[Tensor], inputs: list[Tensor]) -> bool:
        if torch.Tag.inplace_view in func.tags:
            return True
        if func._schema.is_mutable:
            return False
        return all(any(self.storages.same(o, i) for i in inputs if i.layout == torch.strided) for o in outputs)

    def _operation(
        self, name: str, arguments: dict[str, Any], outputs: list[Tensor], read: Callable[[Tensor], Label]
    ) -> Operation:
        return Operation(
            name=name,
            arguments=arguments,
            outputs=outputs,
            algebra=Algebra(self.classes),
            recording=self.recording,
            module=self.where.path,
            read=read,
            write=lambda t, label: self.storages.write(t, label, self.null),
            compounds=self.compounds,
        )

    def _activate_overwritten(self, func: Any, bound: dict[str, Any], tensors: list[Tensor]) -> None:
        """What was computed from parameters alone, and is written over in part by activations, is an activation: its
        other parts would forget their parameters."""
        for argument in func._schema.arguments:
            target = bound.get(argument.name)
            if argument.alias_info is None or not argument.alias_info.is_write or not isinstance(target, Tensor):
                continue
            if not self.storages.tracked(target) or not any(self.label(t).active for t in tensors if t is not target):
                continue
            whole = self.storages.whole(target)
            if whole is not None and self.label(whole).parameters and whole.numel() > target.numel():
                op = self._operation("", {"self": whole}, [whole], self.label)
                placed = op.place_output(replace(self.label(whole), active=True))
                self.storages.write(whole, replace(placed, parameters=frozenset()), self.null)

    def _record(self, func: Any, name: str, args: tuple, kwargs: dict, outputs: list[Tensor], before: dict) -> None:
        name = name if name.startswith("__") else name.rstrip("_")
        arguments = tree_map_only(Tensor, self.shadows.value, _bind(func, args, kwargs))
        op = self._operation(name, arguments, outputs, lambda t: before.get(id(t)) or self.label(t))
        labels = self._apply_rule(func, op)
        if labels is None:
            labels = self._pin(op)
        first = op.place_output(labels[0])
        for i, (tensor, label) in enumerate(zip(outputs, labels, strict=True)):
            placed = first if i == 0 else _at_places_of(label, labels[0], first)
            self.storages.write(tensor, placed, self.null)

    def _apply_rule(self, func: Any, op: Operation) -> list[Label] | None:
        rule = self.rules.get(op.name)
        if rule is None and torch.Tag.pointwise in func.tags:
            rule = pointwise
        if rule is None or torch.Tag.nondeterministic_seeded in func.tags:
            return None
        label = rule(op)
        return [label] if isinstance(label, Label) else label

    def _pin(self, op: Operation) -> list[Label]:
        """No rule: fix every neuron that enters, and name the output by its positions alone."""
        labels = [op.read(t) for t in op.tensors().values() if t.layout == torch.strided]
        for label in labels:
            op.pin(label)
        unit = frozenset().union(*(label.places() for label in labels))
        active = any(label.active for label in labels)
        parameters = frozenset() if active else frozenset().union(*(label.parameters for label in labels))
        return [Label(grid(t.shape, range(t.dim())), (), unit, parameters, active) for t in op.outputs]


def _at_places_of(label: Label, first: Label, placed: Label) -> Label:
    """A further output of an operation: it stands at the places of the first where it has the same neurons."""
    if label is first:
        return placed
    columns = tuple(Column(c.ids, frozenset().union(*(p.sources for p in placed.columns))) for c in label.columns)
    return Label(label.positions, columns, placed.places(), label.parameters, label.active)


def _bind(func: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by schema name, defaults included."""
    bound = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
    bound.update({a.name: v for a, v in zip(func._schema.arguments, args, strict=False)})
    bound.update(kwargs)
    return bound
