"""Random automorphisms of a coloured structure, by colour refinement (1-WL) with individualisation.

Vertices are neurons; coloured edges say which neurons belong together (heads, halves of a gate). Refinement makes
colours stable; individualising a class and its image in step, and refining both, builds a bijection that keeps all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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

    def random_automorphism(self, generator: torch.Generator | None = None) -> tuple[Array, float]:
        """``(image [V], log10 of the group order)``: a uniformly drawn automorphism where classes are orbits."""
        first = self.refine(self.colours)
        second, log10, fresh = first.copy(), 0.0, 1
        while True:
            colour, inverse, count = np.unique(first, return_inverse=True, return_counts=True)
            open_classes = np.flatnonzero(count > 1)
            if not len(open_classes):
                break
            chosen = open_classes[count[open_classes].argmin()]
            vertices, images = np.flatnonzero(inverse == chosen), np.flatnonzero(second == colour[chosen])
            images = images[torch.randperm(len(images), generator=generator).numpy()]
            step = self._individualise(first, second, vertices, images, fresh)
            if step is not None and self._all_orders(first, vertices, fresh):
                log10 += math.lgamma(len(vertices) + 1) / math.log(10)
            else:
                step = self._individualise_one(first, second, vertices, images, fresh)
                log10 += math.log10(len(vertices))
            first, second = step
            fresh += len(vertices)
        image = np.empty(len(first), dtype=np.int64)
        image[first.argsort(kind="stable")] = second.argsort(kind="stable")
        return image, log10

    def _all_orders(self, colours: Array, vertices: Array, fresh: int) -> bool:
        """Whether every order of these vertices extends to the rest: whether a cycle and a swap do, which generate all.
        A class too large for one random order to fit by chance need not be asked."""
        swapped = np.concatenate([vertices[1::-1], vertices[2:]])
        orders = [np.roll(vertices, 1), swapped] if 2 < len(vertices) <= 32 else []
        return all(self._individualise(colours, colours, vertices, order, fresh) is not None for order in orders)

    def _individualise(
        self, first: Array, second: Array, vertices: Array, images: Array, fresh: int
    ) -> tuple[Array, Array] | None:
        """Colour each vertex and its image alike and alone; None where refinement tells the two sides apart."""
        left, right = first.copy(), second.copy()
        names = mix(np.arange(fresh, fresh + len(vertices)), 7)
        left[vertices], right[images] = names, names
        left, right = self.refine(left), self.refine(right)
        return (left, right) if np.array_equal(np.sort(left), np.sort(right)) else None

    def _individualise_one(
        self, first: Array, second: Array, vertices: Array, images: Array, fresh: int
    ) -> tuple[Array, Array]:
        """The first vertex goes to whichever image keeps the structure."""
        for image in images:
            step = self._individualise(first, second, vertices[:1], np.array([image]), fresh)
            if step is not None:
                return step
        raise AssertionError("the identity is an automorphism, so some image must fit")


def structure(colours: Array, edges: list[tuple[Array, Array, Array]]) -> Structure:
    """A Structure from lists of edge arrays (a, b, tag)."""
    a, b, tag = (np.concatenate([e[i] for e in edges]) if edges else np.zeros(0, dtype=np.int64) for i in range(3))
    return Structure(colours.astype(np.uint64), a, b, tag)
