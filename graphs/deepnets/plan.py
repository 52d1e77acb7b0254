"""What a whole network is: its keywords, checked, with the width, the inputs and the live operations of every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphs.deepnets.genotype import Genotype, Op, Wiring, wiring

# Statistics of the batch, as graph hypernetworks are trained; running statistics; no norm.
NORMS = ("bn", "bn-track", None)
HEADS = 8
DEFAULT = Genotype((("sep_conv_3x3", 0), ("skip_connect", 1)), (2,), (("max_pool_3x3", 0), ("conv_1x1", 1)), (2,))


@dataclass(frozen=True)
class CellPlan:
    """One cell.

    Args:
        index: its number.
        before: channels of its two inputs.
        first: channels that its primitives take of an input. width: channels of every state.
        halves: whether it halves the map. halve_first: whether its first input has to be halved.
        ops, concat, wiring: what it computes.
    """

    index: int
    before: tuple[int, int]
    first: int
    width: int
    halves: bool
    halve_first: bool
    ops: tuple[Op, ...]
    concat: tuple[int, ...]
    wiring: Wiring

    @property
    def live(self) -> list[tuple[int, str, int, int, int]]:
        """Of every live op its number, primitive, state, channels taken and stride."""
        return [
            (i, name, state, self.first if state < 2 else self.width, 2 if self.halves and state < 2 else 1)
            for i, (name, state) in enumerate(self.ops)
            if self.wiring.alive[i]
        ]


@dataclass(frozen=True)
class Plan:
    """The keywords of a network; see :class:`graphs.deepnets.network.DeepNet` for what they mean.

    Raises ValueError for values that cannot be, and for a network whose output depends on no input.
    """

    input_shape: Sequence[int] = (3, 32, 32)
    outputs: int = 10
    genotype: Genotype = DEFAULT
    C: int = 16
    n_cells: int = 4
    ks: int = 3
    stem_type: int = 0
    stem_pool: bool = False
    norm: str | None = "bn"
    preproc: bool = True
    C_mult: int = 2
    fc_layers: int = 1
    fc_dim: int = 0
    glob_avg: bool = True
    large_images: bool = False
    dropout: float = 0.5

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Plan:
        """That of the keywords of a network, as JSON holds them."""
        told = arguments.get("genotype")
        return cls(**{**arguments, "genotype": DEFAULT if told is None else Genotype.from_dict(told)})

    def __post_init__(self) -> None:
        for name, choices in (("norm", NORMS), ("stem_type", (0, 1)), ("C_mult", (1, 2)), ("ks", (3, 5, 7))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")
        fewest = HEADS if self.is_vit else 2
        if self.C % 2 or not fewest <= self.C:
            raise ValueError(f"C: expected an even number of channels, at least {fewest}, got {self.C}")
        if self.n_cells < 1 or self.fc_layers < 1 or (self.fc_layers > 1 and self.fc_dim < 1):
            raise ValueError(
                "expected n_cells and fc_layers of at least 1, and an fc_dim where fc_layers is more, got "
                f"n_cells {self.n_cells}, fc_layers {self.fc_layers}, fc_dim {self.fc_dim}"
            )
        if not self.preproc and (self.C_mult > 1 or len(self.genotype.normal_concat) > 1):
            raise ValueError(
                "preproc: cells that concatenate states or widen (C_mult 2) need it, got "
                f"{len(self.genotype.normal_concat)} states, C_mult {self.C_mult}; set preproc to true"
            )
        if len(self.input_shape) != 3 or min(self.input_shape) < 1 or min(self.last_map) < 1:
            raise ValueError(
                "input_shape: expected channels, height, width, each at least 1 (patches of large images 16), got "
                f"{list(self.input_shape)}"
            )
        if not self._wirings[-1].exists:
            raise ValueError("genotype: the output depends on no input; use fewer 'none'")

    @property
    def is_vit(self) -> bool:
        """Whether the stem makes patches with positions and no cell halves the map."""
        return self.genotype.has("msa")

    @property
    def stem_width(self) -> int:
        """Channels of what the stem returns."""
        wide = self.preproc and not self.large_images and not self.is_vit and self.stem_type == 0
        return self.C * (3 if wide else 1)

    @property
    def patch(self) -> int:
        """Side and stride of the patches of a network with attention."""
        return 16 if self.large_images else 3

    def reduces(self, cell: int) -> bool:
        """Whether a cell is one of the two in which the network widens."""
        return cell > 0 and cell in (self.n_cells // 3, 2 * self.n_cells // 3)

    @cached_property
    def _wirings(self) -> list[Wiring]:
        found: list[Wiring] = []
        given = (True, True)
        for i in range(self.n_cells):
            found.append(wiring(*self._cell(i), given))
            given = (given[1], found[-1].exists)
        return found

    def _cell(self, i: int) -> tuple[tuple[Op, ...], tuple[int, ...]]:
        gene = self.genotype
        return (gene.reduce, gene.reduce_concat) if self.reduces(i) else (gene.normal, gene.normal_concat)

    @cached_property
    def needed(self) -> frozenset[int]:
        """The cells whose outputs the network's output depends on; -1 and -2 are the stem's second and first."""
        needed = {self.n_cells - 1}
        for i in reversed(range(self.n_cells)):
            if i in needed:
                needed |= {i - 2 + n for n, reads in enumerate(self._wirings[i].reads) if reads}
        return frozenset(needed)

    @cached_property
    def cells(self) -> tuple[CellPlan, ...]:
        """Every needed cell."""
        found, width, before = [], self.C, (self.stem_width, self.stem_width)
        states = len(self.genotype.normal_concat)
        for i, wires in enumerate(self._wirings):
            width *= self.C_mult if self.reduces(i) else 1
            if i in self.needed:
                first = width if self.preproc else before[1]
                halves = self.reduces(i) and not self.is_vit
                halve_first = (self.reduces(i - 1) if i else self.stem_type == 1) and not self.is_vit
                found.append(CellPlan(i, before, first, width, halves, halve_first, *self._cell(i), wires))
            before = (before[1], states * width)
        return tuple(found)

    @property
    def last_width(self) -> int:
        """Channels of the last cell's output."""
        return self.cells[-1].width * len(self.cells[-1].concat)

    @property
    def last_map(self) -> tuple[int, int]:
        """Height and width of the last cell's output."""
        return tuple(self._last_side(n) for n in self.input_shape[1:])  # pyright: ignore[reportReturnType]

    def _last_side(self, side: int) -> int:
        if self.is_vit:
            return (side + 2 * (self.patch < 4) - self.patch) // self.patch + 1
        halvings = sum(self.reduces(i) for i in range(self.n_cells)) + (self.stem_type == 1 or self.stem_pool)
        return -(-side // 2 ** (halvings + 2 * self.large_images))
