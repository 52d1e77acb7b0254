"""Scale and sign symmetries: factors of one neuron on the slices of parameters that touch it, which cancel.

A *slice* is all elements of one use of one parameter at one neuron: the row that makes it, its bias, the column that
reads it. A ReLU neuron may be scaled by any positive number (row and bias times s, column over s) and a tanh neuron
may change sign; which exponents cancel is found by :mod:`graphs.scaling.search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ENDS = ("target", "source")


@dataclass(frozen=True)
class Slice:
    """The elements of one use of one parameter at the entries of a group's neurons in one of its two sites.

    Args:
        parameter, source, target: the use, as in ParameterBlock.
        end: the site at which the neurons stand, "target" or "source".
        rank: which of their entries there.
        group: the group.
        path: bonds along which its neurons go with those of the group that is scaled (:mod:`graphs.scaling.links`).
    """

    parameter: int
    source: int | None
    target: int | None
    end: str
    rank: int
    group: int
    path: tuple[int, ...] = ()

    @property
    def use(self) -> tuple[int, int | None, int | None]:
        return self.parameter, self.source, self.target

    @property
    def site(self) -> int:
        site = self.target if self.end == "target" else self.source
        assert site is not None, "a slice is at an end that its use has"
        return site


Part = tuple[Slice, ...]


@dataclass(frozen=True)
class Scale:
    """Every neuron of ``group`` may multiply its ``slices``, which touch it or neurons that go with it, by
    ``factor ** exponent`` without changing the function.

    Args:
        group: the neurons.
        slices: what is multiplied.
        exponents: one whole number a slice.
        continuous: whether the factor is any positive number; otherwise it is -1.
    """

    group: int
    slices: tuple[Slice, ...]
    exponents: tuple[int, ...]
    continuous: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Scale:
        slices = tuple(Slice(**{**s, "path": tuple(s["path"])}) for s in row["slices"])
        return cls(row["group"], slices, tuple(row["exponents"]), row["continuous"])
