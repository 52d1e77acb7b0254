"""The Fourier encoder on the CPU: features of a tile of edges in the first cache, in C++."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from graphs.compiling import CompiledCode
from graphs.kernels.fourier.operands import FOURIER_OPERANDS, FourierOperands

CODE = CompiledCode("the Fourier encoder", Path(__file__).parent / "native" / "fourier.cpp")
# Fewer edges than this are not worth a second thread.
_EDGES_A_THREAD = 2048
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
_GIVEN = ("rows", "kind", *FOURIER_OPERANDS, "grad")
_MADE = ("out", *(f"d_{name}" for name in FOURIER_OPERANDS if name != "frequencies"))
_SIZES = ("edges", "inputs", "count", "outputs", "number_of_rows", "number_of_nodes", "number_of_kinds", "threads")


class _Call(ctypes.Structure):
    """The struct Call of fourier.cpp."""

    _fields_ = [*((n, ctypes.c_void_p) for n in (*_GIVEN, *_MADE)), *((n, ctypes.c_int64) for n in _SIZES)]


def forward(t: FourierOperands, rows: Tensor | None, kind: Tensor | None) -> Tensor:
    """See :func:`graphs.kernels.fourier_linear`."""
    out = t.values.new_empty(len(t.values), len(t.weight))
    _call("forward", t, {"rows": rows, "kind": kind}, {"out": out})
    return out


def backward(
    t: FourierOperands, rows: Tensor | None, kind: Tensor | None, grad: Tensor, needs: list[bool]
) -> dict[str, Tensor]:
    """The gradients of the operands that ``needs`` marks, by name."""
    wanted = [name for name, need in zip(FOURIER_OPERANDS, needs, strict=True) if need]
    found = {name: torch.zeros_like(getattr(t, name), memory_format=torch.contiguous_format) for name in wanted}
    _call("backward", t, {"rows": rows, "kind": kind, "grad": grad}, {f"d_{name}": x for name, x in found.items()})
    return found


def _call(name: str, t: FourierOperands, given: dict[str, Tensor | None], made: dict[str, Tensor]) -> None:
    tensors = {**given, **dict(zip(FOURIER_OPERANDS, t.tensors, strict=True))}
    # The names keep the copies alive.
    contiguous = {key: x.contiguous() for key, x in tensors.items() if x is not None}
    edges, threads = len(t.values), max(1, min(torch.get_num_threads(), len(t.values) // _EDGES_A_THREAD))
    lengths = [len(contiguous[key]) if key in contiguous else 0 for key in ("rows", "nodes", "kinds")]
    sizes = dict(zip(_SIZES, [edges, *t.frequencies.shape[::-1], len(t.weight), *lengths, threads], strict=True))
    pointers = {key: x.data_ptr() for key, x in {**contiguous, **made}.items()}
    if getattr(CODE.load(), f"{_NAMES[t.values.dtype]}_{name}")(ctypes.byref(_Call(**pointers, **sizes))):
        raise MemoryError(f"no memory for the sums of {threads} threads over {lengths[1]} nodes")
