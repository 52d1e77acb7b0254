"""Attention and softmax over the edges by compiled code, on the threads of torch."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from graphs.compiling import CompiledCode
from graphs.kernels.attending.operands import ATTENDED, Attended

CODE = CompiledCode("attention on the CPU", Path(__file__).parent / "native" / "attention.cpp")
NAMES = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16"}
# A thread costs about as much as this many edges.
EDGES_PER_THREAD = 256


class Problem(ctypes.Structure):
    """As in native/attention_problem.h."""

    _fields_ = [
        ("rows", ctypes.c_void_p),
        ("number_of_rows", ctypes.c_int64),
        ("col", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in "nodes sources edge_width width heads threads".split()),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in "q k v e We bias out lse grad dq dk dv de dWe dbias".split()),
    ]


class SoftmaxProblem(ctypes.Structure):
    """As in native/softmax.h."""

    _fields_ = [
        ("rows", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in "number_of_rows nodes columns threads".split()),
        *((name, ctypes.c_void_p) for name in "x grad out".split()),
    ]


def forward(t: Attended, rows: Tensor, col: Tensor | None, num_nodes: int, num_edges: int) -> list[Tensor]:
    """The output ``[N, A]`` and the log of the sum of the weights ``[N, H]``, ``-inf`` where there is no edge."""
    out, lse = t.q.new_empty(num_nodes, t.q.shape[1]), t.q.new_empty(num_nodes, t.heads)
    _attend("forward", t, rows, col, (num_nodes, num_edges), {"out": out, "lse": lse})
    return [out, lse]


def backward(
    t: Attended,
    rows: Tensor,
    col: Tensor | None,
    num_nodes: int,
    num_edges: int,
    out: Tensor,
    lse: Tensor,
    grad: Tensor,
    needs: list[bool],
) -> list[Tensor]:
    """The gradients of the operands that ``needs`` marks, in order."""
    grads = {
        f"d{name}": torch.empty_like(x, memory_format=torch.contiguous_format)
        for name, x, need in zip(ATTENDED, t.tensors, needs, strict=True)
        # Those of the nodes cost little beside the edges, and are always made.
        if x is not None and (need or name in ("q", "k", "v"))
    }
    _attend("backward", t, rows, col, (num_nodes, num_edges), {"out": out, "lse": lse, "grad": grad} | grads)
    return [grads[f"d{name}"] for name, need in zip(ATTENDED, needs, strict=True) if need]


def softmax(x: Tensor, rows: Tensor, num_nodes: int, grad: Tensor | None = None) -> Tensor:
    """The softmax of x ``[E, H]``; given ``grad``, the gradient of what x is the softmax of."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        sizes = {
            "number_of_rows": len(rows),
            "nodes": num_nodes,
            "columns": x.shape[1],
            "threads": _threads(x.shape[0]),
        }
        tensors = {"rows": rows, "x": x, "grad": grad, "out": out}
        _run(f"{NAMES[x.dtype]}_softmax", SoftmaxProblem, tensors, sizes)
    return out


def _attend(
    part: str, t: Attended, rows: Tensor, col: Tensor | None, counts: tuple[int, int], made: dict[str, Tensor]
) -> None:
    sizes = {
        "number_of_rows": len(rows),
        "nodes": counts[0],
        "sources": t.k.shape[0],
        "edge_width": 0 if t.e is None else t.e.shape[1],
        "width": t.q.shape[1],
        "heads": t.heads,
        "threads": _threads(counts[1]),
    }
    tensors = {"rows": rows, "col": col, **dict(zip(ATTENDED, t.tensors, strict=True)), **made}
    stored = t.q.dtype if t.e is None else t.e.dtype
    _run(f"{NAMES[stored]}_{part}", Problem, tensors, {**sizes, "scale": t.scale})


def _threads(edges: int) -> int:
    return max(1, min(torch.get_num_threads(), edges // EDGES_PER_THREAD))


def _run(
    name: str,
    structure: type[ctypes.Structure],
    tensors: dict[str, Tensor | None],
    sizes: Mapping[str, int | float],
) -> None:
    # What is written was made contiguous, and is not copied here.
    kept = {n: x.contiguous() for n, x in tensors.items() if x is not None}
    problem = structure(**sizes, **{n: x.data_ptr() for n, x in kept.items()})
    function = getattr(CODE.load(), name)
    function.restype, function.argtypes = ctypes.c_int, [ctypes.POINTER(structure)]
    if function(ctypes.byref(problem)):
        raise MemoryError(f"there is no memory for {name} on {sizes['nodes']} nodes")
