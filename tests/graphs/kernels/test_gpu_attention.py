"""Attention in Triton: interpreted against the reference, and compiled ahead of time for three generations of GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton")

from attention_cases import assert_same, kernel, operands  # noqa: E402

from graphs.kernels import BlockTable, Pairs, segment_softmax  # noqa: E402
from graphs.kernels.attending import gpu_kernels as kernels  # noqa: E402
from graphs.kernels.attending import reference as reference_attention  # noqa: E402
from graphs.kernels.attending.gpu import Shape  # noqa: E402
from graphs.kernels.backends import interpreted  # noqa: E402

needs_interpreter = pytest.mark.skipif(not interpreted(), reason="runs below, with TRITON_INTERPRET=1")
needs_compiler = pytest.mark.skipif(interpreted(), reason="interpreted kernels are not compiled")
# Node 1 has two rows, node 0 more edges than a tile of 32, node 2 none.
COL = torch.randint(4, (36,), generator=torch.Generator().manual_seed(0))
TABLE = BlockTable.from_rows([[0, 0, 2, 1], [2, 0, 33, 0], [35, 0, 1, 1]], num_nodes=4, col=COL)
PAIRS = Pairs(torch.tensor([0, 2, 3])).table
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 1e-2}


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "triton")


# ---- interpreted


@needs_compiler
def test_interpreted_kernels_agree_with_the_reference() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


@needs_interpreter
@pytest.mark.parametrize(
    ("edges", "width", "heads", "dtype"),
    [(3, 4, 2, torch.float64), (17, 17, 1, torch.float32), (33, 6, 2, torch.bfloat16)],
)
def test_every_storage_at_odd_widths(edges: int, width: int, heads: int, dtype: torch.dtype, forced: None) -> None:
    assert_same(operands(TABLE, edges=edges, width=width, dtype=dtype), TABLE, heads, TOLERANCE[dtype])


@needs_interpreter
@pytest.mark.parametrize("without", [["bias"], ["e", "We", "bias"]])
def test_operands_that_are_left_out(without: list[str], forced: None) -> None:
    assert_same(operands(PAIRS, edges=2, width=4, without=without), PAIRS, 2, 1e-13)


@needs_interpreter
@pytest.mark.parametrize("columns", [1, 3, 70])
def test_softmax(columns: int, forced: None) -> None:
    x = torch.randn(36, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for run in (segment_softmax, reference_attention.segment_softmax):
        leaf = x.clone().requires_grad_()
        out = run(leaf, TABLE)
        found.append((out.detach(), *torch.autograd.grad(out.square().sum(), leaf)))
    for arrived, expected in zip(*found, strict=True):
        assert torch.allclose(arrived, expected, rtol=0, atol=1e-14)


@needs_interpreter
def test_what_is_not_a_number_stays_in_its_node_and_head(forced: None) -> None:
    t = operands(PAIRS, edges=2, width=4)
    t["k"][2, 0] = torch.nan
    expected = torch.zeros(3, 4, dtype=torch.bool)
    expected[2, :2] = True  # the only node of its graph, and the first of two heads
    assert torch.equal(kernel(t, PAIRS, 2).isnan(), expected)


@needs_interpreter
def test_maps_too_wide_for_a_program_go_to_the_reference(forced: None) -> None:
    t = operands(TABLE, edges=100, width=100)
    with pytest.warns(RuntimeWarning, match="100 channels of a head .* 100 numbers of an edge"):
        assert_same(t, TABLE, 1, 0)


# ---- ahead of time

TYPES = {
    **dict.fromkeys("q k v We bias out lse g delta dq dWe dbias dk dv x".split(), "*fp32"),
    **dict.fromkeys("start first first_source count col edges targets".split(), "*i64"),
    **{"e": "*bf16", "de": "*bf16", "scale": "fp32", "nodes": "i32"},
}


def shared_memory(name: str, shape: Shape, capability: int, without: tuple[str, ...] = ()) -> int:
    """Bytes of shared memory of a kernel that is compiled for a GPU which need not be there."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    compiled: Any = getattr(kernels, name)
    missing = dict.fromkeys((n for n in compiled.arg_names if n in without), None)
    signature = {n: "constexpr" if n in missing or n == "S" else TYPES[n] for n in compiled.arg_names}
    source = ASTSource(compiled, signature, {**missing, "S": shape})
    how = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=how).metadata.shared


KERNELS = ("forward_kernel", "of_destinations", "of_edges", "of_sources")


@needs_compiler
@pytest.mark.parametrize(
    "capability", [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(100, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", KERNELS)
def test_neural_graphs_compile_for_every_generation(name: str, capability: int) -> None:
    shape = Shape(A=128, C=16, H=8, D=32, precision="tf32")
    assert shared_memory(name, shape, capability) <= 24 << 10


@needs_compiler
def test_plain_attention_and_softmax_compile() -> None:
    assert shared_memory("forward_kernel", Shape(128, 16, 8, 0), 90, ("e", "We", "bias", "col")) <= 24 << 10
    assert shared_memory("softmax_kernel", Shape(8, 8, 1, 0), 90, ("g",)) <= 24 << 10


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("channels", "edges"), [(16, 128), (32, 64), (64, 32), (128, 16)])
def test_the_widest_maps_compile(name: str, channels: int, edges: int, capability: int) -> None:
    shape = Shape(A=128, C=channels, H=128 // channels, D=edges, T=16 if max(channels, edges) > 64 else 32)
    assert shared_memory(name, shape, capability) <= 96 << 10
