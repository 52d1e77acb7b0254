"""The competitors of the kernel benchmark compute what the reference computes, on tables as irregular as ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphs.kernels import BlockTable, segment_reduce
from graphs.kernels.sweep import reference
from graphs.kernels.sweep.program import Operands, Program

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import _kernel_dense
import _kernel_styles

# Two networks of one pattern, then rows that repeat a destination, a row without edges, one of other sources.
ROWS = [
    [0, 0, 2, 2],
    [2, 0, 2, 3],
    [4, 2, 2, 4],
    [6, 5, 2, 7],
    [8, 5, 2, 8],
    [10, 7, 2, 9],
    [12, 0, 3, 3],
    [15, 1, 0, 0],
]
ROWS += [[15, 1, 3, 3], [18, 4, 1, 0]]
NODES, WIDTH, HIDDEN = 11, 3, 5
PROGRAMS = {
    "sums of edges": Program(statistics=("sum", "square", "max", "min")),
    "message": Program(message="add", act="relu", statistics=("sum",)),
    "edges as they are": Program(message="add", act="relu", statistics=("sum", "max")),
    "edges alone": Program(message="add", act="relu", statistics=("sum",)),
    "film": Program(message="film", act="silu", statistics=("sum", "square", "max", "min")),
    "product": Program(message="mul", statistics=("sum",)),
    "layer": Program(message="add", act="relu", update_act="relu", reads="old", keep=True, statistics=("sum",)),
    "updates": Program(message="add", update_act="silu", residual=False, keep=True, statistics=("min",)),
    "lazy": Program(encoder="relu", message="add", act="gelu", update_act="relu", statistics=("sum",)),
}


def operands(name: str, table: BlockTable) -> Operands:
    program, updates = PROGRAMS[name], {"layer": 1, "updates": 2, "lazy": 2}.get(name, 0)
    generator = torch.Generator().manual_seed(0)
    new = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    values: dict[str, Tensor] = {"e": new(table.num_edges, 2 if program.encoder == "relu" else WIDTH)}
    if program.encoder == "relu":
        values |= {"enc_a": new(2, WIDTH), "enc_b": new(WIDTH)}
    if updates:
        H = WIDTH if name == "updates" else HIDDEN
        values |= {"U": new(updates, NODES, H), "V": new(updates, NODES, H), "Wu": new(updates, WIDTH, H)}
        values |= {"bu": new(updates, H)}
        values |= {"Wo": new(updates, H, WIDTH), "bo": new(updates, WIDTH)} if H == HIDDEN else {}
    if program.message != "edge":
        wide = 2 * HIDDEN if program.message == "film" else HIDDEN
        G = WIDTH if name.startswith("edges") else HIDDEN
        values |= {} if name == "edges alone" else {"P": new(NODES, G), "Q": new(NODES, G)}
        values |= {} if G == WIDTH else {"We": new(WIDTH, wide), "be": new(wide)}
    return Operands(**values)


def swept(style: _kernel_styles.Style, program: Program, t: Operands, table: BlockTable) -> list[Tensor]:
    """The outputs, then the gradients of every operand."""
    given = {k: v for k, v in t._asdict().items() if v is not None}
    leaves = {k: v.clone().requires_grad_() for k, v in given.items()}
    edges, found = style(program, t._replace(**leaves), table)
    outputs = [*found] if edges is None else [edges, *found]
    loss = torch.stack([(x * torch.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in outputs]).sum()
    return outputs + list(torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("style", ["PyG linear first", "dense"])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("explicit", [False, True])
def test_a_style_computes_what_the_reference_does(style: str, name: str, explicit: bool) -> None:
    table = BlockTable.from_rows(ROWS, NODES)
    if explicit:
        col = torch.randint(NODES, (table.num_edges,), generator=torch.Generator().manual_seed(1))
        table = BlockTable.from_rows(ROWS, NODES, col)
    t = operands(name, table)
    expected = swept(reference.sweep, PROGRAMS[name], t, table)
    for value, right in zip(swept(_kernel_styles.STYLES[style], PROGRAMS[name], t, table), expected, strict=True):
        torch.testing.assert_close(value, right)


def test_repeated_networks_are_one_dense_group() -> None:
    rows = [[first + i * 9, base + i * 8, n, base + i * 8 + to] for i in range(5) for first, base, n, to in PATTERN]
    (group,) = _kernel_dense.groups(BlockTable.from_rows(rows, 40))
    assert (group.repeats, group.sizes) == (5, [6, 3])
    assert group.blocks[0].source_shape == (5, 1, 2)
    assert group.blocks[1].target.tolist() == [5, 13, 21, 29, 37]


# Of a network 2-3-1 whose nodes are 0 .. 7: two inputs enter nodes 2 .. 4, and these enter node 5.
PATTERN = [(0, 0, 2, 2), (2, 0, 2, 3), (4, 0, 2, 4), (6, 2, 3, 3)]


def test_a_style_serves_the_public_operations_until_it_is_left() -> None:
    table = BlockTable.from_rows(ROWS, NODES)
    values = torch.rand(table.num_edges, WIDTH)
    with _kernel_styles.using("dense"):
        assert reference.sweep is _kernel_styles.dense_sweep
        (sums,) = segment_reduce(values, table)
    assert reference.sweep is not _kernel_styles.dense_sweep
    torch.testing.assert_close(sums, torch.zeros(NODES, WIDTH).index_add(0, table.target(), values))
