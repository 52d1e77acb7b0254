"""Sweeps over raw weights against the reference, which alone writes the states of the edges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cases import assert_same, operands, outputs_and_gradients, table

from graphs.kernels.sweep import cpu, operators, reference
from graphs.kernels.sweep.program import ACTIVATIONS, OPERANDS, Program

if (reason := cpu.CODE.why_not()) is not None:
    pytest.skip(reason, allow_module_level=True)

FEATURES = (1, 3, 16, 17, 32, 33, 64, 128)
# Segments longer than a tile, and segments that start within a vector of edges.
MIXED = (3, 0, 1200, 1, 2, 17, 784, 16, 5)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-4, torch.bfloat16: 2e-2}
SUM = Program("relu", "add", "relu", statistics=("sum",))


def other(features: int) -> int:
    """A width of messages for one of edges."""
    return FEATURES[-FEATURES.index(features)]


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "cpu")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("raw", [1, 2, 9])
@pytest.mark.parametrize("features", FEATURES)
def test_sums_at_every_width(features: int, raw: int, dtype: torch.dtype) -> None:
    on = table(MIXED)
    t = operands(SUM, on, width=features, out=other(features), raw=raw, dtype=dtype)
    assert_same(operators.sweep, SUM, t, on, TOLERANCE[dtype])


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("missing", ["", "P", "Q", "be", "P Q be", "We"])
def test_operands_that_are_left_out(act: str, missing: str) -> None:
    program = replace(SUM, act=act)
    for with_col in (False, True):
        on = table(MIXED, with_col=with_col)
        t = operands(program, on, width=20, raw=1, without=missing.split())
        assert_same(operators.sweep, program, t, on, 1e-12)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("updates", [1, 2, 3])
@pytest.mark.parametrize("features", FEATURES)
def test_sums_after_updates(features: int, updates: int, dtype: torch.dtype) -> None:
    program = replace(SUM, update_act="relu")
    on = table(MIXED)
    t = operands(program, on, width=features, out=other(features), raw=1, updates=updates, dtype=dtype)
    assert_same(operators.sweep, program, t, on, TOLERANCE[dtype])


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("missing", ["", "U", "V", "bu", "bo", "Wo bo", "P", "Q be", "U V P Q", "We"])
def test_chains_with_operands_left_out(act: str, missing: str) -> None:
    program = replace(SUM, act=act, update_act=act)
    for with_col in (False, True):
        on = table(MIXED, with_col=with_col)
        hidden = 20 if "Wo" in missing else 37
        t = operands(program, on, width=20, hidden=hidden, raw=1, updates=2, without=missing.split())
        assert_same(operators.sweep, program, t, on, 1e-12)


@pytest.mark.parametrize(
    ("needs", "updates"),
    [(name, 0) for name in ("e", "enc_a", "enc_b", "P", "Q", "We", "be")] + [(name, 2) for name in OPERANDS],
)
def test_one_gradient_alone(needs: str, updates: int) -> None:
    on = table(MIXED)
    t = operands(SUM, on, width=16, raw=1, updates=updates)
    wanted = t._replace(**{needs: getattr(t, needs).requires_grad_()})
    factors = torch.linspace(-1, 1, on.num_nodes, dtype=torch.float64)[:, None]
    expected, arrived = (
        torch.autograd.grad((run(SUM, wanted, on)[1][0] * factors).sum(), getattr(wanted, needs))[0]
        for run in (reference.sweep, operators.sweep)
    )
    assert float((arrived - expected).abs().max()) <= 1e-12 * max(1.0, float(expected.abs().max()))


def test_units_that_turn_on_at_a_weight() -> None:
    """Weights and biases of 0, and units that no weight turns on or off."""
    on = table([40, 3, 20])
    t = operands(SUM, on, width=6, raw=1)
    e = t.e.round()
    enc_a = torch.tensor([[1.0, -1, 0, 0, 2, -3]], dtype=torch.float64)
    enc_b = torch.tensor([0.0, 0, 1, -1, 2, 3], dtype=torch.float64)
    assert (e == 0).any()
    assert_same(operators.sweep, SUM, t._replace(e=e, enc_a=enc_a, enc_b=enc_b), on, 1e-12)
    assert_same(operators.sweep, SUM, t._replace(e=e, enc_a=enc_a, enc_b=0 * enc_b), on, 1e-12)


@pytest.mark.parametrize(("name", "updates"), [(n, k) for k in (0, 2) for n in ("e", "enc_a", "P", "We")] + [("Wo", 2)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_goes_where_torch_lets_it(name: str, updates: int, value: float) -> None:
    on = table(MIXED)
    t = operands(SUM, on, width=5, raw=1, updates=updates)
    getattr(t, name).view(-1)[0] = value
    expected, arrived = (run(SUM, t, on)[1][0] for run in (reference.sweep, operators.sweep))
    torch.testing.assert_close(arrived, expected, equal_nan=True)


@pytest.mark.parametrize("updates", [0, 2])
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_agree_and_repeat_themselves_bit_for_bit(
    threads: int, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_NUMBERS_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    on = table(MIXED)
    assert_same(operators.sweep, SUM, operands(SUM, on, width=17, raw=1, updates=updates), on, 1e-12)
    t = operands(SUM, on, width=17, raw=1, updates=updates, dtype=torch.float32)
    once, again = (outputs_and_gradients(operators.sweep, SUM, t, on) for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)
