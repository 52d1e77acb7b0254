"""Random automorphisms of a coloured structure, by colour refinement (1-WL) with individualisation.

Vertices are neurons; coloured edges say which neurons belong together (heads, halves of a gate). Refinement makes
colours stable; individualising a class and its image in step, and refining both, builds a bijection that keeps all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

Array = np.ndarray


def mix(*columns: Array | int) -> Array:
    """A 64-bit hash of integer columns (splitmix64), the same in every process."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(c) for c in columns)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i, column in enumerate(columns):
            state = state ^ (np.asarray(column).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15 * (i + 1) % 2**64))
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


@dataclass(frozen=True)
class Structure:
    """Coloured vertices with coloured directed edges.

    Args:
        colours: ``[V]`` uint64. a, b, tag: ``[M]``: an edge from vertex a to vertex b of a colour.
    """

    colours: Array
    a: Array
    b: Array
    tag: Array

    def refine(self, colours: Array) -> Array:
        """Split colours by the colours of neighbours until nothing splits; the last round sees the final partition."""
        count = -1
        while True:
            heard = np.zeros_like(colours)
            if len(self.a):
                np.add.at(heard, self.a, mix(self.tag, colours[self.b], 1))
                np.add.at(heard, self.b, mix(self.tag, colours[self.a], 2))
            colours = mix(colours, heard)
            distinct = len(np.unique(colours))
            if distinct == count:
                return colours
            count = distinct

    def among(self, kept: Array) -> Structure:
        """The structure of some vertices (a mask), in their order."""
        number = np.cumsum(kept) - 1
        inside = kept[self.a] & kept[self.b]
        return Structure(self.colours[kept], number[self.a[inside]], number[self.b[inside]], self.tag[inside])

    def refined(self) -> Structure:
        return replace(self, colours=self.refine(self.colours))

    def random_automorphism(
        self, generator: torch.Generator | None = None, counting: bool = False
    ) -> tuple[Array, float]:
        """``(image [V], log10 of the group order)``: a uniformly drawn automorphism where classes are orbits.

        Args:
            generator: draws it.
            counting: take the time to count; without it the order is only a bound from above.
        """
        image = np.empty(len(self.colours), dtype=np.int64)
        left = right = self.refined()
        here = there = np.arange(len(image))
        log10, fresh = 0.0, 1
        while len(here):
            classes = _Classes(left)
            done = classes.settled
            log10 += _log10_factorials(classes.count[done])
            loose, fixed = done[classes.number], np.isin(right.colours, classes.colour[done])
            image[here[loose]] = there[fixed][_matched(left.colours[loose], right.colours[fixed], generator)]
            left, right, here, there = left.among(~loose), right.among(~fixed), here[~loose], there[~fixed]
            if len(here):
                left, right, gained = _individualised(left, right, fresh, generator, counting)
                log10, fresh = log10 + gained, fresh + len(here)
        return image, log10


class _Classes:
    """The colours of a stable structure: vertex -> ``number``, and the ``colour`` and ``count`` of each.

    A class is ``settled`` where its vertices permute freely: no edge joins them to others that are yet to be told
    apart. To a vertex that is alone in its class, those of another class all have the same edges.
    """

    def __init__(self, whole: Structure) -> None:
        self.colour, self.number, self.count = np.unique(whole.colours, return_inverse=True, return_counts=True)
        a, b = self.number[whole.a], self.number[whole.b]
        live = (self.count[a] > 1) & (self.count[b] > 1)
        self.joined = np.unique(np.stack([a[live], b[live]], 1), axis=0)
        self.settled = np.ones(len(self.count), dtype=bool)
        self.settled[self.joined] = False

    def smallest(self) -> list[int]:
        """The smallest class of each connected component: what happens in one component is nothing to the others."""
        root = np.arange(len(self.count))
        while True:
            low = root.copy()
            np.minimum.at(low, self.joined[:, 0], root[self.joined[:, 1]])
            np.minimum.at(low, self.joined[:, 1], root[self.joined[:, 0]])
            if np.array_equal(low, root):
                break
            root = low
        order = np.lexsort((self.count, root))
        return order[np.unique(root[order], return_index=True)[1]].tolist()


def _log10_factorials(sizes: Array) -> float:
    return sum(math.lgamma(n + 1) for n in sizes.tolist()) / math.log(10)


def _matched(left: Array, right: Array, generator: torch.Generator | None) -> Array:
    """For every element of ``left`` one of the same colour in ``right``, drawn at random, each once."""
    shuffled = torch.randperm(len(right), generator=generator).numpy()
    drawn = shuffled[right[shuffled].argsort(kind="stable")]
    matched = np.empty_like(drawn)
    matched[left.argsort(kind="stable")] = drawn
    return matched


def _individualised(
    left: Structure, right: Structure, fresh: int, generator: torch.Generator | None, counting: bool
) -> tuple[Structure, Structure, float]:
    """Both sides with some vertices and their images told apart, and log10 of the number of choices there were."""
    classes = _Classes(left)
    chosen = classes.smallest()
    for attempt in (chosen, chosen[:1]):
        vertices = np.flatnonzero(np.isin(classes.number, attempt))
        images = np.flatnonzero(np.isin(right.colours, classes.colour[attempt]))
        images = images[_matched(left.colours[vertices], right.colours[images], generator)]
        if counting and not _permute_freely(left, vertices, classes.number[vertices], fresh):
            continue
        sides = _told_apart(left, right, vertices, images, fresh)
        if sides is not None:
            return *sides, _log10_factorials(classes.count[attempt])
    for image in images:
        sides = _told_apart(left, right, vertices[:1], np.array([image]), fresh)
        if sides is not None:
            return *sides, math.log10(len(vertices))
    raise AssertionError("the identity is an automorphism, so some image must fit")


def _permute_freely(whole: Structure, vertices: Array, classes: Array, fresh: int) -> bool:
    """Whether every permutation within each class is part of an automorphism: whether one that swaps its first two
    vertices, and one that moves each to the next, are. A random permutation may be one by chance."""
    together = vertices[classes.argsort(kind="stable")]
    parts = np.split(together, np.cumsum(np.unique(classes, return_counts=True)[1])[:-1])
    swapped = np.concatenate([np.concatenate([part[:2][::-1], part[2:]]) for part in parts])
    turned = np.concatenate([np.roll(part, -1) for part in parts])
    return all(_told_apart(whole, whole, together, images, fresh) is not None for images in (swapped, turned))


def _told_apart(
    left: Structure, right: Structure, vertices: Array, images: Array, fresh: int
) -> tuple[Structure, Structure] | None:
    """Colour each vertex and its image alike and alone; None where refinement tells the two sides apart."""
    names = mix(np.arange(fresh, fresh + len(vertices)), 7)
    first, second = left.colours.copy(), right.colours.copy()
    first[vertices], second[images] = names, names
    left, right = replace(left, colours=first).refined(), replace(right, colours=second).refined()
    return (left, right) if np.array_equal(np.sort(left.colours), np.sort(right.colours)) else None


def structure(colours: Array, edges: list[tuple[Array, Array, Array]]) -> Structure:
    """A Structure from lists of edge arrays (a, b, tag)."""
    a, b, tag = (np.concatenate([e[i] for e in edges]) if edges else np.zeros(0, dtype=np.int64) for i in range(3))
    return Structure(colours.astype(np.uint64), a, b, tag)
