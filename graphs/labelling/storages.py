"""Labels live on storages, so no view needs a rule: a view's label is read off where it points.

A storage keeps the label of the tensor that wrote it. A view's offset is decomposed into the index of that tensor, one
digit a dimension; where a view is no such box, or a tensor is written in part, the labels are spelled out per element.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.multiprocessing.reductions import StorageWeakRef

from graphs.labelling.distinct import joint
from graphs.labelling.labels import Column, Label, grid, narrow


@dataclass
class View:
    """A view's label as written, and as it was last given in terms of the classes, at their ``epoch``."""

    label: Label
    resolved: Label | None = None
    epoch: int = -1


@dataclass(frozen=True)
class Base:
    """The tensor that wrote a storage: its box and its label, and the views of it that were read."""

    label: Label
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    item_size: int
    views: dict[tuple, View] = field(default_factory=dict, compare=False, repr=False)


class Storages:
    """The labels of everything written during one pass. Weak references to storages keep their addresses from being
    given to others, while their memory is freed."""

    def __init__(self) -> None:
        self._bases: dict[int, Base] = {}
        self._seen: dict[int, StorageWeakRef] = {}

    def keep(self, tensor: Tensor) -> None:
        key = _key(tensor)
        if key not in self._seen:
            self._seen[key] = StorageWeakRef(tensor.untyped_storage())

    def tracked(self, tensor: Tensor) -> bool:
        """Whether something is known of it; of tensors inside vmap nothing is."""
        return (
            tensor.layout == torch.strided and not is_functorch_wrapped_tensor(tensor) and _key(tensor) in self._bases
        )

    def written(self, tensor: Tensor) -> Label:
        """The label of the whole tensor that wrote this storage."""
        return self._bases[_key(tensor)].label

    def whole(self, tensor: Tensor) -> Tensor | None:
        """The tensor that wrote the storage of a view; None where its elements are of another size."""
        base = self._bases[_key(tensor)]
        if base.item_size != tensor.element_size():
            return None
        return tensor.as_strided(base.shape, base.stride, base.offset)

    def same(self, a: Tensor, b: Tensor) -> bool:
        return _key(a) == _key(b)

    def write(self, tensor: Tensor, label: Label, null: int) -> None:
        """Label a tensor that was just written; ``null`` is the pinned id for elements without a neuron."""
        self.keep(tensor)
        item = tensor.element_size()
        old = self._bases.get(_key(tensor))
        if old is not None and old.item_size > item:
            old = _in_parts(old, item)
        whole = tensor.numel() * tensor.element_size() >= int(tensor.untyped_storage().nbytes())
        if old is not None and not whole:
            self._bases[_key(tensor)] = _overwrite(old, _in_parts(_base(tensor, label), old.item_size), tensor, null)
        else:
            self._bases[_key(tensor)] = _base(tensor, label)

    def read(self, tensor: Tensor) -> Label:
        """The label of a view of a tracked storage, as written; see :meth:`view`."""
        return self.view(tensor).label

    def view(self, tensor: Tensor) -> View:
        """What is known of a view of a tracked storage. Raises LookupError where it shows several elements as one."""
        base, view = self._bases[_key(tensor)], _base(tensor, Label())
        here = (view.shape, view.stride, view.offset, view.item_size)
        if here not in base.views:
            if base.item_size < view.item_size:
                raise LookupError("elements that are several of those that were written")
            base.views[here] = View(_read(_in_parts(base, view.item_size), view, tensor))
        return base.views[here]

    def read_parts(self, tensor: Tensor) -> Label:
        """The label of the elements that were written, along a last dimension for each element of the view (complex
        numbers that were written as pairs)."""
        base = self._bases[_key(tensor)]
        return _read(base, _in_parts(_base(tensor, Label()), base.item_size), tensor)


def _base(tensor: Tensor, label: Label) -> Base:
    return Base(label, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), tensor.element_size())


def _in_parts(base: Base, item_size: int) -> Base:
    """The same elements as several of ``item_size`` each, told apart along a last dimension."""
    parts = base.item_size // item_size
    if parts == 1:
        return base
    label = base.label.map(lambda v: v.unsqueeze(-1))
    which = torch.arange(parts).view([1] * len(base.shape) + [parts])
    label = replace(label, positions=(*label.positions, which))
    stride = (*(n * parts for n in base.stride), 1)
    return Base(label, (*base.shape, parts), stride, base.offset * parts, item_size)


def _read(base: Base, view: Base, tensor: Tensor) -> Label:
    if (view.shape, view.stride, view.offset) == (base.shape, base.stride, base.offset):
        return base.label
    index = _digits(base, view)
    if index is None:
        base = _flat(base, tensor.untyped_storage().nbytes() // base.item_size)
        index = _digits(base, view)
    if index is None:
        raise LookupError("a view beyond the tensor that wrote its storage")
    return base.label.map(lambda v: _take(v, index))


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _digits(base: Base, view: Base) -> list[Tensor] | None:
    """The index in the base tensor of every element of the view, one broadcast array a base dimension; None where
    digits would carry, that is where a view dimension is no box of base dimensions."""
    order = sorted((d for d, n in enumerate(base.shape) if n > 1 and base.stride[d]), key=lambda d: -base.stride[d])
    start, rank = view.offset - base.offset, len(view.shape)
    if start < 0:
        return None
    first = _decompose(torch.tensor([start]), base, order)
    sides = [max(n, 1) for n in view.shape]  # a tensor without elements is labelled like one with some
    parts = [_decompose(torch.arange(n) * s, base, order) for n, s in zip(sides, view.stride, strict=True)]
    if first is None or any(p is None for p in parts):
        return None
    index = []
    for d, size in enumerate(base.shape):
        digit = first[d].view((1,) * rank)
        for v, part in enumerate(parts):
            vector = part[d]  # type: ignore[index]
            if bool(vector.any()):
                digit = digit + vector.view([-1 if i == v else 1 for i in range(rank)])
        if digit.numel() and int(digit.max()) >= size:
            return None
        index.append(digit)
    return index


def _decompose(offsets: Tensor, base: Base, order: list[int]) -> dict[int, Tensor] | None:
    zero = torch.zeros_like(offsets)
    digits, rest = dict.fromkeys(range(len(base.shape)), zero), offsets
    for d in order:
        digits[d], rest = rest // base.stride[d], rest % base.stride[d]
        if bool((digits[d] >= base.shape[d]).any()):
            return None
    return None if bool(rest.any()) else digits


def _take(vector: Tensor, index: list[Tensor]) -> Tensor:
    """``vector`` at the index, broadcast; dimensions along which the vector is constant are not read."""
    if not index:
        return vector
    rank = index[0].dim()
    used = [index[d] if n > 1 else torch.zeros((1,) * rank, dtype=torch.int64) for d, n in enumerate(vector.shape)]
    return narrow(vector[tuple(used)])


def _flat(base: Base, numel: int) -> Base:
    """The same labels spelled out element by element; elements outside the box are pinned apart."""
    inside = _spread(torch.ones((), dtype=torch.bool), base, torch.zeros(numel, dtype=torch.bool))
    label = base.label.map(lambda v: _spread(v, base, torch.zeros(numel, dtype=torch.int64)))
    outside = torch.where(inside, 0, torch.arange(1, numel + 1))
    positions = label.positions if bool(inside.all()) else (*label.positions, outside)
    return Base(replace(label, positions=positions), (numel,), (1,), 0, base.item_size)


def _spread(vector: Tensor, box: Base, full: Tensor) -> Tensor:
    full.as_strided(box.shape, box.stride, box.offset).copy_(vector.expand(box.shape))
    return full


def _overwrite(old: Base, box: Base, tensor: Tensor, null: int) -> Base:
    """The spelled-out label after writing part of a storage; old and new elements stand at positions apart."""
    numel, label = tensor.untyped_storage().nbytes() // old.item_size, box.label
    flat = _flat(old, numel).label
    positions = joint([torch.zeros(numel, dtype=torch.int64), *flat.positions])
    beyond = int(positions.max()) + 1
    _spread(joint([torch.zeros((1,) * len(box.shape), dtype=torch.int64), *label.positions]) + beyond, box, positions)
    columns = []
    for j in range(max(len(flat.columns), len(label.columns))):
        before = flat.columns[j] if j < len(flat.columns) else Column(torch.full((numel,), null))
        new = label.columns[j] if j < len(label.columns) else Column(torch.tensor(null))
        columns.append(Column(_spread(new.ids, box, before.ids.clone()), before.sources | new.sources))
    active = flat.active or label.active
    parameters = frozenset() if active else flat.parameters | label.parameters
    merged = Label((positions,), tuple(columns), flat.unit | label.unit, parameters, active)
    return Base(merged, (numel,), (1,), 0, old.item_size)


def constant_label(tensor: Tensor) -> Label:
    """A tensor that nothing of ours wrote: pinned along every dimension along which its values change, and along all
    where values are not at hand (sparse tensors, the device meta)."""
    if tensor.numel() <= 1:
        return Label()
    if tensor.layout != torch.strided or tensor.is_meta:
        return Label(positions=grid(tensor.shape, range(tensor.dim())))
    values = narrow(tensor.detach())
    return Label(positions=grid(tensor.shape, {d for d, n in enumerate(values.shape) if n > 1}))
