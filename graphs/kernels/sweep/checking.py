"""Whether the tensors of a sweep fit its program, its table and each other; said before any kernel starts."""

from __future__ import annotations

import torch

from graphs.kernels.sweep.program import DTYPES, OPERANDS, Operands, Program
from graphs.kernels.table import BlockTable


def check_operands(program: Program, t: Operands, table: BlockTable) -> None:
    """Raise ValueError that names the operand, what was expected and what arrived."""
    _check_edges(t, table)
    given = [(name, value) for name, value in zip(OPERANDS[1:], t[1:], strict=True) if value is not None]
    expected = _expected_shapes(program, t, table) if given else {}
    for name, value in given:
        if name not in expected:
            raise ValueError(
                f"{name} is not read by a sweep with encoder {program.encoder!r}, message {program.message!r}"
            )
        if tuple(value.shape) != expected[name]:
            raise ValueError(f"expected {name} of shape {list(expected[name])}, got {list(value.shape)}")
        if value.device != t.e.device:
            raise ValueError(f"expected {name} on {t.e.device}, where the edges are, got {value.device}")
    if program.keep and program.encoder == "stored" and not t.number_of_updates:
        raise ValueError("a sweep without updates would return the edges that it was given; leave keep out")
    if program.encoder == "relu" and t.enc_a is None:
        raise ValueError("expected enc_a, which encodes raw weights, got None")
    if program.message in ("film", "mul") and t.P is None and t.Q is None:
        raise ValueError(f"a message {program.message!r} needs one of P and Q, got neither")
    if program.message == "film" and t.We is None:
        raise ValueError("a message 'film' needs We, which makes its scale and its shift, got None")


def _check_edges(t: Operands, table: BlockTable) -> None:
    e = t.e
    if e.layout != torch.strided:
        raise ValueError(f"expected dense edge values, got layout {e.layout}")
    if e.dtype not in DTYPES:
        raise ValueError(f"expected edge values of {', '.join(map(str, DTYPES))}, got {e.dtype}")
    if e.dim() != 2 or e.shape[0] != table.num_edges:
        raise ValueError(f"expected edge values of shape [{table.num_edges}, F], got {tuple(e.shape)}")
    if table.count.device != e.device:
        raise ValueError(f"expected a table on {e.device}, where the edges are, got one on {table.count.device}")


def _expected_shapes(program: Program, t: Operands, table: BlockTable) -> dict[str, tuple[int, ...]]:
    """The shape of every operand that the program can read; widths are those of Wu, Wo and We, or of node states."""
    C, D, K, G = t.e.shape[1], t.edge_width(), t.number_of_updates, t.message_width(program)
    shapes: dict[str, tuple[int, ...]] = {}
    if program.encoder != "stored":
        shapes |= {"enc_a": (C, D), "enc_b": (D,)}
    if t.Wu is not None:
        H = t.Wu.shape[-1] if t.Wo is not None else D
        shapes |= {"U": (K, table.sources, H), "V": (K, table.num_nodes, H), "Wu": (K, D, H), "bu": (K, H)}
        shapes |= {"Wo": (K, H, D), "bo": (K, D)} if t.Wo is not None else {}
    if program.message != "edge":
        wide = 2 * G if program.message == "film" else G
        shapes |= {"P": (table.sources, G), "Q": (table.num_nodes, G), "We": (D, wide), "be": (wide,)}
    return shapes
