"""The sweep on the CPU: one tile program in C++, with the edges of a thread in its first cache."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphs.compiling import CompiledCode
from graphs.kernels.sweep.program import ACTIVATIONS, ENCODERS, EXTREMES, MESSAGES, OPERANDS, Operands, Program

CODE = CompiledCode("the message-passing kernels", Path(__file__).parent / "native" / "sweep.cpp")
# Widths are padded to whole vectors of the widest registers, 16 floats.
LANES = 16
# Fewer numbers than this on the edges are not worth a second thread.
_NUMBERS_A_THREAD = 1 << 16
_NAMES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
_STATISTICS = ("sum", "square", "max", "max_ties", "min", "min_ties")
_GRADIENTS = ("enc_a", "enc_b", "U", "V", "Wu", "Wo", "bo", "P", "Q", "We", "be")


def forward(
    program: Program, t: Operands, rows: Tensor, col: Tensor | None, num_nodes: int, out: Tensor | None = None
) -> list[Tensor]:
    """See :func:`graphs.kernels.sweep.operators.sweep`: e_K if kept, statistics, how many messages attain extremes.

    ``out`` is where e_K goes; it may be e.
    """
    call = _Call(program, t, rows, col, num_nodes)
    kept = t.e.new_empty(t.e.shape[0], t.edge_width()) if program.keep and out is None else out
    ties = [f"{name}_ties" for name in program.statistics if name in EXTREMES]
    found = {name: call.node_states() for name in (*program.statistics, *ties)}
    call("forward", _pointer(kept), _pointers(_STATISTICS, found))
    width = t.message_width(program)
    nodes = [x if width == call.G else x[:, :width].contiguous() for x in found.values()]
    return nodes if kept is None else [kept, *nodes]


def backward(
    program: Program,
    t: Operands,
    rows: Tensor,
    col: Tensor | None,
    num_nodes: int,
    found: list[Tensor],
    grad_edges: Tensor | None,
    grad_nodes: list[Tensor],
    needs: list[bool],
) -> list[Tensor]:
    """See :func:`graphs.kernels.sweep.operators.sweep`: the gradients of the operands that ``needs`` marks."""
    call = _Call(program, t, rows, col, num_nodes)
    wanted = [name for name, need in zip(OPERANDS, needs, strict=True) if need]
    gradients = call.gradients(wanted)
    d_edges = torch.empty_like(call.e) if "e" in wanted else None
    grad_edges = None if grad_edges is None else grad_edges.contiguous()
    call(
        "backward",
        call.statistics(found, grad_nodes),
        _pointer(grad_edges),
        _pointers(_GRADIENTS, gradients),
        _pointer(d_edges),
    )
    # The bias of a sum over nodes has the sum of their gradients.
    sums = {"be": "Q", "bu": "V"}
    values = {**gradients, **{b: gradients[of].sum(-2) for b, of in sums.items() if b in wanted and b not in gradients}}
    first = [] if d_edges is None else [d_edges]
    return [*first, *(call.unpadded(n, values[n]) for n in wanted if n != "e")]


class _Call:
    """The arguments that forward and backward share, and the memory behind their pointers."""

    def __init__(self, program: Program, t: Operands, rows: Tensor, col: Tensor | None, num_nodes: int) -> None:
        self.program, self.t = program, t
        self.rows, self.col, self.num_nodes = rows.contiguous(), None if col is None else col.contiguous(), num_nodes
        self.e = t.e.contiguous()
        self.hidden = 0 if t.Wu is None else t.Wu.shape[2]
        self.D, self.H, self.G = (_whole(n) for n in (t.edge_width(), self.hidden, t.message_width(program)))
        sources = [x.shape[-2] for x in (t.U, t.P) if x is not None]
        self.sources = sources[0] if sources else num_nodes
        self.shapes = self._shapes()
        self.operands = {n: self.padded(n, x) for n, x in zip(OPERANDS[1:], t[1:], strict=True) if x is not None}

    def __call__(self, name: str, *arguments: Any) -> None:
        function = _entry(self.e.dtype, name)
        head = (ctypes.byref(self._numbers()), _pointers(OPERANDS[1:], self.operands), _pointer(self.e))
        threads = ctypes.c_int64(self._threads())
        if function(*head, _pointer(self.rows), _pointer(self.col), threads, *arguments):
            raise MemoryError(f"no memory for the sums of {threads.value} threads over {self.num_nodes} nodes")

    def _threads(self) -> int:
        worth = self.e.shape[0] * max(self.D, self.H, self.G) // _NUMBERS_A_THREAD
        return max(1, min(torch.get_num_threads(), worth))

    def _numbers(self) -> Any:
        p, e = self.program, self.e
        choices = (ENCODERS.index(p.encoder), MESSAGES.index(p.message), *map(ACTIVATIONS.index, (p.act, p.update_act)))
        sizes = (
            e.shape[0],
            self.num_nodes,
            self.sources,
            self.rows.shape[0],
            e.shape[1],
            self.t.edge_width(),
            self.hidden,
        )
        widths = (self.D, self.H, self.G, self.t.number_of_updates)
        values = (*choices, p.residual, p.reads == "old", *sizes, *widths)
        return (ctypes.c_int64 * len(values))(*map(int, values))

    # ---- widths of whole vectors

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The padded shapes of the operands."""
        D, H, G, K, N, S = self.D, self.H, self.G, self.t.number_of_updates, self.num_nodes, self.sources
        wide = 2 * G if self.program.message == "film" else G
        shapes = {"enc_a": (self.e.shape[1], D), "enc_b": (D,), "U": (K, S, H), "V": (K, N, H), "Wu": (K, D, H)}
        shapes |= {"bu": (K, H), "Wo": (K, H, D), "bo": (K, D), "P": (S, G), "Q": (N, G), "We": (D, wide)}
        return {**shapes, "be": (wide,)}

    def padded(self, name: str, x: Tensor) -> Tensor:
        """An operand with zeros up to its padded shape; scale and shift of a film each on its own."""
        shape = self.shapes[name]
        if self._is_film(name):
            halves = x.chunk(2, dim=-1)
            return torch.cat([_padded(half, (*shape[:-1], self.G)) for half in halves], dim=-1).contiguous()
        return _padded(x, shape).contiguous()

    def unpadded(self, name: str, x: Tensor) -> Tensor:
        """What :meth:`padded` was given."""
        shape = getattr(self.t, name).shape
        if self._is_film(name):
            halves = [half[..., : shape[-1] // 2] for half in x.chunk(2, dim=-1)]
            x = torch.cat(halves, dim=-1)
        return x if x.shape == shape else x[tuple(slice(n) for n in shape)].contiguous()

    def _is_film(self, name: str) -> bool:
        return self.program.message == "film" and name in ("We", "be") and self.t.message_width(self.program) != self.G

    def node_states(self) -> Tensor:
        """Memory for a statistic of the messages."""
        return torch.empty(self.num_nodes, self.G, dtype=self.t.compute_dtype)

    # ---- gradients

    def gradients(self, wanted: list[str]) -> dict[str, Tensor]:
        """Memory for the gradients of these operands, and of those that theirs are sums of."""
        added = self.program.message in ("edge", "add")
        of_nodes = {"bu": "V", **({"be": "Q"} if added else {})}
        names = {of_nodes.get(name, name) for name in wanted if name != "e"}
        return {n: torch.empty(self.shapes[n], dtype=self.t.compute_dtype) for n in names}

    def statistics(self, found: list[Tensor], grads: list[Tensor]) -> Any:
        """Gradients of the statistics; those of an extreme shared by the messages that attain it."""
        values = dict(zip(self.program.statistics, grads, strict=True))
        extremes = [name for name in values if name in EXTREMES]
        for name, value, ties in zip(extremes, found[: len(extremes)], found[len(extremes) :], strict=True):
            values |= {name: values[name] / ties.clamp(min=1), f"{name}_value": value}
        self.kept = {name: _padded(x, (self.num_nodes, self.G)).contiguous() for name, x in values.items()}
        return _pointers(("sum", "square", "max", "min", "max_value", "min_value"), self.kept)


@cache
def _entry(dtype: torch.dtype, name: str) -> Any:
    """The compiled function."""
    return getattr(CODE.load(), f"{_NAMES[dtype]}_{name}")


def _whole(width: int) -> int:
    return -(-width // LANES) * LANES


def _padded(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    missing = [n for size, want in zip(reversed(x.shape), reversed(shape), strict=True) for n in (0, want - size)]
    return pad(x, missing) if any(missing) else x


def _pointer(x: Tensor | None) -> Any:
    return ctypes.c_void_p(None if x is None else x.data_ptr())


def _pointers(names: tuple[str, ...], values: dict[str, Tensor]) -> Any:
    """A C struct of pointers, null for what is not there."""
    found = [values[name].data_ptr() if name in values else None for name in names]
    return (ctypes.c_void_p * len(names))(*found)
