"""The compiled sweep against the reference: forward and every gradient, at odd sizes, in every storage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cases import assert_same, operands, outputs_and_gradients, table

from graphs.kernels import BlockTable, fused_message, segment_reduce
from graphs.kernels.sweep import cpu, operators
from graphs.kernels.sweep.program import ACTIVATIONS, STATISTICS, Operands, Program

if (reason := cpu.CODE.why_not()) is not None:
    pytest.skip(reason, allow_module_level=True)

FEATURES = (1, 3, 16, 17, 32, 33, 64, 128)
FAN_INS = (0, 1, 2, 15, 16, 17, 784)
MIXED = (2, 0, 784, 1, 1, 17, 16, 0, 15, 3, 2, 2)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-4, torch.bfloat16: 2e-2}
LAYER = Program(message="add", act="silu", update_act="relu", keep=True, reads="old", statistics=("sum",))


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The compiled kernels, in memory that is full of NaN before they write to it."""
    monkeypatch.setenv("METAZOO_KERNELS", "cpu")
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("features", FEATURES)
def test_a_layer_at_every_width(features: int, dtype: torch.dtype) -> None:
    on = table(MIXED)
    t = operands(LAYER, on, width=features, updates=1, dtype=dtype)
    assert_same(operators.sweep, LAYER, t, on, TOLERANCE[dtype])


@pytest.mark.parametrize("fan_in", FAN_INS)
@pytest.mark.parametrize("message", ["edge", "add", "film", "mul"])
def test_every_fan_in(fan_in: int, message: str) -> None:
    program = Program(message=message, act="identity" if message == "edge" else "tanh", statistics=STATISTICS)
    on = table([fan_in] * 9)
    assert_same(operators.sweep, program, operands(program, on, width=17), on, 1e-12)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_activation(act: str, dtype: torch.dtype) -> None:
    program = Program(message="add", act=act, update_act=act, keep=True, statistics=("sum",))
    on = table(MIXED)
    t = operands(program, on, width=16, updates=1, dtype=dtype)
    assert_same(operators.sweep, program, t, on, TOLERANCE[dtype])


@pytest.mark.parametrize("encoder", ["stored", "relu"])
@pytest.mark.parametrize("updates", [0, 1, 3])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("reads", ["old", "new"])
def test_every_chain(encoder: str, updates: int, residual: bool, reads: str) -> None:
    keep = updates > 0 or encoder == "relu"
    program = Program(encoder, "add", "silu", "gelu", residual, reads, keep, ("sum", "max"))
    on = table(MIXED)
    t = operands(program, on, width=12, hidden=20, out=7, raw=3, updates=updates)
    assert_same(operators.sweep, program, t, on, 1e-12)


@pytest.mark.parametrize("missing", ["U", "V", "bu", "bo", "P", "Q", "be", "We", "U V", "P Q", "P We be"])
def test_operands_that_are_left_out(missing: str) -> None:
    program = Program(message="add", act="relu", update_act="tanh", keep=True, statistics=("sum", "min"))
    on = table(MIXED)
    t = operands(program, on, width=9, updates=2, without=missing.split())
    assert_same(operators.sweep, program, t, on, 1e-12)


@pytest.mark.parametrize(
    ("message", "missing"),
    [("film", "P"), ("film", "Q"), ("film", "be"), ("mul", "P"), ("mul", "Q"), ("mul", "be"), ("mul", "We")],
)
def test_products_with_operands_left_out(message: str, missing: str) -> None:
    program = Program(message=message, act="silu", statistics=STATISTICS)
    on = table(MIXED)
    assert_same(operators.sweep, program, operands(program, on, width=18, without=[missing]), on, 1e-12)


def test_updates_without_a_second_map() -> None:
    program = Program(message="film", update_act="silu", residual=False, keep=True, statistics=STATISTICS)
    on = table(MIXED)
    assert_same(operators.sweep, program, operands(program, on, width=17, updates=1, without=["Wo", "bo"]), on, 1e-12)


@pytest.mark.parametrize("message", ["edge", "add"])
def test_sources_by_index(message: str) -> None:
    program = Program(message=message, statistics=STATISTICS)
    on = table(MIXED, with_col=True)
    assert_same(operators.sweep, program, operands(program, on, width=5), on, 1e-12)


@pytest.mark.parametrize("act", ["relu", "silu"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("width", "hidden"), [(16, 16), (5, 20), (33, 7)])
@pytest.mark.parametrize("missing", [[], ["bo"], ["U", "bu"]])
def test_sums_of_updated_edges(act: str, residual: bool, width: int, hidden: int, missing: list[str]) -> None:
    program = Program(update_act=act, residual=residual, statistics=("sum",))
    on = table(MIXED)
    for updates in (1, 3):
        t = operands(program, on, width=width, hidden=hidden, updates=updates, without=missing)
        assert_same(operators.sweep, program, t, on, 1e-12)


def test_operands_that_are_not_contiguous() -> None:
    on = table(MIXED)
    t = operands(LAYER, on, width=16, updates=1)
    turned = Operands(*(None if x is None else x.mT.contiguous().mT if x.dim() > 1 else x for x in t))
    assert not turned.e.is_contiguous()
    assert_same(operators.sweep, LAYER, turned, on, 1e-12)
    e = torch.randn(1, 16, dtype=torch.float64).expand(on.num_edges, 16)
    assert_same(operators.sweep, LAYER, t._replace(e=e), on, 1e-12)


def test_no_edges() -> None:
    on = table([])
    assert_same(operators.sweep, LAYER, operands(LAYER, on, width=5, updates=1), on, 0)


def test_no_nodes() -> None:
    on = BlockTable.from_rows([], num_nodes=0)
    assert_same(operators.sweep, LAYER, operands(LAYER, on, width=5, updates=1), on, 0)


@pytest.mark.slow
def test_more_numbers_than_32_bits_count() -> None:
    edges, width = 34_000_000, 64
    e = torch.zeros(edges, width, dtype=torch.bfloat16)
    e[-1], e[-3] = 1, 2
    columns = torch.tensor([[0, 0, edges - 2, 0], [edges - 2, 0, 2, 1]]).unbind(1)
    on = BlockTable(*columns, num_nodes=2, num_edges=edges, num_sources=edges)
    total, largest = segment_reduce(e, on, ("sum", "max"))
    assert edges * width > 2**31
    assert (total[0] == 2).all()
    assert (total[1] == 1).all()
    assert (largest[:2, -1] == torch.tensor([2.0, 1.0])).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_agree_and_repeat_themselves_bit_for_bit(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_NUMBERS_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    program = Program(message="film", act="silu", update_act="silu", keep=True, statistics=STATISTICS)
    on = table([300, 2, 0, 500, 1, 40])
    assert_same(operators.sweep, program, operands(program, on, width=17, updates=2), on, 1e-12)
    edges = Program(update_act="silu", statistics=("sum",))
    assert_same(operators.sweep, edges, operands(edges, on, width=17, updates=2), on, 1e-12)
    t = operands(program, on, width=17, updates=2, dtype=torch.float32)
    once, again = (outputs_and_gradients(operators.sweep, program, t, on) for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)


@pytest.mark.parametrize("act", ["identity", "relu", "tanh"])
@pytest.mark.parametrize("missing", [["We"], ["We", "P"], ["We", "be", "Q"]])
@pytest.mark.parametrize("width", [16, 20, 64, 96])
def test_sums_without_a_product(act: str, missing: list[str], width: int) -> None:
    program = Program(message="add", act=act, statistics=("sum",))
    for with_col in (False, True):
        on = table(MIXED, with_col=with_col)
        assert_same(operators.sweep, program, operands(program, on, width=width, without=missing), on, 1e-12)


def one_edge_a_node(nodes: int, width: int) -> tuple[BlockTable, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    on = BlockTable.from_rows([[i, 0, 1, i] for i in range(nodes)], nodes)
    return on, torch.randn(nodes, width, generator=generator), torch.randn(nodes, width, generator=generator)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("message", ["edge", "add", "film", "mul"])
@pytest.mark.parametrize("width", [16, 32])
def test_the_only_message_is_the_greatest(act: str, message: str, width: int) -> None:
    """Where a node has one edge, max and min have the gradient of the sum, to the bit in which they compare."""
    on, e, Q = one_edge_a_node(300, width)
    maps = {"We": torch.randn(width, 2 * width if message == "film" else width) / 4} if message != "edge" else {}
    given = {"Wu": torch.randn(1, width, width) / 4, **maps, **({"Q": Q} if maps else {})}
    gradients = []
    for name in ("sum", "max", "min"):
        leaf = e.clone().requires_grad_()
        program = Program(message=message, act=act if maps else "identity", update_act=act, statistics=(name,))
        (found,) = operators.sweep(program, Operands(leaf, **given), on)[1]
        gradients.append(torch.autograd.grad(found.sum(), leaf)[0])
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)
    assert torch.equal(gradients[1], gradients[2])


@pytest.mark.parametrize("width", [16, 32, 64])
def test_extremes_do_not_depend_on_the_threads_of_a_pass(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_NUMBERS_A_THREAD", 1)
    on = table([7 + i % 53 for i in range(200)])
    P, Q, e, We = (torch.randn(n, width) for n in (on.num_nodes, on.num_nodes, on.num_edges, width))
    Q.requires_grad_()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    (largest,) = fused_message(P, Q, e, We, on, act="gelu", reduce=("max",))
    expected = torch.autograd.grad(largest.sum(), Q, retain_graph=True)[0]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(torch.autograd.grad(largest.sum(), Q)[0], expected)


@pytest.mark.parametrize("name", ["e", "P", "Q", "We", "Wu", "U"])
def test_tensors_that_start_anywhere_in_memory(name: str) -> None:
    on = table(MIXED)
    t = operands(LAYER, on, width=16, updates=1, dtype=torch.float32)
    x = getattr(t, name)
    moved = torch.cat([torch.zeros(1), x.flatten()])[1:].view(x.shape)
    assert moved.data_ptr() % 64
    assert_same(operators.sweep, LAYER, t._replace(**{name: moved}), on, 2e-4)


@pytest.mark.parametrize(("width", "hidden"), [(8, 8), (16, 8), (8, 16)])
@pytest.mark.parametrize("encoder", ["stored", "relu"])
def test_infinite_states_stay_infinite_at_every_width(width: int, hidden: int, encoder: str) -> None:
    program = Program(encoder, update_act="relu", keep=True, statistics=("sum",))
    on = BlockTable.from_rows([[0, 0, 4, 0], [4, 0, 4, 1]], 4)
    t = operands(program, on, width=width, hidden=hidden, raw=1, updates=2, without=["U", "V", "bu", "bo"])
    t = Operands(*(None if x is None else x.abs() + 0.1 for x in t))
    t.e[1, 0] = torch.inf
    edges, _ = operators.sweep(program, t, on)
    assert edges is not None
    assert edges[1].isposinf().all()
    assert edges[2:].isfinite().all()
