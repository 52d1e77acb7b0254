"""Other ways to make the same sweep over the edges: as users of PyTorch Geometric, index_add and dense tensors do.

A style is a function with the signature of :func:`graphs.kernels.sweep.reference.sweep`. Node states arrive mapped, and
sums are made in place where autograd allows it: each style is as fast as plain torch lets it be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from _kernel_dense import Block, Group, groups
from torch import Tensor
from torch.nn import functional

from graphs.kernels import BlockTable
from graphs.kernels.backends import VARIABLE
from graphs.kernels.sweep import reference
from graphs.kernels.sweep.program import Operands, Program

Style = Callable[[Program, Operands, BlockTable], tuple[Tensor | None, list[Tensor]]]
# ``add(z, source, target)`` is z + source[j] + target[i] on every edge, in place; None stands for 0.
Add = Callable[[Tensor | None, Tensor | None, Tensor | None], Tensor | None]


@contextmanager
def using(style: str) -> Iterator[None]:
    """Within it, every sweep of this process is made in a style; "kernels" is what the library itself would do.

    What has no style (encoders) is then made by plain torch, in chunks that stay in the cache.
    """
    if style == "kernels":
        yield
        return
    with mock.patch.dict(os.environ, {VARIABLE: "reference"}), mock.patch.object(reference, "sweep", STYLES[style]):
        yield


# ---- an index an edge, reduced by torch_geometric


def pyg_sweep(program: Program, t: Operands, table: BlockTable) -> tuple[Tensor | None, list[Tensor]]:
    """What ``MessagePassing.propagate`` does to states that are mapped before they are gathered."""
    source, target = table.source(), table.target()

    def add(z: Tensor | None, from_source: Tensor | None, from_target: Tensor | None) -> Tensor | None:
        gathered = None if from_source is None else from_source.index_select(0, source)
        return _plus(_plus(z, gathered), None if from_target is None else from_target.index_select(0, target))

    old, new = edge_states(program, t, t.e, add)
    found = []
    if program.statistics:
        m = message(program, t, old if program.reads == "old" else new, add)
        found = [_scatter(name, m, target, table.num_nodes) for name in program.statistics]
    return new.to(t.e.dtype) if program.keep else None, found


def _scatter(name: str, m: Tensor, index: Tensor, size: int) -> Tensor:
    # PyTorch Geometric takes seconds to import.
    from torch_geometric.utils import scatter

    if name == "square":
        return scatter(m * m, index, 0, size, "sum")
    return scatter(m, index, 0, size, name)


# ---- a dense tensor a block


def dense_sweep(program: Program, t: Operands, table: BlockTable) -> tuple[Tensor | None, list[Tensor]]:
    """Edges as ``[repeats, rows, count, F]``: source and target states are broadcast, and nothing is scattered."""
    made = [_dense_group(program, t, group) for group in groups(table)]
    edges = torch.cat([new for new, _ in made]).to(t.e.dtype) if made else t.e.new_zeros(0, t.edge_width())
    targets = [block.target for group in groups(table) for block in group.blocks]
    found = []
    for i, name in enumerate(program.statistics):
        pieces = [block[i] for _, blocks in made for block in blocks]
        found.append(_join(name, pieces, targets, table, t.message_width(program), t))
    return edges if program.keep else None, found


def _dense_group(program: Program, t: Operands, group: Group) -> tuple[Tensor, list[list[Tensor]]]:
    """Edge states of a group ``[edges, D]``, and for each of its blocks a ``[rows, G]`` per statistic."""
    whole = t.e[group.first : group.first + group.repeats * sum(group.sizes)].unflatten(0, (group.repeats, -1))
    states, found = [], []
    for block, part in zip(group.blocks, whole.split(group.sizes, dim=1), strict=True):
        add = _broadcast(block)
        old, new = edge_states(program, t, part.unflatten(1, (block.rows, block.count)), add)
        states.append(new.flatten(1, 2) if program.keep else new.new_zeros(group.repeats, 0, new.shape[-1]))
        if program.statistics:
            m = message(program, t, old if program.reads == "old" else new, add)
            found.append([_OVER_ROWS[name](m).flatten(0, 1) for name in program.statistics])
    return torch.cat(states, dim=1).flatten(0, 1), found


def _broadcast(block: Block) -> Add:
    def add(z: Tensor | None, source: Tensor | None, target: Tensor | None) -> Tensor | None:
        if source is not None:
            z = _plus(z, source.index_select(0, block.source).view(*block.source_shape, -1))
        if target is not None:
            z = _plus(z, target.index_select(0, block.target).view(-1, block.rows, 1, target.shape[1]))
        return z

    return add


def _join(name: str, pieces: list[Tensor], targets: list[Tensor], table: BlockTable, width: int, t: Operands) -> Tensor:
    """From rows to nodes, of which a node may have several."""
    zeros = torch.zeros(table.num_nodes, width, dtype=t.compute_dtype, device=t.e.device)
    if not pieces:
        return zeros
    index, rows = torch.cat(targets), torch.cat(pieces)
    if name in ("sum", "square"):
        return zeros.index_add(0, index, rows)
    return zeros.scatter_reduce(0, index[:, None].expand_as(rows), rows, f"a{name}", include_self=False)


_OVER_ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda m: m.sum(2),
    "square": lambda m: (m * m).sum(2),
    "max": lambda m: m.amax(2),
    "min": lambda m: m.amin(2),
}


# ---- the equations of a Program, whatever the shape of the edges


def edge_states(program: Program, t: Operands, e: Tensor, add: Add) -> tuple[Tensor, Tensor]:
    """The states before the first and after the last update; e ``[..., C]``."""
    old = e.to(t.compute_dtype)
    if program.encoder == "relu":
        assert t.enc_a is not None
        old = functional.linear(old, t.enc_a.T, t.enc_b).relu_()
    new = old
    for k in range(t.number_of_updates):
        new = _update(program, t, k, new, add)
    return old, new


def _update(program: Program, t: Operands, k: int, e: Tensor, add: Add) -> Tensor:
    U, V, Wu, bu, Wo, bo = (None if x is None else x[k] for x in (t.U, t.V, t.Wu, t.bu, t.Wo, t.bo))
    assert Wu is not None
    z = add(functional.linear(e, Wu.T, bu), U, V)
    assert z is not None
    h = _ACTIVATIONS[program.update_act](z)
    if Wo is not None:
        h = functional.linear(h, Wo.T, bo)
    return e + h if program.residual else h


def message(program: Program, t: Operands, r: Tensor, add: Add) -> Tensor:
    """m of an edge state r."""
    if program.message == "edge":
        return r
    act, linear = _ACTIVATIONS[program.act], _linear(r, t.We, t.be)
    if program.message == "add":
        return act(_added(linear, t, add) if linear is not r else _added_to_edges(r, t, add))
    pair = add(None, t.P, t.Q)
    assert pair is not None
    if program.message == "mul":
        return act(pair * linear)
    scale, shift = linear.chunk(2, dim=-1)
    return act(torch.addcmul(shift, scale, pair))


def _linear(r: Tensor, We: Tensor | None, be: Tensor | None) -> Tensor:
    if We is not None:
        return functional.linear(r, We.T, be)
    return r if be is None else r + be


def _added(linear: Tensor, t: Operands, add: Add) -> Tensor:
    z = add(linear, t.P, t.Q)
    assert z is not None
    return z


def _added_to_edges(r: Tensor, t: Operands, add: Add) -> Tensor:
    """P[j] + Q[i] + r in memory of its own, for r are the edge states that others read too."""
    z = _plus(add(None, t.P, t.Q), r)
    assert z is not None
    return r.clone() if z is r else z


def _plus(x: Tensor | None, y: Tensor | None) -> Tensor | None:
    """x + y, in place of x unless it is broadcast."""
    if x is None or y is None:
        return y if x is None else x
    return x.add_(y) if torch.broadcast_shapes(x.shape, y.shape) == x.shape else x + y


# Products and gathered states are new tensors, which the next operation may overwrite.
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu_,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
}
STYLES: dict[str, Style] = {"PyG linear first": pyg_sweep, "index_add": reference.sweep, "dense": dense_sweep}
