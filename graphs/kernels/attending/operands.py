"""The tensors of attention over the edges, and whether they fit each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphs.kernels.sweep.program import DTYPES
from graphs.kernels.table import BlockTable

# Of one part (q, k, m or v) for one head; the kernels hold up to four, twice.
BYTES_OF_MAP = 2**13
ATTENDED = ("q", "k", "v", "e", "We", "bias")


@dataclass(frozen=True)
class Attended:
    """What attention reads; see :func:`graphs.kernels.attention` for equations and shapes."""

    q: Tensor
    k: Tensor
    v: Tensor
    e: Tensor | None
    We: Tensor | None
    bias: Tensor | None
    heads: int
    scale: float

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors in the order of :data:`ATTENDED`."""
        return self.q, self.k, self.v, self.e, self.We, self.bias

    @property
    def channels(self) -> int:
        """Of a head."""
        return self.q.shape[1] // self.heads

    @property
    def edge_width(self) -> int:
        return 0 if self.e is None else self.e.shape[1]

    def fits_a_gpu(self) -> bool:
        """Whether parts of the map for one head leave a program of a GPU memory for its edges."""
        padded = [max(16, 1 << (width - 1).bit_length()) for width in (self.channels, self.edge_width or 1)]
        return padded[0] * padded[1] * self.q.element_size() <= BYTES_OF_MAP

    def in_compute_dtype(self) -> Attended:
        """All but the edges in what sums are made in: float64 for float64 edges (nodes, without any), else float32."""
        stored = self.q.dtype if self.e is None else self.e.dtype
        dtype = torch.float64 if stored == torch.float64 else torch.float32
        moved = {n: x.to(dtype) for n, x in zip(ATTENDED, self.tensors, strict=True) if x is not None and n != "e"}
        return replace(self, **moved)


def check_attended(t: Attended, table: BlockTable) -> None:
    """Raise ValueError that names the operand, what was expected and what arrived."""
    given = {name: x for name, x in zip(ATTENDED, t.tensors, strict=True) if x is not None}
    for name, x in given.items():
        if x.dtype not in DTYPES or x.layout != torch.strided:
            raise ValueError(f"expected {name} dense and of {', '.join(map(str, DTYPES))}, got {x.dtype}, {x.layout}")
        if x.device != table.count.device:
            raise ValueError(f"expected {name} on {table.count.device}, where the table is, got {x.device}")
    if (t.e is None) != (t.We is None) or (t.bias is not None and t.We is None):
        raise ValueError(f"expected e and We both or neither, and bias with them only, got {', '.join(given)}")
    if t.q.dim() != 2 or (t.e is not None and t.e.dim() != 2):
        wrong = "q" if t.q.dim() != 2 else "e"
        raise ValueError(f"expected {wrong} of two dimensions, got shape {list(given[wrong].shape)}")
    for name, shape in _expected_shapes(t, table).items():
        if name in given and tuple(given[name].shape) != shape:
            raise ValueError(f"expected {name} of shape {list(shape)}, got {list(given[name].shape)}")
    if t.heads < 1 or t.q.shape[1] % t.heads or not t.q.shape[1]:
        raise ValueError(f"expected heads that divide the width of q, {t.q.shape[1]}, got {t.heads}")


def _expected_shapes(t: Attended, table: BlockTable) -> dict[str, tuple[int, ...]]:
    A, D = t.q.shape[1], 0 if t.e is None else t.e.shape[1]
    sources = (table.sources, A)
    nodes = {"q": (table.num_nodes, A), "k": sources, "v": sources}
    return {**nodes, "e": (table.num_edges, D), "We": (D, 4 * A), "bias": (4 * A,)}
