"""Sets of parameter axes by number, so that many classes are joined at once."""

from __future__ import annotations

import numpy as np

from graphs.labelling.distinct import numbered

Array = np.ndarray


def share_axis(a: frozenset, b: frozenset) -> bool:
    """Whether two classes have slots on one parameter axis: they are then two neurons, never one."""
    return bool(a & b)


class AxisSets:
    """Every set of axes seen, numbered from 0 for the empty one.

    >>> sets = AxisSets()
    >>> a, b = sets.number(frozenset([(0, 0)])), sets.number(frozenset([(1, 1)]))
    >>> sets[sets.join(a, b)] == {(0, 0), (1, 1)}, sets.join(a, a)
    (True, None)
    """

    def __init__(self) -> None:
        self._sets: list[frozenset] = []
        self._numbers: dict[frozenset, int] = {}
        self._joined: dict[tuple[int, int], int | None] = {}
        self.number(frozenset())

    def __getitem__(self, number: int) -> frozenset:
        return self._sets[number]

    def number(self, axes: frozenset) -> int:
        if axes not in self._numbers:
            self._numbers[axes] = len(self._sets)
            self._sets.append(axes)
        return self._numbers[axes]

    def join(self, a: int, b: int) -> int | None:
        """The union of two sets; None where they share an axis."""
        if (a, b) not in self._joined:
            left, right = self._sets[a], self._sets[b]
            self._joined[a, b] = None if share_axis(left, right) else self.number(left | right)
        return self._joined[a, b]

    def joined(self, a: Array, b: Array) -> Array | None:
        """:meth:`join` of every pair; None where one of them shares an axis."""
        pairs, index = numbered(a << 32 | b)
        unions = [self.join(pair >> 32, pair & 0xFFFFFFFF) for pair in pairs.tolist()]
        if None in unions:
            return None
        return np.array(unions, dtype=np.int64)[index]
