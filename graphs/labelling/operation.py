"""One recorded operation: its named arguments, the labels of its operands, and how its output becomes places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from graphs.labelling.classes import Axis
from graphs.labelling.compounds import Compounds
from graphs.labelling.labels import Algebra, Column, Label, Source
from graphs.labelling.recording import Latent, Recording, Use, in_order, place_numbers, place_sources

# What a parameter is, by the argument through which it enters.
USE_KINDS = {
    "addmm.mat1": "linear",
    "addmm.mat2": "linear",
    "addmm.self": "bias",
    "baddbmm.self": "bias",
    "mm.self": "linear",
    "mm.mat2": "linear",
    "mv.self": "linear",
    "mv.vec": "linear",
    "dot.self": "linear",
    "dot.tensor": "linear",
    "_trilinear.i2": "linear",
    "_grouped_mm.mat2": "linear",
    "bmm.self": "linear",
    "bmm.mat2": "linear",
    "baddbmm.batch1": "linear",
    "baddbmm.batch2": "linear",
    "convolution.weight": "conv",
    "convolution.bias": "bias",
    "embedding.weight": "embedding",
    "native_batch_norm.weight": "norm_weight",
    "native_batch_norm.bias": "norm_bias",
    "native_batch_norm.running_mean": "running_mean",
    "native_batch_norm.running_var": "running_var",
    "native_layer_norm.weight": "norm_weight",
    "native_layer_norm.bias": "norm_bias",
    "native_group_norm.weight": "norm_weight",
    "native_group_norm.bias": "norm_bias",
    "rms_norm.weight": "norm_weight",
    "add.other": "bias",
    "add.self": "bias",
}


@dataclass
class Operation:
    """The view that a rule has of one call.

    Args:
        name: operation name without in-place underscore or overload.
        arguments: schema name -> value, defaults included.
        outputs: the tensors it returned.
        read, write: get and set the label of a tensor.
    """

    name: str
    arguments: dict[str, Any]
    outputs: list[Tensor]
    algebra: Algebra
    recording: Recording
    module: str
    read: Callable[[Tensor], Label]
    write: Callable[[Tensor, Label], None]
    compounds: Compounds
    edges: dict[str, frozenset[Axis]] = field(default_factory=dict)
    vocabulary: set[str] = field(default_factory=set)
    carried: dict[int, list[int]] = field(default_factory=dict)

    def __getitem__(self, argument: str) -> Any:
        return self.arguments[argument]

    def has(self, argument: str) -> bool:
        return self.arguments.get(argument) is not None

    @property
    def out(self) -> Tensor:
        return self.outputs[0]

    def label(self, argument: str) -> Label:
        return self.read(self.arguments[argument])

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor argument by schema name; the elements of a list as ``name[i]``."""
        found = {}
        for name, value in self.arguments.items():
            if isinstance(value, Tensor):
                found[name] = value
            elif isinstance(value, (list, tuple)):
                found.update({f"{name}[{i}]": t for i, t in enumerate(value) if isinstance(t, Tensor)})
        return found

    def join(self, labels: Sequence[Label], dims: int | None = None) -> Label:
        return self.algebra.join(labels, self.out.dim() if dims is None else dims)

    def reduce(self, label: Label, dims: Sequence[int], keepdim: bool = True) -> Label:
        return self.algebra.reduce(label, dims, keepdim)

    def weigh(self, argument: str, source: frozenset[Axis] = frozenset(), vocabulary: bool = False) -> None:
        """Say that this operand connects places: ``source`` are its axes that read."""
        self.edges[argument] = source
        if vocabulary:
            self.vocabulary.add(argument)

    def split_axis(self, argument: str, dim: int, groups: int) -> Axis | None:
        """Give every group of a grouped kernel slots of its own along ``dim``, where nothing has met them yet: slot j
        is then another neuron in every group of dimension 0. Returns the axis where that is its only slot.

        Slots j of which something was computed (a norm) stay together: they may only move as one."""
        tensor, label = self.arguments[argument], self.label(argument)
        owners = [p for p in label.parameters if self.compounds.tensors[p].shape == tensor.shape]
        if label.active or len(owners) != 1:
            return None
        outputs, slots = tensor.shape[0], tensor.shape[dim]
        axis = next((s[1:] for c in label.columns if c.dims == {dim} for s in c.sources if s[1] == owners[0]), None)
        if slots == 1:
            axis = (owners[0], dim)
            if axis in self.recording.axis_ids:
                return axis
        if axis is None or (slots > 1 and not self.algebra.classes.untouched(self.recording.axis_ids[axis])):
            return None
        ids = self.algebra.classes.new(groups * slots, axis).view(groups, 1, slots)
        ids = ids.expand(groups, outputs // groups, slots).reshape(outputs, slots, *[1] * (tensor.dim() - 2))
        if slots > 1 and owners[0] in self.compounds.copied:
            self.algebra.classes.relate(ids, self.recording.axis_ids[axis], [])
        self.recording.axis_ids[axis] = ids
        whole = self.compounds.tensors[owners[0]]
        for known in [tensor] if self.compounds.storages.same(tensor, whole) else [tensor, whole]:
            before = self.read(known)
            own = Column(ids, frozenset([("axis", *axis)]))
            kept = tuple(c for c in before.columns if slots == 1 or c.dims != {dim})
            self.write(known, replace(before, columns=(own, *kept) if slots == 1 else (*kept, own)))
        return axis if slots == 1 else None

    def activate(self, argument: str) -> None:
        """Take an operand that was computed from parameters alone (learned queries) as an activation, with places."""
        tensor, label = self.arguments[argument], self.label(argument)
        value = replace(
            self, name="", arguments={"self": tensor}, outputs=[tensor], algebra=Algebra(self.algebra.classes)
        )
        placed = replace(value.place_output(replace(label, active=True)), parameters=frozenset())
        read = self.read
        self.read = lambda t: placed if t is tensor else read(t)

    def pin(self, label: Label) -> None:
        """Fix the neurons of a label for want of a rule, and count them."""
        for column in label.columns:
            self.algebra.classes.pin(self.algebra.classes.roots(column.ids))
            where = f"{self.name} in {self.module or 'the network'}"
            self.recording.pinned[where] = self.recording.pinned.get(where, 0) + len(torch.unique(column.ids))

    # ---- from the label of the output to places, links and uses

    def place_output(self, label: Label) -> Label:
        """Give the output its places, link them to those it was computed from, and note the parameters used."""
        if not label.active:
            self._place_latent()
            self._note_computed(label)
            return label
        labels = {name: self.read(tensor) for name, tensor in self.tensors().items()}
        weights = {name: label for name, label in labels.items() if label.parameters}
        columns = tuple(self._place_column(c) for c in label.columns)
        placed = replace(label, columns=columns)
        unit = self._place_unit(placed, weights)
        placed = replace(placed, unit=unit, columns=tuple(_without_axes(c) for c in columns))
        for name, weight in weights.items():
            self._note_use(name, weight, columns, unit)
        return placed

    def _note_computed(self, label: Label) -> None:
        """What was computed from parameters before any input names their neurons as they were then."""
        known = [a for a in self.recording.axis_ids if a[0] in label.parameters]
        self.compounds.copied |= label.parameters
        if len(label.parameters) > 1 or (self.name not in MOVEMENT and not label.axes >= set(known)):
            self.compounds.computed |= label.parameters

    def _place_latent(self) -> None:
        """An axis contracted before the input arrives (a low-rank product, an initial state) may become a place."""
        for column in self.algebra.contracted:
            latent = Latent(in_order(column.ids))
            self.recording.latent.update({s[1:]: latent for s in column.sources if s[0] == "axis"})

    def _place_column(self, column: Column) -> Column:
        before = place_sources(column.sources)
        ids = in_order(self.algebra.classes.roots(column.ids))
        axes = frozenset(s for s in column.sources if s[0] == "axis")
        if not axes and len(before) == 1 and self.name in MOVEMENT and self._only_moves(before[0][1], ids):
            return column
        place = self.recording.place(ids, len(ids), self.step(), "hidden", self.module)
        if any(("axis", *a) in axes for name in self.edges for a in self.label(name).axes):
            self.carried[place] = [s[1] for s in before]
        else:
            for source in before:
                self.recording.link(source, place)
        return Column(column.ids, axes | {("place", place)})

    def _only_moves(self, place: int, ids: Tensor) -> bool:
        """Whether these are entries of the place, all or some."""
        old = self.recording.places[place].ids
        return old is not None and bool(torch.isin(ids, self.algebra.classes.roots(old)).all())

    def _place_unit(self, label: Label, weights: dict[str, Label]) -> frozenset[Source]:
        """Link what no neuron axis carries: single neurons, sums over all neurons of a place."""
        reads = place_sources(label.unit)
        summed = {
            p
            for c in self.algebra.contracted
            if not any(s[0] == "axis" for s in c.sources)
            for p in place_sources(c.sources)
        }
        here = [p for c in label.columns for p in place_numbers(c.sources)]
        targets = list(here)
        unit: frozenset[Source] = frozenset()
        lonely = any(name in self.edges and not self._writes(weight, label.columns) for name, weight in weights.items())
        if lonely or (not here and (weights or summed or (reads and self.name not in MOVEMENT))):
            place = self.recording.place(None, 1, self.step(), "hidden", self.module)
            unit, targets = frozenset([("place", place)]), [*here, place]
        elif not here:
            return label.unit
        for source in {*reads, *summed}:
            for target in targets:
                self.recording.link(source, target)
        return unit

    def _writes(self, weight: Label, columns: Sequence[Column]) -> bool:
        return any(("axis", *axis) in c.sources for axis in weight.axes for c in columns)

    def _note_use(self, name: str, weight: Label, columns: Sequence[Column], unit: frozenset[Source]) -> None:
        edge = name in self.edges
        for parameter in sorted(weight.parameters):
            axes = frozenset(a for a in weight.axes if a[0] == parameter)
            read = frozenset(a for a in self.edges.get(name, frozenset()) if a[0] == parameter)
            hidden = {a: p for a, p in self.recording.latent.items() if a[0] == parameter and a not in axes}
            inner = next((self.recording.place_of(p, self.module) for p in hidden.values()), None)
            target = inner if read and inner is not None else self._destination(axes, columns, unit)
            source = inner if not read and inner is not None else self._source(name, read, target) if edge else None
            if source == inner is not None:
                read = frozenset(hidden)
            elif source is None and not edge:
                source, read = self._crossing(axes, columns, target)
            if len(hidden) == 1 and not axes:
                target, source, read = inner, None, frozenset()
            kind = USE_KINDS.get(f"{self.name}.{name}", "other")
            slots = {s[1:]: torch.unique(c.ids) for c in weight.columns for s in c.sources if s[1:] in axes}
            slots |= {a: torch.unique(self.recording.axis_ids[a]) for a in hidden}
            self.recording.uses.append(Use(parameter, kind, slots, read, source, target))

    def _crossing(
        self, axes: frozenset[Axis], columns: Sequence[Column], target: int | None
    ) -> tuple[int | None, frozenset[Axis]]:
        """Where a parameter meets neurons of two places at once (the state of a scan): the second, and its axes."""
        for column in columns:
            here = frozenset(a for a in axes if ("axis", *a) in column.sources)
            if here and here < axes and target not in place_numbers(column.sources):
                return place_numbers(column.sources)[-1], here
        return None, frozenset()

    def _destination(self, axes: frozenset[Axis], columns: Sequence[Column], unit: frozenset[Source]) -> int | None:
        for column in columns:
            if any(("axis", *a) in column.sources for a in axes):
                return place_numbers(column.sources)[-1]
        places = place_numbers(unit)
        return places[-1] if places else None

    def _source(self, name: str, read: frozenset[Axis], target: int | None) -> int:
        """The place whose neurons this weight reads: the contracted one, or pinned entries of the input."""
        for column in self.algebra.contracted:
            if any(("axis", *a) in column.sources for a in read) and place_numbers(column.sources):
                return place_numbers(column.sources)[-1]
        sizes = [len(torch.unique(self.recording.axis_ids[a])) for a in read]
        size = max(sizes, default=1)
        parameter = next(iter(self.read(self.tensors()[name]).parameters))
        if name in self.vocabulary:
            return self.recording.pinned_place(("vocabulary", parameter), size, "vocabulary", self.module)
        operands = [label for label in map(self.read, self.tensors().values()) if label.active]
        places = sorted({s for label in operands for s in label.places()})
        single = [s[1] for s in places if s[0] == "place" and self.recording.places[s[1]].size == 1]
        if size == 1 and single:
            return single[-1]
        if not read and target in self.carried and self.carried[target]:
            return self.carried[target][-1]
        kind = "input" if all(s[0] == "input" for s in places) else "pinned"
        return self.recording.pinned_place(tuple(places), size, kind, self.module)

    def step(self) -> str:
        """What the operation does to a neuron, with its constants: ``relu``, ``mul(30.0)``; empty for nothing."""
        if self.name in MOVEMENT or self.name in SILENT:
            return ""
        numbers = [self.arguments.get(n) for n in CONSTANTS]
        inner = ",".join(repr(float(v)) for v in numbers if isinstance(v, (int, float)))
        name = self.name.removeprefix("native_").removeprefix("_")
        if not inner:
            return "" if name in ("add", "sub") else name
        return f"{name}({inner})"


def _without_axes(column: Column) -> Column:
    return Column(column.ids, frozenset(s for s in column.sources if s[0] != "axis"))


# Operations that only move elements, and those that say nothing about the neurons they write.
MOVEMENT = frozenset(
    "clone _to_copy contiguous _unsafe_view cat stack repeat roll flip lift_fresh constant_pad_nd index "
    "index_select copy repeat_interleave _reshape_copy expand_copy".split()
)
SILENT = frozenset("addmm mm bmm _grouped_mm baddbmm mv dot convolution embedding dropout native_dropout".split())
# The scalar arguments that belong to what an operation does.
CONSTANTS = ("other", "exponent", "negative_slope", "min", "max")
