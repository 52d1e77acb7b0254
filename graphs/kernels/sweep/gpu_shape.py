"""What a Triton kernel is compiled for: the program, widths and tile of a sweep, and the pointers that it is given."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import triton
import triton.language as tl

from graphs.kernels.sweep.program import Operands, Program


@dataclass(frozen=True)
class Shape:
    """All choices of a kernel: one of these is one compilation, whatever the numbers of edges and nodes.

    Args:
        program: what the sweep does. C, D, H, G: widths of raw weights, edges, updates and messages. K: updates.
        precision: of matrix products: "ieee", "tf32", "tf32x3" or "bf16". double: whether sums are float64.
        order: how edges are found, see :mod:`graphs.kernels.sweep.gpu_plan`. W: edges of a piece. T: edges of a tile.
    """

    program: Program
    C: int
    D: int
    H: int
    G: int
    K: int
    precision: str
    double: bool
    order: str = "rows"
    W: int = 32
    T: int = 64

    @classmethod
    def of(cls, program: Program, t: Operands, precision: str) -> Shape:
        """The shape of a sweep over these operands, before its tile is chosen."""
        hidden = t.edge_width() if t.Wo is None or t.Wu is None else t.Wu.shape[2]
        widths = t.e.shape[1], t.edge_width(), hidden, t.message_width(program), t.number_of_updates
        return cls(program, *widths, precision, t.e.dtype.itemsize == 8)

    # What the kernels ask for. Triton compares strings and numbers, it does not search tuples.

    @property
    def encoded(self) -> bool:
        return self.program.encoder == "relu"

    @property
    def message(self) -> str:
        return self.program.message

    @property
    def act(self) -> str:
        return self.program.act

    @property
    def update_act(self) -> str:
        return self.program.update_act

    @property
    def residual(self) -> bool:
        return self.program.residual

    @property
    def keep(self) -> bool:
        return self.program.keep

    @property
    def old(self) -> bool:
        return self.program.reads == "old"

    @property
    def reduces(self) -> bool:
        return bool(self.program.statistics)

    @property
    def sum(self) -> bool:
        return "sum" in self.program.statistics

    @property
    def square(self) -> bool:
        return "square" in self.program.statistics

    @property
    def max(self) -> bool:
        return "max" in self.program.statistics

    @property
    def min(self) -> bool:
        return "min" in self.program.statistics

    @property
    def product(self) -> str:
        """What Triton calls the input precision."""
        wide = max(self.DP, self.HP, self.GP) > 32
        return "tf32x3" if wide and self.precision == "ieee" else self.precision

    @property
    def dtype(self) -> tl.dtype:
        return tl.float64 if self.double else tl.float32

    @property
    def into(self) -> bool:
        """Whether pieces meet in their destination, not in their source."""
        return self.order in ("rows", "listed rows")

    @property
    def rows(self) -> int:
        """Pieces of a tile."""
        return self.T // self.W

    @property
    def CP(self) -> int:
        return padded(self.C)

    @property
    def DP(self) -> int:
        """D as the tensor cores want it, a power of two of at least 16."""
        return padded(self.D)

    @property
    def HP(self) -> int:
        return padded(self.H)

    @property
    def GP(self) -> int:
        return padded(self.G)

    @property
    def GW(self) -> int:
        """Columns of We."""
        return 2 * self.G if self.program.message == "film" else self.G


@dataclass(frozen=True)
class Pack:
    """The tile of a kernel that knows no program. Args: T: rows of a tile. W: rows of a piece."""

    T: int
    W: int

    @property
    def rows(self) -> int:
        return self.T // self.W


def padded(width: int) -> int:
    """The width of a tile that holds ``width`` features."""
    return max(16, triton.next_power_of_2(width))


# Triton reads named tuples of pointers, also Operands; None among them is a choice of the compilation.
Columns = namedtuple("Columns", ["first", "other", "stride", "count", "node", "slot", "ends", "edges"])
Statistics = namedtuple("Statistics", ["sum", "square", "max", "max_ties", "min", "min_ties"])
