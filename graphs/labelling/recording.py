"""What one forward pass leaves behind: places of activations, uses of parameters, links between places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphs.labelling.classes import Axis
from graphs.labelling.labels import Source


@dataclass
class Place:
    """One axis of neurons at one point of the computation.

    Args:
        ids: neuron ids in the order of the activation's channel axis; None for pinned entries that have no id (inputs).
        size: number of entries.
        step: the operation that wrote it, such as ``relu`` or ``mul(30.0)``.
        kind: hidden, input, vocabulary or pinned, as far as the operation tells.
        module: path of the module that was running.
        seen: the torch call that returned it and its dimensions in that tensor (:mod:`graphs.labelling.calls`), if
            one did.
        is_output: whether the network returns it.
    """

    ids: Tensor | None
    size: int
    step: str
    kind: str
    module: str
    seen: tuple[int, tuple[int, ...]] | None = None
    is_output: bool = False


@dataclass(frozen=True)
class Use:
    """One use of one parameter.

    Args:
        parameter: number of the state_dict entry.
        kind: what it is, by the argument through which it entered.
        slots: the ids of each of its axes that took part, in any order.
        source_axes: the axes that read from the source place; the others write at the destination.
        source, destination: places; no source for a node or graph feature, no destination for a graph feature.
    """

    parameter: int
    kind: str
    slots: dict[Axis, Tensor]
    source_axes: frozenset[Axis]
    source: int | None
    destination: int | None


@dataclass
class Latent:
    """Neurons contracted inside a function of parameters alone; a place once something reads the result."""

    ids: Tensor
    place: int | None = None


class Link(NamedTuple):
    """A value goes from a place, or one part of it, to another place without a weight."""

    source: int
    target: int
    part: int | None = None


@dataclass
class Recording:
    """Everything a pass tells; indices are positions in the lists.

    Args:
        places, uses, links: in the order of the computation; links carry no weight.
        parts: ids of the links that leave only a part of a place.
        axis_ids: ids of each parameter axis in slot order.
        pinned: how many neurons were pinned for want of a rule, by operation and module.
        latent: neurons inside functions of parameters alone (low-rank weights), by the axes contracted there.
    """

    places: list[Place] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    parts: list[Tensor] = field(default_factory=list)
    axis_ids: dict[Axis, Tensor] = field(default_factory=dict)
    pinned: dict[str, int] = field(default_factory=dict)
    latent: dict[Axis, Latent] = field(default_factory=dict)
    _links: dict[Link, None] = field(default_factory=dict)
    _keyed: dict[tuple, int] = field(default_factory=dict)
    _part_of: dict[tuple, int] = field(default_factory=dict)

    @property
    def links(self) -> list[Link]:
        return list(self._links)

    def place(self, ids: Tensor | None, size: int, step: str, kind: str, module: str) -> int:
        self.places.append(Place(ids, size, step, kind, module))
        return len(self.places) - 1

    def pinned_place(self, key: tuple, size: int, kind: str, module: str) -> int:
        """The one place of pinned entries for this key: an input read by two layers is one place."""
        key = (*key, size)
        if key not in self._keyed:
            self._keyed[key] = self.place(None, size, "", kind, module)
        return self._keyed[key]

    def place_of(self, latent: Latent, module: str) -> int:
        if latent.place is None:
            latent.place = self.place(latent.ids, len(latent.ids), "", "hidden", module)
        return latent.place

    def part(self, place: int, ids: Tensor) -> Source:
        """The source for some of the entries of a place (queries among fused queries, keys and values)."""
        key = (place, ids.numpy().tobytes())
        if key not in self._part_of:
            self._part_of[key] = len(self.parts)
            self.parts.append(ids)
        return ("place", place, self._part_of[key])

    def link(self, source: Source, target: int) -> None:
        """Note that a value at ``source`` enters the place ``target`` without a weight."""
        link = Link(source[1], target, source[2] if len(source) > 2 else None)
        if link.source != target:
            self._links[link] = None


def place_sources(sources: frozenset[Source]) -> list[Source]:
    """The places among the sources, in order, with their parts."""
    return sorted(s for s in sources if s[0] == "place")


def place_numbers(sources: frozenset[Source]) -> list[int]:
    """The places among the sources, in order."""
    return sorted({s[1] for s in sources if s[0] == "place"})


def in_order(ids: Tensor) -> Tensor:
    """The distinct ids in order of first appearance."""
    flat = ids.reshape(-1).numpy()
    first = np.unique(flat, return_index=True)[1]
    return torch.from_numpy(flat[np.sort(first)])
