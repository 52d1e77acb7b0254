"""What the cells of a network do: primitives, and which state each of them reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# Name -> kind of operation and side of its kernel, in the published order.
PRIMITIVES: dict[str, tuple[str, int]] = {
    "none": ("none", 0),
    "max_pool_3x3": ("max_pool", 3),
    "avg_pool_3x3": ("avg_pool", 3),
    "skip_connect": ("skip_connect", 0),
    "sep_conv_3x3": ("sep_conv", 3),
    "sep_conv_5x5": ("sep_conv", 5),
    "dil_conv_3x3": ("dil_conv", 3),
    "dil_conv_5x5": ("dil_conv", 5),
    "conv_1x1": ("conv", 1),
    "conv_7x1_1x7": ("conv_twice", 7),
    "conv_3x3": ("conv", 3),
    "conv_5x5": ("conv", 5),
    "conv_7x7": ("conv", 7),
    "msa": ("msa", 0),
    "cse": ("cse", 0),
}
# The first four hold no parameters (a skip only where it halves the map).
WEIGHTLESS = tuple(PRIMITIVES)[:4]

Op = tuple[str, int]


@dataclass(frozen=True)
class Genotype:
    """Both kinds of cells; https://arxiv.org/abs/1806.09055, with the primitives of https://arxiv.org/abs/2110.13100.

    States 0 and 1 are the outputs of the last cell but one and of the last cell. Step i makes state 2 + i, the sum of
    two primitives on earlier states. The output of the cell is the concatenation of some states of steps.

    Args:
        normal, reduce: ``(primitive, state)``, two a step, of the cells that keep the map and of those that halve it.
        normal_concat, reduce_concat: the states that make the output.

    Raises ValueError for an unknown primitive and for states that are not there.

    >>> vit = Genotype((("none", 0), ("msa", 1)), (2,), (("none", 0), ("avg_pool_3x3", 1)), (2,))
    >>> vit.steps, vit.has("msa"), Genotype.from_dict(vit.to_dict()) == vit
    (1, True, True)
    """

    normal: tuple[Op, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Op, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, ops, concat in (
            ("normal", self.normal, self.normal_concat),
            ("reduce", self.reduce, self.reduce_concat),
        ):
            _check_cell(name, ops, concat)
        if len(self.normal_concat) != len(self.reduce_concat):
            raise ValueError(
                f"expected as many states in normal_concat as in reduce_concat, got {self.normal_concat} and "
                f"{self.reduce_concat}; the next cell takes either output"
            )

    @property
    def steps(self) -> int:
        """Steps of a normal cell."""
        return len(self.normal) // 2

    @property
    def names(self) -> tuple[str, ...]:
        """The primitives of both cells, in order."""
        return tuple(name for name, _ in self.normal + self.reduce)

    def has(self, *primitives: str) -> bool:
        """Whether either cell has one of these."""
        return any(name in primitives for name in self.names)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, with the published keys."""
        return {
            "normal": [list(op) for op in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(op) for op in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Genotype:
        """The genotype that ``to_dict`` wrote. Raises ValueError for other keys or values."""
        keys = ("normal", "normal_concat", "reduce", "reduce_concat")
        if not isinstance(row, Mapping) or set(row) != set(keys):
            raise ValueError(f"a genotype has the keys {', '.join(keys)}, got {row!r}")
        try:
            cells = [tuple((str(name), int(state)) for name, state in row[key]) for key in keys[::2]]
            concats = [tuple(int(state) for state in row[key]) for key in keys[1::2]]
        except (TypeError, ValueError) as error:
            raise ValueError(f"a genotype has pairs (primitive, state) and lists of states, got {row!r}") from error
        return cls(cells[0], concats[0], cells[1], concats[1])


def _check_cell(name: str, ops: tuple[Op, ...], concat: tuple[int, ...]) -> None:
    if not ops or len(ops) % 2:
        raise ValueError(f"{name}: expected two primitives a step and one step or more, got {len(ops)} primitives")
    for number, (primitive, state) in enumerate(ops):
        if primitive not in PRIMITIVES:
            raise ValueError(f"{name}: unknown primitive {primitive!r}; choose one of {', '.join(PRIMITIVES)}")
        if not 0 <= state < 2 + number // 2:
            raise ValueError(
                f"{name}: expected step {number // 2} to read a state below {2 + number // 2}, got {state}"
            )
    made = range(2, 2 + len(ops) // 2)
    if not concat or len(set(concat)) < len(concat) or not set(concat) <= set(made):
        raise ValueError(f"{name}_concat: expected different ones of the states {list(made)}, got {list(concat)}")


@dataclass(frozen=True)
class Wiring:
    """What of a cell is computed.

    Args:
        alive: of each op, whether the output depends on it.
        reads: of each of the cell's two inputs, whether the output depends on it.
        missing: states of the concatenation that nothing is summed up to; they are zeros.
        exists: whether there is an output at all.
    """

    alive: tuple[bool, ...]
    reads: tuple[bool, bool]
    missing: tuple[int, ...]
    exists: bool


@lru_cache(maxsize=4096)
def wiring(ops: tuple[Op, ...], concat: tuple[int, ...], given: tuple[bool, bool]) -> Wiring:
    """The Wiring of a cell whose inputs are there or not.

    >>> wiring((("none", 0), ("msa", 1)), (2,), (True, True))
    Wiring(alive=(False, True), reads=(False, True), missing=(), exists=True)
    """
    exists = list(given)
    for i in range(0, len(ops), 2):
        exists.append(any(_works(op, exists) for op in ops[i : i + 2]))
    needed = {state for state in concat if exists[state]}
    alive = [False] * len(ops)
    for i in reversed(range(len(ops))):
        if 2 + i // 2 in needed and _works(ops[i], exists):
            alive[i] = True
            needed.add(ops[i][1])
    missing = tuple(state for state in concat if not exists[state])
    return Wiring(tuple(alive), (0 in needed, 1 in needed), missing, len(missing) < len(concat))


def _works(op: Op, exists: list[bool]) -> bool:
    return op[0] != "none" and exists[op[1]]
