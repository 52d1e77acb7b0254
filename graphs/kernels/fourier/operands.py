"""The tensors that the Fourier encoder reads, and whether they fit each other."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from graphs.kernels.sweep.program import DTYPES
from graphs.kernels.table import BlockTable


@dataclass(frozen=True)
class FourierOperands:
    """The differentiable tensors of a call; all but the values in its compute dtype.

    Shapes: values ``[E, C]``, frequencies ``[f, C]``, weight ``[D, 2 f]``, bias ``[D]``, nodes ``[N, D]``, kinds
    ``[K, D]``.
    """

    values: Tensor
    frequencies: Tensor
    weight: Tensor
    bias: Tensor
    nodes: Tensor | None = None
    kinds: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors in the order of :data:`FOURIER_OPERANDS`."""
        return tuple(getattr(self, name) for name in FOURIER_OPERANDS)

    @property
    def compute_dtype(self) -> torch.dtype:
        """What sums are made in: float64 for float64, else float32."""
        return torch.float64 if self.values.dtype == torch.float64 else torch.float32


FOURIER_OPERANDS = tuple(field.name for field in fields(FourierOperands))


def check_fourier(t: FourierOperands, table: BlockTable | None, kind: Tensor | None) -> None:
    """Raise ValueError that names the tensor, what was expected and what arrived."""
    _check_values(t)
    if t.frequencies.requires_grad:
        raise ValueError(
            "expected frequencies without gradient, got some that require it; train the linear map instead"
        )
    for name, given, place, where in (("nodes", t.nodes, table, "table"), ("kinds", t.kinds, kind, "kind")):
        if (given is None) != (place is None):
            raise ValueError(f"expected {name} and {where} together, got {where if given is None else name} alone")
    for name, shape in _expected_shapes(t, table).items():
        value = getattr(t, name)
        if tuple(value.shape) != shape:
            raise ValueError(f"expected {name} of shape {list(shape)}, got {list(value.shape)}")
        if value.device != t.values.device:
            raise ValueError(f"expected {name} on {t.values.device}, where the values are, got {value.device}")
    _check_places(t, table, kind)


def _check_values(t: FourierOperands) -> None:
    if t.values.layout != torch.strided:
        raise ValueError(f"expected dense values, got layout {t.values.layout}")
    if t.values.dtype not in DTYPES:
        raise ValueError(f"expected values of {', '.join(map(str, DTYPES))}, got {t.values.dtype}")
    for name in ("values", "frequencies", "weight"):
        if getattr(t, name).dim() != 2:
            raise ValueError(f"expected {name} with two axes, got shape {list(getattr(t, name).shape)}")


def _expected_shapes(t: FourierOperands, table: BlockTable | None) -> dict[str, tuple[int, ...]]:
    count, width = t.frequencies.shape[0], t.weight.shape[0]
    shapes: dict[str, tuple[int, ...]] = {
        "frequencies": (count, t.values.shape[1]),
        "weight": (width, 2 * count),
        "bias": (width,),
    }
    if t.nodes is not None and table is not None:
        shapes["nodes"] = (table.num_nodes, width)
    if t.kinds is not None:
        shapes["kinds"] = (len(t.kinds) if t.kinds.dim() else 0, width)
    return shapes


def _check_places(t: FourierOperands, table: BlockTable | None, kind: Tensor | None) -> None:
    edges = t.values.shape[0]
    if table is not None and table.num_edges != edges:
        raise ValueError(
            f"expected a table of {edges} edges, as many as there are values, got one of {table.num_edges}"
        )
    if table is not None and table.count.device != t.values.device:
        raise ValueError(f"expected a table on {t.values.device}, where the values are, got {table.count.device}")
    if kind is not None and (kind.shape != (edges,) or kind.dtype != torch.int64):
        raise ValueError(f"expected kind as {edges} int64, got {tuple(kind.shape)} of {kind.dtype}")
    if kind is not None and kind.device != t.values.device:
        raise ValueError(f"expected kind on {t.values.device}, where the values are, got {kind.device}")


def check_kinds(kind: Tensor, number: int) -> None:
    """Raise ValueError for a kind of edge that does not exist."""
    low, high = kind.aminmax() if len(kind) else (kind.new_zeros(()), kind.new_zeros(()))
    if len(kind) and (int(low) < 0 or int(high) >= number):
        outside = int(low) if int(low) < 0 else int(high)
        raise ValueError(f"kind names row {outside}, outside the {number} rows of kinds")
