"""The names that the numbers of a DeepNets-1M file stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphs.deepnets.published import NORMS, PRIMITIVES, Names
from graphs.op_graph import ComputationGraph, OpNode

LIMIT = 2**16
KEYS = ("primitives_ext", "unique_op_names")
IN_CELL = re.compile(r"cells\.(\d+)\.(.+)")
# Of a word of a file the size of its kernel: conv_1x1, sep_conv_3x3.
SIZE = re.compile(r"_\d+x\d+$")


class Vocabulary:
    """The names of a file that is written, numbered as they come."""

    def __init__(self) -> None:
        self.primitives: dict[str, int] = {}
        self.ops: dict[str, int] = {}

    def rows(self, graph: ComputationGraph, cells: int) -> np.ndarray:
        """``[N, 3]`` uint16: numbers of a node's primitive, cell and operation."""
        cell, found = 0, []
        for node in graph.nodes:
            name = next(iter(node.parameters), node.name)
            inside = IN_CELL.fullmatch(name)
            if inside:
                cell, name = int(inside[1]), inside[2]
            elif name.startswith("classifier"):
                cell = cells - 1
            word = "conv_1x1" if _is_pointwise(node) else node.name
            found.append([_number(self.primitives, word), cell, _number(self.ops, name)])
        return np.array(found, dtype=np.uint16)

    def to_dict(self) -> dict[str, Any]:
        """As the meta file holds them."""
        numbered = ({str(i): word for word, i in words.items()} for words in (self.primitives, self.ops))
        return dict(zip(KEYS, numbered, strict=True))


@dataclass(frozen=True)
class Words:
    """What the numbers of a file mean.

    Args:
        primitives, ops: number -> name.
    """

    primitives: Mapping[int, str]
    ops: Mapping[int, str]

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Words:
        """Those of a meta file. Raises ValueError where they are not there."""
        try:
            return cls(*({int(i): str(word) for i, word in row[key].items()} for key in KEYS))
        except (KeyError, AttributeError, ValueError, TypeError) as error:
            raise ValueError(f"expected {' and '.join(KEYS)}, number -> name, got {row!r:.200}") from error

    def read(self, row: Sequence[int]) -> tuple[str, int, str]:
        """Primitive, cell and operation of a row of numbers. Raises ValueError for a number without a name."""
        primitive, cell, op = row
        if primitive not in self.primitives or op not in self.ops:
            raise ValueError(f"no names for the primitive {primitive} or the operation {op} in the meta file")
        return self.primitives[primitive], cell, self.ops[op]


def primitive_of(word: str) -> str:
    """The primitive that a word of a file means.

    >>> primitive_of("sep_conv_3x3"), primitive_of("conv_1x1"), primitive_of("fc-b")
    ('sep_conv', 'conv', 'bias')
    """
    name = "bias" if word == "fc-b" else SIZE.sub("", word)
    if name not in PRIMITIVES:
        raise ValueError(f"unknown primitive {word!r}; expected one of {', '.join(PRIMITIVES)}")
    return name


def parameters_of(primitive: str, cell: int, op: str, shapes: Mapping[str, tuple[int, ...]]) -> Names:
    """The parameters of a node, by the name of its operation.

    Args:
        primitive, cell, op: what a file says of it.
        shapes: of all parameters of the network.
    """
    if primitive not in (*NORMS, "sep_conv", "dil_conv", "conv", "bias", "pos_enc"):
        return {}
    name = _state_dict_entry(cell, op)
    names = [name, f"{name.removesuffix('weight')}bias"] if primitive in NORMS else [name]
    for wanted in names:
        if wanted not in shapes:
            raise ValueError(f"the network has no parameter {wanted!r}, which a node {primitive!r} is to hold")
    return {wanted: shapes[wanted] for wanted in names}


def _state_dict_entry(cell: int, op: str) -> str:
    """The parameter that a published name means. Some leave out what their code lays between."""
    if op.startswith(("classifier", "stem", "pos_enc")):
        return op
    op = f"{op}weight" if op.endswith("to_out.0.") else op
    return f"cells.{cell}." + re.sub(r"^(_ops\.\d+)\.(\d)", r"\1.op.\2", op)


def _is_pointwise(node: OpNode) -> bool:
    shape = next(iter(node.parameters.values()), ())
    return node.name == "conv" and all(n == 1 for n in shape[2:])


def _number(words: dict[str, int], word: str) -> int:
    number = words.setdefault(word, len(words))
    if number >= LIMIT:
        raise ValueError(f"expected at most {LIMIT} different names in a file, got one more; write several files")
    return number
