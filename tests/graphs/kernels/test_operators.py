"""The public operations as torch operators: derivatives, torch.compile, storage, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import operands, table
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from graphs.kernels import (
    BlockTable,
    Update,
    backend_info,
    backends,
    fused_chain,
    fused_layer,
    fused_message,
    lazy_chain,
    lazy_message,
    segment_reduce,
)
from graphs.kernels.sweep import cpu, operators
from graphs.kernels.sweep.program import Operands, Program

needs_compiler = pytest.mark.skipif(cpu.CODE.why_not() is not None, reason=cpu.CODE.why_not() or "")
ROWS = [[0, 0, 3, 4], [3, 1, 2, 0], [5, 0, 1, 4], [6, 2, 0, 1]]
ALL = ("sum", "mean", "max", "min", "std")


@pytest.fixture
def on() -> BlockTable:
    return BlockTable.from_rows(ROWS, num_nodes=5)


def drawn(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def operations(on: BlockTable) -> dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]]:
    """Each public operation with arguments of three features on six edges and five nodes."""
    F, E, N = 3, 6, 5
    P, Q, U, V, e = drawn(N, F), drawn(N, F), drawn(N, F), drawn(N, F), drawn(E, F)
    We, Wu, Wo, film = drawn(F, F), drawn(F, F), drawn(F, F), drawn(F, 2 * F)
    w, a, b = drawn(E, 2), drawn(2, F), drawn(F)
    ways: dict[str, Any] = {"act": "silu", "update_act": "tanh"}
    chain = lambda w, a, b, U, V, Wu, Wo, P, Q, We: lazy_chain(  # noqa: E731
        w, a, b, [Update(U, V, Wu, Wo)] * 2, P, Q, We, on, **ways
    )
    return {
        "segment_reduce": (lambda e: segment_reduce(e, on, ALL), (e,)),
        "fused_message": (lambda *t: fused_message(*t, on, act="gelu", reduce=ALL), (P, Q, e, We)),
        "film": (lambda *t: fused_message(*t, on, message="film", reduce=ALL), (P, Q, e, film)),
        "mul": (lambda *t: fused_message(*t, on, message="mul", act="sigmoid"), (P, Q, e, We)),
        "fused_layer": (lambda *t: fused_layer(*t, on, **ways, reduce=ALL), (P, Q, U, V, e, We, Wu, Wo)),
        "lazy_message": (lambda *t: lazy_message(*t, on, act="silu"), (w, a, b, P, Q, We)),
        "lazy_chain": (chain, (w, a, b, U, V, Wu, Wo, P, Q, We)),
    }


NAMES = ("segment_reduce", "fused_message", "film", "mul", "fused_layer", "lazy_message", "lazy_chain")


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_the_function(on: BlockTable, name: str) -> None:
    function, inputs = operations(on)[name]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_one_graph_for_torch_compile(on: BlockTable, name: str) -> None:
    function, inputs = operations(on)[name]
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for expected, arrived in zip(function(*inputs), compiled(*inputs), strict=True):
        assert torch.equal(expected, arrived)
        for a, b in zip(
            *(torch.autograd.grad(y.sum(), inputs, retain_graph=True) for y in (expected, arrived)), strict=True
        ):
            assert torch.allclose(a, b, atol=1e-12)


@needs_compiler
def test_torch_compile_takes_maps_that_are_transposed(on: BlockTable) -> None:
    weight, e = drawn(3, 3), drawn(6, 3)
    run = lambda weight, e: fused_message(None, None, e, weight.T, on, act="relu")[0].sum()  # noqa: E731
    torch.compiler.reset()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    expected, arrived = (torch.autograd.grad(f(weight, e), (weight, e)) for f in (run, compiled))
    assert all(torch.allclose(a, b) for a, b in zip(expected, arrived, strict=True))


@needs_compiler
@pytest.mark.parametrize(
    "program",
    [
        Program(statistics=("sum", "max")),
        Program(message="film", statistics=("square", "min")),
        Program(message="add", act="silu", update_act="silu", keep=True, statistics=("sum",)),
        Program("relu", "mul", keep=True, statistics=("max",)),
    ],
)
def test_operator_contracts(program: Program) -> None:
    on = table([2, 0, 3, 1])
    t = operands(program, on, width=3, updates=1)
    leaves = [None if x is None else x.requires_grad_() for x in t]
    opcheck(operators._sweep, (program.text, on.rows, on.col, on.num_nodes, *leaves))


def test_what_autocast_stores_is_summed_in_float32(on: BlockTable) -> None:
    e = torch.randn(6, 4).bfloat16()
    (total,) = segment_reduce(e, on)
    assert total.dtype == torch.float32
    assert torch.allclose(total, segment_reduce(e.float(), on)[0], atol=1e-6)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("width", [3, 16])
def test_what_is_not_finite_goes_where_torch_lets_it_go(value: float, width: int, monkeypatch: Any) -> None:
    program = Program(message="add", act="relu", update_act="silu", keep=True, statistics=("sum", "max", "min"))
    on = table([2, 17, 3, 1])
    t = operands(program, on, width=width, updates=1, dtype=torch.float32)
    t.e[4, 1] = value
    ours = operators.sweep(program, t, on)
    monkeypatch.setenv("METAZOO_KERNELS", "reference")
    theirs = operators.sweep(program, t, on)
    for a, b in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
        assert torch.allclose(a, b, atol=1e-4, equal_nan=True)


# ---- edge states that do not fit


@needs_compiler
def test_a_chain_is_its_layers_one_after_the_other(on: BlockTable) -> None:
    """Outputs and gradients; what differs is the memory."""
    P, We, e = drawn(5, 3), drawn(3, 3), drawn(6, 3)
    updates = [Update(drawn(5, 3), drawn(5, 3), drawn(3, 4)[:, :3], drawn(3, 5)[:, :3]) for _ in range(3)]
    states = e
    for u in updates:
        states, layers = fused_layer(P, None, u.U, u.V, states, We, u.Wu, u.Wo, on, act="silu", reads="new")
    (chain,) = fused_chain(e, updates, P, None, We, on, act="silu")
    assert torch.allclose(chain, layers, atol=1e-12)
    gradients = [torch.autograd.grad(y.square().sum(), (P, We, e)) for y in (chain, layers)]
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("reads", ["old", "new"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [3, 16])
def test_edges_updated_in_place(reads: str, dtype: torch.dtype, width: int) -> None:
    on = table([2, 0, 784, 17, 1])
    P, Q, U, V = (torch.randn(on.num_nodes, width) for _ in range(4))
    We, Wu, Wo = (torch.randn(width, width) / width for _ in range(3))
    e = torch.randn(on.num_edges, width).to(dtype)
    expected = fused_layer(P, Q, U, V, e, We, Wu, Wo, on, reads=reads, reduce=("mean", "max"))
    memory = e.data_ptr()
    arrived = fused_layer(P, Q, U, V, e, We, Wu, Wo, on, reads=reads, reduce=("mean", "max"), in_place=True)
    assert arrived[0].data_ptr() == memory
    assert all(torch.equal(a, b) for a, b in zip(expected, arrived, strict=True))


def test_edges_that_need_a_gradient_are_not_overwritten(on: BlockTable) -> None:
    e, W = torch.ones(6, 2), torch.ones(2, 2, requires_grad=True)
    with pytest.raises(ValueError, match=r"updated in place have no gradient; use torch\.no_grad"):
        fused_layer(None, None, None, None, e, W, W, W, on, in_place=True)
    with torch.no_grad():
        fused_layer(None, None, None, None, e, W, W, W, on, in_place=True)
    with pytest.raises(ValueError, match=r"contiguous stored edge states to update in place, got strides \(1, 6\)"):
        fused_layer(None, None, None, None, torch.ones(2, 6).T, None, W.detach(), None, on, in_place=True)


# ---- what is refused


def refused(on: BlockTable, words: str, **change: Any) -> None:
    program = Program(message="add", act="relu", keep=True, statistics=("sum",))
    t = operands(program, on, width=4, updates=1, dtype=torch.float32)
    with pytest.raises(ValueError, match=words):
        operators.sweep(program, t._replace(**change), on)


def test_operands_that_do_not_fit(on: BlockTable) -> None:
    refused(on, r"edge values of shape \[6, F\], got \(7, 4\)", e=torch.zeros(7, 4))
    refused(on, r"edge values of torch.float32, .*, got torch.int64", e=torch.zeros(6, 4, dtype=torch.int64))
    refused(on, r"got torch.float16", e=torch.zeros(6, 4, dtype=torch.float16))
    refused(on, r"dense edge values, got layout torch.sparse_coo", e=torch.zeros(6, 4).to_sparse())
    refused(on, r"expected P of shape \[5, 4\], got \[4, 4\]", P=torch.zeros(4, 4))
    refused(on, r"expected We of shape \[4, 5\], got \[3, 5\]", We=torch.zeros(3, 5), P=None, Q=None, be=None)
    refused(on, r"expected U of shape \[1, 5, 4\], got \[1, 6, 4\]", U=torch.zeros(1, 6, 4))
    refused(on, r"expected Q on cpu, where the edges are, got meta", Q=torch.zeros(5, 4, device="meta"))
    refused(on, r"enc_a is not read", enc_a=torch.zeros(1, 4))


def test_programs_that_make_no_sense(on: BlockTable) -> None:
    e = torch.zeros(6, 2)
    for words, program, t in [
        ("leave keep out", Program(keep=True), Operands(e)),
        ("'film' needs one of P and Q, got neither", Program(message="film", statistics=("sum",)), Operands(e)),
        ("needs We", Program(message="film"), Operands(e, P=torch.zeros(5, 2))),
        ("expected enc_a", Program("relu", statistics=("sum",)), Operands(e)),
    ]:
        with pytest.raises(ValueError, match=words):
            operators.sweep(program, t, on)
    for words, values in [
        ("unknown act 'swish'; choose", {"act": "swish"}),
        ("'median'", {"statistics": ("median",)}),
        ("once, got sum, sum", {"statistics": ("sum", "sum")}),
    ]:
        with pytest.raises(ValueError, match=words):
            Program(**values)
    weight = torch.zeros(2, 2)
    updates = [Update(torch.zeros(5, 2), None, weight), Update(None, None, weight)]
    with pytest.raises(ValueError, match="U in all 2 updates of a chain or in none, got 1"):
        lazy_chain(torch.zeros(6, 1), torch.zeros(1, 2), torch.zeros(2), updates, None, None, weight, on)


def test_tables_that_are_no_partition() -> None:
    ok = {n: torch.tensor([0]) for n in ("first_edge", "first_source", "destination")}
    count = torch.tensor([2])
    for words, change in [
        ("add up to 3 edges, got 2", {"num_edges": 3}),
        (r"reaches outside the 2 nodes", {"destination": torch.tensor([2])}),
        (r"reaches outside the 2 nodes", {"first_source": torch.tensor([1])}),
        ("counts of edges >= 0, got -1", {"count": torch.tensor([-1]), "num_edges": -1}),
        ("first_edge must be the running count", {"first_edge": torch.tensor([1])}),
        (
            r"expected first_edge as 1 int64, got \(1,\) of torch.int32",
            {"first_edge": torch.tensor([0], dtype=torch.int32)},
        ),
        ("col names node 2, outside the 2 nodes", {"col": torch.tensor([0, 2])}),
        (r"one int64 source per edge, 2, got col of shape \(1,\)", {"col": torch.tensor([0])}),
    ]:
        with pytest.raises(ValueError, match=words):
            BlockTable(**{**ok, "count": count, "num_nodes": 2, "num_edges": 2, **change})


# ---- which back end


def test_a_back_end_can_be_forced(monkeypatch: pytest.MonkeyPatch, on: BlockTable) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "reference")
    assert backend_info()["cpu"] == {"backend": "reference", "why": "METAZOO_KERNELS=reference"}
    monkeypatch.setenv("METAZOO_KERNELS", "fast")
    with pytest.raises(ValueError, match="METAZOO_KERNELS='fast' is unknown; choose among reference, cpu, triton"):
        segment_reduce(torch.zeros(6, 1), on)
    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="cannot be had for cpu: it serves cuda devices"):
        segment_reduce(torch.zeros(6, 1), on)


def test_without_a_compiler_torch_serves_and_says_so_once(monkeypatch: pytest.MonkeyPatch, on: BlockTable) -> None:
    monkeypatch.delenv("METAZOO_KERNELS", raising=False)
    monkeypatch.setattr(backends, "_why_no_cpu", lambda kernels: "no C++ compiler was found; install g++")
    backends.warn_once.cache_clear()
    e = torch.ones(6, 1)
    with pytest.warns(RuntimeWarning, match="no C.. compiler was found") as caught:
        found = [segment_reduce(e, on)[0] for _ in range(2)]
    assert len(caught) == 1
    assert found[1][:, 0].tolist() == [2, 0, 0, 0, 4]
    assert backend_info()["cpu"]["backend"] == "reference"
