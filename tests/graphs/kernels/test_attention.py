"""Attention over the edges against its reference, against torch, and with masks that hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from attention_cases import NAMES, assert_same, kernel, operands, output_and_gradients, plain
from cases import table

from graphs.kernels import BlockTable, Pairs, attention
from graphs.kernels.attending import cpu as cpu_attention
from graphs.kernels.attending import reference as reference_attention
from graphs.kernels.attending.operands import Attended
from graphs.kernels.attending.operators import _attention, _attention_backward

if (reason := cpu_attention.CODE.why_not()) is not None:
    pytest.skip(reason, allow_module_level=True)

FAN_INS = (0, 1, 2, 15, 16, 17, 300)
MIXED = (2, 0, 300, 1, 1, 17, 16, 0, 15, 3, 2, 2)
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-5, torch.bfloat16: 1e-2}
SMALL = BlockTable.from_rows([[0, 0, 2, 1], [2, 1, 3, 0], [5, 0, 1, 1]], num_nodes=5)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "cpu")


@pytest.fixture
def poisoned() -> Iterator[None]:
    """New memory is full of NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


# ---- against the reference


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("edges", "width", "heads"), [(32, 128, 8), (1, 1, 1), (3, 34, 2), (17, 33, 3), (33, 80, 5)])
def test_every_storage_at_odd_widths(edges: int, width: int, heads: int, dtype: torch.dtype, poisoned: None) -> None:
    on = table(MIXED)
    assert_same(operands(on, edges=edges, width=width, dtype=dtype), on, heads, TOLERANCE[dtype])


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_number_of_heads(heads: int, dtype: torch.dtype) -> None:
    on = table(MIXED)
    assert_same(operands(on, width=3 * heads, dtype=dtype), on, heads, TOLERANCE[dtype])


@pytest.mark.parametrize("fan_in", FAN_INS)
def test_every_fan_in(fan_in: int, poisoned: None) -> None:
    on = table([fan_in] * 9)
    assert_same(operands(on), on, 4, 1e-13)


@pytest.mark.parametrize("without", [["bias"], ["e", "We", "bias"]])
@pytest.mark.parametrize("with_col", [False, True])
def test_operands_that_are_left_out(without: list[str], with_col: bool) -> None:
    on = table(MIXED, with_col=with_col)
    assert_same(operands(on, without=without), on, 4, 1e-13)


def test_sources_that_are_other_nodes() -> None:
    rows = torch.tensor([[0, 4, 3, 1], [3, 0, 7, 0], [10, 2, 2, 1]])
    on = BlockTable(*rows.unbind(1), num_nodes=2, num_edges=12, num_sources=7)
    assert_same(operands(on), on, 4, 1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_is_wanted_alone(name: str) -> None:
    on = table(MIXED)
    t = operands(on)
    found = []
    for run in (kernel, plain):
        leaf = t[name].clone().requires_grad_()
        found.append(torch.autograd.grad(run({**t, name: leaf}, on, 4).square().sum(), leaf)[0])
    assert torch.allclose(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("nodes", "edges", "out"),
    [
        (torch.bfloat16, torch.bfloat16, torch.float32),
        (torch.float64, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, None, torch.float32),
        (torch.float64, None, torch.float64),
    ],
)
def test_sums_are_made_in_the_precision_of_the_edges(
    nodes: torch.dtype, edges: torch.dtype | None, out: torch.dtype
) -> None:
    t = operands(SMALL, without=["e", "We", "bias"] if edges is None else [])
    t = {n: None if x is None else x.to(edges if n == "e" else nodes).requires_grad_() for n, x in t.items()}
    found = kernel(t, SMALL, 4)
    found.sum().backward()
    assert found.dtype == out
    assert all(x is None or (x.grad is not None and x.grad.dtype == x.dtype) for x in t.values())


def test_large_scores_stay_finite() -> None:
    on = table(MIXED)
    t = operands(on, dtype=torch.float32)
    t["q"] = t["q"] * 1e4
    out, expected = kernel(t, on, 4), plain(t, on, 4)
    assert out.isfinite().all()
    assert torch.allclose(out, expected, atol=1e-2)


# ---- against torch


@pytest.mark.parametrize("run", [kernel, plain])
def test_plain_attention_is_that_of_torch(run) -> None:
    pairs = Pairs(torch.tensor([0, 5, 12]))
    t = operands(pairs.table, width=24, without=["e", "We", "bias"])
    heads = [t[n].unflatten(1, (4, 6)).transpose(0, 1) for n in "qkv"]
    graph = torch.repeat_interleave(torch.arange(2), torch.tensor([5, 7]))
    mask = graph[:, None] == graph[None, :]
    expected = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=mask, scale=24**-0.5)
    assert torch.allclose(run(t, pairs.table, 4), expected.transpose(0, 1).flatten(1), atol=1e-14)


@pytest.mark.parametrize("run", [kernel, plain])
def test_the_equations_of_one_edge_after_the_other(run) -> None:
    t = operands(SMALL, edges=3, width=4)
    q, k, v, e, We, bias = (t[n] for n in NAMES)
    expected = torch.zeros(5, 4, dtype=torch.float64)
    for i in (0, 1):
        edges = [n for n, target in enumerate(SMALL.target().tolist()) if target == i]
        parts = [(e[n] @ We + bias).chunk(4) for n in edges]
        for head in (slice(0, 2), slice(2, 4)):
            sources = [int(SMALL.source()[n]) for n in edges]
            scores = [((q[i] + p[0]) * (k[j] + p[1]))[head].sum() / 2 for p, j in zip(parts, sources, strict=True)]
            weights = torch.stack(scores).softmax(0)
            values = torch.stack([(v[j] * p[2] + p[3])[head] for p, j in zip(parts, sources, strict=True)])
            expected[i, head] = (weights[:, None] * values).sum(0)
    assert torch.allclose(run(t, SMALL, 2), expected, atol=1e-14)


# ---- masks


def test_a_graph_gives_the_same_alone_and_beside_bigger_ones() -> None:
    ptr = torch.tensor([0, 11, 18, 58])
    together = Pairs(ptr).table
    t = operands(together)
    out = output_and_gradients(kernel, t, together, 4)
    alone = Pairs(torch.tensor([0, 7])).table
    parts = {**t, **{n: t[n][11:18] for n in "qkv"}, "e": t["e"][121:170]}
    assert torch.allclose(kernel(parts, alone, 4), out["out"][11:18], rtol=0, atol=1e-14)


def test_a_node_without_edges_gets_0() -> None:
    out = kernel(operands(SMALL), SMALL, 4)
    assert (out[2:] == 0).all()
    assert (out[:2] != 0).all()


@pytest.mark.parametrize("name", ["q", "k", "v", "e"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_where_the_reference_has_it(name: str, value: float) -> None:
    on = table(MIXED)
    t = operands(on, width=8, dtype=torch.float32)
    t[name][4, 3] = value
    arrived, expected = (output_and_gradients(run, t, on, 4) for run in (kernel, plain))
    reached = expected["out"].isfinite()
    assert torch.equal(arrived["out"].isfinite(), reached)
    assert not reached.all()
    for gradient in ("d q", "d k", "d v", "d e"):
        assert torch.equal(arrived[gradient].isfinite(), expected[gradient].isfinite()), gradient


@pytest.mark.parametrize("masked", [0, 40, 50])
def test_a_score_of_minus_infinity_has_no_weight(masked: int) -> None:
    on = BlockTable.from_rows([[0, 0, 50, 0]], num_nodes=50)
    one, v = torch.ones(50, 1), torch.arange(50.0)[:, None]
    k = torch.zeros(50, 1)
    k[:masked] = -torch.inf
    out = attention(one, k, v, None, None, on, heads=1)[0, 0]
    assert torch.equal(out.isnan(), torch.tensor(masked == 50))
    assert masked == 50 or float(out) == pytest.approx((masked + 49) / 2)


# ---- as an operator


def test_derivatives() -> None:
    t = operands(SMALL, edges=2, width=4)
    leaves = [t[n].requires_grad_() for n in NAMES]

    def run(q, k, v, e, We, bias):
        return attention(q, k, v, e, We, SMALL, bias=bias, heads=2)

    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("without", [[], ["e", "We", "bias"]])
def test_torch_accepts_the_operators(without: list[str]) -> None:
    t = operands(SMALL, edges=2, width=4, without=without)
    leaves = [None if t[n] is None else t[n].requires_grad_() for n in NAMES]
    sizes = (SMALL.rows, None, 5, 6, 2, 0.5)
    torch.library.opcheck(_attention, (*sizes, *leaves))
    out, lse = (x.detach() for x in _attention(*sizes, *leaves))
    needs = [x is not None for x in leaves]
    torch.library.opcheck(_attention_backward, (*sizes, *leaves, out, lse, torch.randn_like(out), needs))


def test_compiled_in_one_graph() -> None:
    t = operands(SMALL, edges=2, width=4)
    leaves = [t[n].requires_grad_() for n in NAMES]

    def run(q, k, v, e, We, bias):
        return attention(q, k, v, e, We, SMALL, bias=bias, heads=2).square().sum()

    whole = torch.compile(run, fullgraph=True, backend="aot_eager")
    for found, expected in zip(
        torch.autograd.grad(whole(*leaves), leaves), torch.autograd.grad(run(*leaves), leaves), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_agree_and_repeat_themselves_bit_for_bit(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "EDGES_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    on = table(MIXED)
    assert_same(operands(on), on, 4, 1e-13)
    t = operands(on, dtype=torch.float32)
    once, again = (output_and_gradients(kernel, t, on, 4) for _ in range(2))
    assert all(torch.equal(once[n], again[n]) for n in once)


def test_no_edge_tensor_of_the_width_of_the_nodes_is_kept() -> None:
    on = table(MIXED)
    t = operands(on, edges=2, width=64)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(tuple(x.shape)) or x, lambda x: x):
        kernel({n: x.requires_grad_() for n, x in t.items()}, on, 4)
    assert (on.num_edges, 2) in kept
    assert all(shape[0] != on.num_edges or shape[1:] in [(), (2,)] for shape in kept)


def test_the_reference_serves_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "reference")
    monkeypatch.setattr(cpu_attention, "forward", None)
    t = operands(SMALL)
    assert torch.equal(kernel(t, SMALL, 4), plain(t, SMALL, 4))


# ---- bad input

BAD = {
    "heads that divide the width of q, 24, got 5": {"heads": 5},
    "heads that divide the width of q, 24, got 0": {"heads": 0},
    r"expected k of shape \[5, 24\], got \[4, 24\]": {"k": torch.zeros(4, 24)},
    r"expected e of shape \[6, 5\], got \[7, 5\]": {"e": torch.zeros(7, 5)},
    r"expected We of shape \[5, 96\], got \[5, 72\]": {"We": torch.zeros(5, 72)},
    r"expected bias of shape \[96\], got \[24\]": {"bias": torch.zeros(24)},
    "expected e and We both or neither, and bias with them only, got q, k, v, We, bias": {"e": None},
    "and bias with them only, got q, k, v, bias": {"e": None, "We": None},
    "expected v dense and of .*, got torch.int64": {"v": torch.zeros(5, 24, dtype=torch.int64)},
    "expected q of two dimensions, got shape": {"q": torch.zeros(5)},
    "expected v on cpu, where the table is, got meta": {"v": torch.zeros(5, 24, device="meta")},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message: str) -> None:
    given = {"heads": 4, **operands(SMALL), **BAD[message]}
    q, k, v, e, We, bias = (given[n] for n in NAMES)
    with pytest.raises(ValueError, match=message):
        attention(q, k, v, e, We, SMALL, bias=bias, heads=given["heads"])


def test_the_scale_is_not_by_head() -> None:
    t = operands(SMALL)
    q, k, v, e, We, bias = (t[n] for n in NAMES)
    given = attention(q, k, v, e, We, SMALL, bias=bias, heads=4, scale=0.5)
    expected = reference_attention.attention(Attended(q, k, v, e, We, bias, 4, 0.5), SMALL)
    assert torch.allclose(given, expected, atol=1e-14)
    assert torch.allclose(kernel(t, SMALL, 4), attention(q, k, v, e, We, SMALL, bias=bias, heads=4, scale=24**-0.5))


def test_sums_over_many_edges_keep_small_terms() -> None:
    """Five million edges, whose weights of 1/250 add up to 20,000."""
    nodes, fan_in = 20_000, 250
    columns = torch.arange(nodes) * fan_in, torch.zeros(nodes, dtype=torch.int64)
    on = BlockTable(*columns, torch.full((nodes,), fan_in), torch.arange(nodes), nodes, nodes * fan_in)
    e, q, v = torch.ones(on.num_edges, 1), torch.zeros(nodes, 1), torch.ones(nodes, 1)
    We, bias = torch.zeros(1, 4, requires_grad=True), torch.zeros(4, requires_grad=True)
    out = attention(q, q, v, e, We, on, bias=bias, heads=1)
    for gradient in torch.autograd.grad(out.sum(), (We, bias)):
        assert torch.allclose(gradient.flatten(), torch.tensor([0.0, 0.0, nodes, nodes]), rtol=1e-4, atol=1e-3)
