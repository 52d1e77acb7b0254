"""Messages and reductions against loops, by each back end of the CPU, with gradients."""

from __future__ import annotations

import pytest
import torch

from graphs.kernels import BlockTable, fused_message, segment_reduce
from graphs.kernels.sweep import cpu

ROWS = [
    [0, 0, 3, 4],
    [3, 1, 2, 0],
    [5, 0, 1, 4],
    [6, 2, 0, 1],
]  # node 4 twice, node 1 with no edge, 2 and 3 with no row
REDUCTIONS = ("sum", "mean", "max", "min", "std")


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "cpu" and (reason := cpu.CODE.why_not()) is not None:
        pytest.skip(reason)
    monkeypatch.setenv("METAZOO_KERNELS", request.param)


@pytest.fixture
def table() -> BlockTable:
    return BlockTable.from_rows(ROWS, num_nodes=5)


def test_expansion(table: BlockTable) -> None:
    assert table.source().tolist() == [0, 1, 2, 1, 2, 0]
    assert table.target().tolist() == [4, 4, 4, 0, 0, 4]
    assert table.degree.tolist() == [2, 0, 0, 0, 4]


@pytest.mark.parametrize("features", [1, 3, 17])
def test_every_reduction_against_a_loop(table: BlockTable, features: int) -> None:
    src = torch.randn(6, features, dtype=torch.float64)
    sums, means, highest, lowest, spread = segment_reduce(src, table, REDUCTIONS)
    for node in range(5):
        rows = src[table.target() == node]
        if not len(rows):
            for result in (sums, means, highest, lowest):
                assert (result[node] == 0).all()
            continue
        assert torch.allclose(sums[node], rows.sum(0))
        assert torch.allclose(means[node], rows.mean(0))
        assert torch.equal(highest[node], rows.max(0).values)
        assert torch.equal(lowest[node], rows.min(0).values)
        assert torch.allclose(spread[node], (rows.var(0, unbiased=False) + 1e-5).sqrt())


@pytest.mark.parametrize("name", REDUCTIONS)
def test_gradients(table: BlockTable, name: str) -> None:
    src = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: segment_reduce(s, table, (name,))[0], src)


@pytest.mark.parametrize("name", ["max", "min"])
def test_an_extreme_of_zero_keeps_its_gradient(table: BlockTable, name: str) -> None:
    src = torch.zeros(6, 1, requires_grad=True)
    with torch.no_grad():
        src[:, 0] += torch.tensor([0.0, 1, 1, 0, 1, 1]) * (-1 if name == "max" else 1)
    segment_reduce(src, table, (name,))[0].sum().backward()
    assert src.grad is not None
    assert src.grad[:, 0].tolist() == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("message", ["add", "film", "mul"])
def test_messages_against_a_loop(table: BlockTable, message: str) -> None:
    P, Q, e = (torch.randn(n, 2, dtype=torch.float64) for n in (5, 5, 6))
    We, bias = torch.randn(2, 4 if message == "film" else 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    bias = bias.repeat(2) if message == "film" else bias
    (out,) = fused_message(P, Q, e, We, table, bias=bias, message=message, act="tanh")
    expected = torch.zeros(5, 2, dtype=torch.float64)
    for i, (j, k) in enumerate(zip(table.source().tolist(), table.target().tolist(), strict=True)):
        pair, mapped = P[j] + Q[k], e[i] @ We + bias
        z = {
            "add": lambda p=pair, m=mapped: p + m,
            "mul": lambda p=pair, m=mapped: p * m,
            "film": lambda p=pair, m=mapped: p * m[:2] + m[2:],
        }
        expected[k] += torch.tanh(z[message]())
    assert torch.allclose(out, expected, atol=1e-12)


def test_explicit_sources() -> None:
    table = BlockTable.from_rows([[0, 0, 2, 1]], num_nodes=3, col=torch.tensor([2, 0]))
    assert table.source().tolist() == [2, 0]


def test_no_edges() -> None:
    table = BlockTable.from_rows([], num_nodes=2)
    assert [r.tolist() for r in segment_reduce(torch.zeros(0, 1), table, ("sum", "max"))] == [[[0.0], [0.0]]] * 2


def test_bad_input(table: BlockTable) -> None:
    with pytest.raises(ValueError, match=r"shape \[6, F\], got \(5, 2\)"):
        segment_reduce(torch.zeros(5, 2), table)
    with pytest.raises(ValueError, match="unknown reduction 'median'; choose among"):
        segment_reduce(torch.zeros(6, 2), table, ("median",))
    with pytest.raises(ValueError, match="running count"):
        BlockTable.from_rows([[1, 0, 2, 0]], num_nodes=3)
    with pytest.raises(ValueError, match=r"row 0 \[0, 2, 2, 0\] reaches outside the 3 nodes"):
        BlockTable.from_rows([[0, 2, 2, 0]], num_nodes=3)
    with pytest.raises(ValueError, match="one int64 source per edge, 2"):
        BlockTable.from_rows([[0, 0, 2, 0]], num_nodes=3, col=torch.tensor([0]))
