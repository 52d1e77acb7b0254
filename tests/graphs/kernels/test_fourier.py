"""The Fourier encoder against its reference: outputs, every gradient, and what it does with odd and bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphs.kernels import BlockTable, fourier_linear
from graphs.kernels.fourier.cpu import CODE
from graphs.kernels.fourier.operands import FOURIER_OPERANDS, FourierOperands
from graphs.kernels.fourier.operators import _fourier, _fourier_backward
from graphs.kernels.fourier.reference import fourier_linear as reference

# Relative to the largest entry; the features of float32 angles beyond 100 are as far from the truth as the angle is.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2**-7}


@pytest.fixture(autouse=True, params=["cpu", "reference"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The back end: our kernel, and plain torch in chunks."""
    if request.param == "cpu" and CODE.why_not():
        pytest.skip(f"no compiled kernel: {CODE.why_not()}")
    monkeypatch.setenv("METAZOO_KERNELS", request.param)
    return request.param


class Case:
    """Random operands with nodes and kinds; ``spread`` is the standard deviation of the values."""

    def __init__(
        self, E: int, f: int, D: int, C: int, dtype: torch.dtype, spread: float = 1.0, adds: bool = True
    ) -> None:
        generator = torch.Generator().manual_seed(E + 10 * f + 100 * D + C)
        compute = torch.float64 if dtype == torch.float64 else torch.float32

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(compute)

        self.values, self.frequencies = (spread * normal(E, C)).to(dtype), normal(f, C)
        self.weight, self.bias, self.grad = normal(D, 2 * f) / math.sqrt(max(f, 1)), normal(D), normal(E, D).to(dtype)
        self.nodes = normal(7, D) if adds else None
        self.kinds = normal(3, D) if adds else None
        self.kind = torch.randint(3, (E,), generator=generator) if adds else None
        self.table = rows_out_of_order(E) if adds else None

    @property
    def operands(self) -> list[Tensor | None]:
        return [getattr(self, name) for name in FOURIER_OPERANDS]

    def ours(self, tensors: list[Any]) -> Tensor:
        values, frequencies, weight, bias, nodes, kinds = tensors
        return fourier_linear(values, frequencies, weight, bias, self.table, nodes=nodes, kinds=kinds, kind=self.kind)

    def truth(self, tensors: list[Any]) -> Tensor:
        return reference(FourierOperands(*tensors), None if self.table is None else self.table.target(), self.kind)


def rows_out_of_order(edges: int) -> BlockTable:
    """Node 5 by two rows, node 0 last, an empty row, nodes without edges."""
    third = edges // 3
    counts = [third, 0, edges - 2 * third, third]
    first = [0, third, third, edges - third]
    rows = [[f, 0, n, node] for f, n, node in zip(first, counts, (5, 2, 0, 5), strict=True)]
    table = BlockTable.from_rows(rows, num_nodes=max(7, edges))
    return BlockTable(*table.rows.unbind(1), num_nodes=7, num_edges=edges, num_sources=max(7, edges))


def with_gradients(run: Any, tensors: list[Tensor | None], grad: Tensor) -> list[Tensor]:
    """The output and the gradients of all tensors but the frequencies."""
    leaves = [None if x is None else x.detach().clone().requires_grad_(i != 1) for i, x in enumerate(tensors)]
    out = run(leaves)
    wanted = [x for x in leaves if x is not None and x.requires_grad]
    return [out.detach(), *torch.autograd.grad(out, wanted, grad)]


def compare(case: Case) -> None:
    dtype = case.values.dtype
    ours = with_gradients(case.ours, case.operands, case.grad)
    exact = [None if x is None else x.double() for x in case.operands]
    truth = with_gradients(case.truth, exact, case.grad.double())
    assert ours[0].dtype == ours[1].dtype == dtype
    for found, expected in zip(ours, truth, strict=True):
        bound = TOLERANCES[dtype] * max(1.0, float(expected.abs().max()) if expected.numel() else 0.0)
        assert found.shape == expected.shape
        assert torch.allclose(found.double(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
@pytest.mark.parametrize("C", [1, 2, 9])
@pytest.mark.parametrize("D", [1, 3, 16, 17, 32, 64])
@pytest.mark.parametrize("f", [1, 3, 16, 33, 128])
def test_outputs_and_gradients(f: int, D: int, C: int, dtype: torch.dtype) -> None:
    compare(Case(45, f, D, C, dtype))


@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
@pytest.mark.parametrize("E", [0, 1, 31, 32, 33])
def test_few_edges(E: int, dtype: torch.dtype) -> None:
    compare(Case(E, 5, 3, 1, dtype))


@pytest.mark.parametrize(("f", "C"), [(0, 1), (3, 0), (0, 0)])
def test_no_frequencies_and_no_numbers(f: int, C: int) -> None:
    case = Case(3, f, 2, C, torch.float64)
    case.weight = torch.ones(2, 2 * f, dtype=torch.float64)
    compare(case)


@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
@pytest.mark.parametrize("D", [3, 16, 33, 112])
@pytest.mark.parametrize("adds", [True, False])
def test_many_edges_of_one_number(D: int, dtype: torch.dtype, adds: bool) -> None:
    """Enough of them for polynomials to serve instead of features; a few lie far away."""
    case = Case(20_000, 19, D, 1, dtype, spread=0.2, adds=adds)
    case.values[777], case.values[13_000] = 40.0, -5.0
    compare(case)


def test_an_edge_among_many_and_alone(served: str) -> None:
    case = Case(20_000, 19, 16, 1, torch.float32, spread=0.2, adds=False)
    among = case.ours(case.operands)[:40]
    alone = case.ours([case.values[:40], *case.operands[1:]])
    assert torch.allclose(among, alone, rtol=0, atol=1e-5)
    # Else these sizes would not test the polynomials.
    assert served != "cpu" or not torch.equal(among, alone)


@pytest.mark.parametrize("E", [40, 20_000])
@pytest.mark.parametrize("turns", [1.0, 100.0, 1600.0])
def test_large_angles(E: int, turns: float, served: str) -> None:
    """Angles of up to 1e4 and more; float32, against float64 of the same numbers."""
    case = Case(E, 16, 4, 1, torch.float32, adds=False)
    case.values = case.values.clamp(-3, 3) * 0.05 + turns
    case.frequencies = case.frequencies / case.frequencies.abs().max()
    truth = case.truth([None if x is None else x.double() for x in case.operands])
    error = float((case.ours(case.operands) - truth).abs().max() / case.weight.abs().sum(1).max())
    assert error < (1e-6 if served == "cpu" else max(1e-6, 2 * math.pi * turns * 2e-7))


@pytest.mark.parametrize("E", [40, 20_000])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_none(E: int, bad: float) -> None:
    case = Case(E, 6, 5, 1, torch.float32, spread=0.2)
    case.values[7] = bad
    out, d_values, d_weight, d_bias, *_ = with_gradients(case.ours, case.operands, case.grad)
    assert out[7].isnan().all()
    assert out[:7].isfinite().all()
    assert out[8:].isfinite().all()
    assert d_values[7].isnan().all()
    assert d_values[:7].isfinite().all()
    assert d_weight.isnan().all()
    assert d_bias.isfinite().all()


def test_first_and_second_derivatives() -> None:
    case = Case(5, 3, 2, 2, torch.float64)
    leaves = [x.requires_grad_() for i, x in enumerate(case.operands) if i != 1 and x is not None]

    def run(values: Tensor, *rest: Tensor) -> Tensor:
        return case.ours([values, case.frequencies, *rest])

    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_derivatives_of_polynomials() -> None:
    """As above for so many edges that the features are not made; along one direction, for they are many."""
    case = Case(3000, 2, 2, 1, torch.float64, spread=0.1, adds=False)

    def along(step: Tensor, values_too: Tensor) -> Tensor:
        return case.ours(
            [case.values * (1 + values_too), case.frequencies, case.weight + step, case.bias, None, None]
        ).sum()

    steps = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(along, steps)
    assert torch.autograd.gradgradcheck(along, steps)


@pytest.mark.parametrize("adds", [True, False])
def test_as_an_operator(adds: bool) -> None:
    case = Case(9, 3, 2, 1, torch.float64, adds=adds)
    rows = None if case.table is None else case.table.rows
    leaves = [None if x is None else x.requires_grad_(i != 1) for i, x in enumerate(case.operands)]
    torch.library.opcheck(_fourier, (rows, case.kind, *leaves))
    needs = [x is not None and x.requires_grad for x in leaves]
    torch.library.opcheck(_fourier_backward, (rows, case.kind, *leaves, case.grad.requires_grad_(), needs))


def test_compiled_as_one_graph() -> None:
    case = Case(50, 4, 3, 1, torch.float32)
    compiled = torch.compile(lambda *t: case.ours(list(t)).square(), fullgraph=True, backend="aot_eager")
    ours = with_gradients(lambda t: compiled(*t), case.operands, case.grad)
    eager = with_gradients(lambda t: case.ours(t).square(), case.operands, case.grad)
    assert all(torch.equal(a, b) for a, b in zip(ours, eager, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spread", [0.2, 1e3])
def test_the_same_bits_again(threads: int, spread: float, served: str) -> None:
    if served == "reference":
        pytest.skip("the order of torch's sums is its own")
    case = Case(9000, 16, 17, 1, torch.float32, spread=spread)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        first, *again = [with_gradients(case.ours, case.operands, case.grad) for _ in range(4)]
        assert all(torch.equal(a, b) for other in again for a, b in zip(first, other, strict=True))
        compare(case) if spread < 1 else None
    finally:
        torch.set_num_threads(before)


def test_inputs_in_any_layout() -> None:
    """Tensors that are strided, or lie at odd addresses, give what plain ones do."""
    case = Case(40, 5, 6, 2, torch.float32)
    plain = case.ours(case.operands)
    offset = [None if x is None else torch.cat([torch.zeros(3), x.flatten()])[3:].view(x.shape) for x in case.operands]
    strided = [None if x is None else torch.stack([x, x], dim=-1)[..., 0] for x in case.operands]
    assert torch.equal(case.ours(offset), plain)
    assert torch.allclose(case.ours(strided), plain, rtol=0, atol=1e-5)


def test_gradients_only_of_what_is_asked() -> None:
    case = Case(3000, 4, 3, 1, torch.float32, spread=0.1)
    case.bias.requires_grad_()
    case.ours(case.operands).backward(case.grad)
    assert case.bias.grad is not None
    assert torch.allclose(case.bias.grad, case.grad.sum(0), atol=1e-3)
    assert all(x.grad is None for x in (case.values, case.weight, case.nodes, case.kinds) if x is not None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.zeros(6, 3)}, r"expected frequencies of shape \[4, 3\], got \[4, 2\]"),
        ({"values": torch.zeros(6)}, r"expected values with two axes, got shape \[6\]"),
        ({"values": torch.zeros(6, 2, dtype=torch.int64)}, "expected values of .*, got torch.int64"),
        ({"values": torch.zeros(6, 2).to_sparse()}, "expected dense values, got layout torch.sparse_coo"),
        ({"values": torch.zeros(5, 2)}, "expected a table of 5 edges, as many as there are values, got one of 6"),
        ({"weight": torch.zeros(3, 7)}, r"expected weight of shape \[3, 8\], got \[3, 7\]"),
        ({"bias": torch.zeros(2)}, r"expected bias of shape \[3\], got \[2\]"),
        ({"nodes": torch.zeros(6, 3)}, r"expected nodes of shape \[7, 3\], got \[6, 3\]"),
        ({"nodes": None}, "expected nodes and table together, got table alone"),
        ({"kind": None}, "expected kinds and kind together, got kinds alone"),
        ({"kind": torch.zeros(5, dtype=torch.int64)}, r"expected kind as 6 int64, got \(5,\)"),
        ({"kind": torch.zeros(6, dtype=torch.int32)}, "expected kind as 6 int64, got .* of torch.int32"),
        ({"kind": torch.tensor([0, 1, 2, 3, 0, 0])}, "kind names row 3, outside the 3 rows of kinds"),
        ({"kind": torch.tensor([0, -1, 2, 0, 0, 0])}, "kind names row -1, outside the 3 rows of kinds"),
        ({"frequencies": torch.zeros(4, 2, requires_grad=True)}, "expected frequencies without gradient"),
        ({"bias": torch.zeros(3, device="meta")}, "expected bias on cpu, where the values are, got meta"),
    ],
)
def test_bad_input(change: dict[str, Any], message: str) -> None:
    case = Case(6, 4, 3, 2, torch.float32)
    for name, value in change.items():
        setattr(case, name, value)
    with pytest.raises(ValueError, match=message):
        case.ours(case.operands)


@pytest.mark.slow
def test_sums_over_more_edges_than_float32_counts(served: str) -> None:
    """Every edge adds 1, to sums beyond 2^24: pruned weights are equal, and all lie in one cell of the line."""
    if served != "cpu":
        pytest.skip("sums of plain torch are those of its float32")
    edges = 20_000_000
    weight, bias, kinds = torch.ones(1, 2, requires_grad=True), torch.zeros(1, requires_grad=True), torch.zeros(1, 1)
    kinds.requires_grad_()
    kind = torch.zeros(edges, dtype=torch.int64)
    out = fourier_linear(torch.zeros(edges, 1), torch.ones(1, 1), weight, bias, kinds=kinds, kind=kind)
    d_weight, d_bias, d_kinds = torch.autograd.grad(out.sum(), (weight, bias, kinds))
    assert torch.allclose(d_weight, torch.tensor([[float(edges), 0.0]]), rtol=1e-6, atol=1e-7 * edges)
    assert d_bias.tolist() == [edges]
    assert d_kinds.tolist() == [[edges]]


def test_no_outputs() -> None:
    assert fourier_linear(torch.randn(9, 1), torch.randn(4, 1), torch.zeros(0, 8), torch.zeros(0)).shape == (9, 0)
