"""Softmax over the edges into each node against torch's, in every storage and as an operator."""

from __future__ import annotations

import pytest
import torch
from cases import table
from torch import Tensor

from graphs.kernels import BlockTable, segment_softmax
from graphs.kernels.attending import cpu as cpu_attention
from graphs.kernels.attending import reference as reference_attention
from graphs.kernels.attending.operators import _softmax, _softmax_backward

if (reason := cpu_attention.CODE.why_not()) is not None:
    pytest.skip(reason, allow_module_level=True)

MIXED = (2, 0, 300, 1, 1, 17, 16, 0, 15, 3, 2, 2)
TOLERANCE = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 1e-2}


@pytest.fixture(params=["cpu", "reference"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", request.param)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "cpu")


def values(on: BlockTable, columns: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(on.num_edges, columns, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("columns", [1, 3, 8, 16, 17, 100])
def test_every_node_has_the_softmax_of_torch(columns: int, dtype: torch.dtype, either: None) -> None:
    on = table(MIXED)
    x = values(on, columns, dtype)
    found = segment_softmax(x, on)
    assert found.dtype == dtype
    for node in range(on.num_nodes):
        into = on.target() == node
        assert torch.allclose(found[into].double(), x[into].double().softmax(0), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("columns", [1, 3, 8, 17])
def test_gradient(columns: int, dtype: torch.dtype, compiled: None) -> None:
    on = table(MIXED)
    weight = values(on, columns + 1, dtype)[:, 1:]
    found = []
    for run in (segment_softmax, reference_attention.segment_softmax):
        x = values(on, columns, dtype).requires_grad_()
        found.append(torch.autograd.grad(run(x, on), x, weight)[0].double())
    assert torch.allclose(*found, rtol=0, atol=4 * TOLERANCE[dtype])


@pytest.mark.parametrize("fan_in", [0, 1, 2, 15, 16, 17, 300])
def test_every_fan_in(fan_in: int, compiled: None) -> None:
    on = table([fan_in] * 9)
    x = values(on, 5)
    assert torch.allclose(segment_softmax(x, on), reference_attention.segment_softmax(x, on), rtol=0, atol=1e-14)


def test_what_is_not_finite_stays_in_its_node_and_column(either: None) -> None:
    on = BlockTable.from_rows([[0, 0, 2, 1], [2, 0, 3, 0]], num_nodes=3)
    x = torch.zeros(5, 2)
    x[1, 0], x[2, 1], x[3, 1] = torch.nan, torch.inf, -torch.inf
    expected = torch.cat([x[:2].softmax(0), x[2:].softmax(0)])
    assert torch.equal(segment_softmax(x, on).isnan(), expected.isnan())


def test_large_values_stay_finite(either: None) -> None:
    on = BlockTable.from_rows([[0, 0, 2, 0]], num_nodes=2)
    assert segment_softmax(torch.tensor([[1e30], [-1e30]]), on).tolist() == [[1.0], [pytest.approx(0, abs=1e-37)]]


def test_derivatives_and_operators(compiled: None) -> None:
    on = BlockTable.from_rows([[0, 0, 2, 1], [2, 1, 3, 0], [5, 0, 1, 1]], num_nodes=5)
    x = values(on, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: segment_softmax(s, on), x)
    assert torch.autograd.gradgradcheck(lambda s: segment_softmax(s, on), x)
    torch.library.opcheck(_softmax, (on.rows, 5, x))
    torch.library.opcheck(_softmax_backward, (on.rows, 5, x, torch.randn_like(x).requires_grad_()))
    whole = torch.compile(lambda s: segment_softmax(s, on), fullgraph=True, backend="aot_eager")
    assert torch.equal(whole(x), segment_softmax(x, on))


def test_no_edges(either: None) -> None:
    assert segment_softmax(torch.zeros(0, 3), BlockTable.from_rows([], num_nodes=2)).shape == (0, 3)
    assert segment_softmax(torch.zeros(2, 0), BlockTable.from_rows([[0, 0, 2, 0]], num_nodes=2)).shape == (2, 0)


def test_bad_input() -> None:
    on = BlockTable.from_rows([[0, 0, 2, 0]], num_nodes=2)
    with pytest.raises(ValueError, match=r"src of shape \[2, H\], got \[3, 1\]"):
        segment_softmax(torch.zeros(3, 1), on)
    with pytest.raises(ValueError, match=r"got torch\.int64"):
        segment_softmax(torch.zeros(2, 1, dtype=torch.int64), on)
    with pytest.raises(ValueError, match="src on cpu, where the table is, got meta"):
        segment_softmax(torch.zeros(2, 1, device="meta"), on)


def test_a_score_of_minus_infinity_has_no_weight() -> None:
    on = BlockTable.from_rows([[0, 0, 3, 0]], num_nodes=3)
    weights = segment_softmax(torch.tensor([[-torch.inf], [1.0], [-200.0]]), on)
    assert weights[:, 0].tolist() == [0, 1, 0]
