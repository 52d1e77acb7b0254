"""The compiled sweep against the reference: forward and every gradient, at odd sizes, in every storage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cases import assert_same, operands, outputs_and_gradients, table

from graphs.kernels import BlockTable, segment_reduce
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
