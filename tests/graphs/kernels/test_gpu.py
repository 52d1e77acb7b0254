"""The sweep in Triton against the reference: on a CUDA device, or else in Triton's interpreter.

Triton decides when it is imported whether it interprets, so without a device the whole file runs again in a process
that does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from graphs.kernels import BlockTable, Update, fused_layer, fused_message, lazy_chain, lazy_message, segment_reduce
from graphs.kernels.backends import interpreted

pytest.importorskip("triton", reason="triton is not installed; pip install metazoo[triton]")

DEVICE = "cuda" if torch.cuda.is_available() and not interpreted() else "cpu"
HERE = DEVICE == "cuda" or interpreted()
runs = pytest.mark.skipif(not HERE, reason="no CUDA device; test_in_the_interpreter runs it in another process")
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4, torch.bfloat16: 2e-2}
ALL = ("sum", "mean", "max", "min", "std")


@pytest.mark.skipif(HERE, reason="this process runs the kernels")
def test_in_the_interpreter() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    torch.manual_seed(0)
    monkeypatch.setenv("METAZOO_CACHE", str(tmp_path))
    monkeypatch.delenv("METAZOO_PRECISION", raising=False)


def table_of(name: str) -> BlockTable:
    """Tables of every kind that a plan tells apart."""
    counts, nodes, first = TABLES[name]
    ends = torch.tensor([0, *counts]).cumsum(0)
    rows = [[int(ends[r]), first[r], counts[r], nodes[r]] for r in range(len(counts))]
    col = torch.randint(0, 50, (int(ends[-1]),)) if name == "explicit sources" else None
    return BlockTable.from_rows(rows, num_nodes=50, col=col).to(DEVICE)


_BLOCKS = [37] * 3 + [2] * 4 + [8] * 4, [45, 44, 43, *range(4), 1, 2, 10, 11], [0] * 3 + [3] * 4 + [5] * 4
TABLES = {
    "blocks": _BLOCKS,  # dense blocks of three fan-ins; nodes with rows in two, and nodes in none
    "ragged": ([3, 0, 1, 33, 17, 7], [4, 2, 4, 0, 1, 4], [0, 9, 5, 2, 1, 3]),  # rows of a node apart
    "explicit sources": _BLOCKS,
    "single edges": ([1] * 40, [7, 3] * 20, list(range(40))),  # a row an edge, of two nodes in turns
    "a long row": ([22] * 50, [7] * 50, [0] * 50),  # 1100 edges into a node: its partial results have partial results
    "no edges": ([0], [0], [0]),
}


def values(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(DEVICE, dtype).requires_grad_()


def agree(function, leaves: list[Tensor | None], monkeypatch: pytest.MonkeyPatch, dtype=torch.float64) -> None:
    """Outputs and gradients of all leaves are those of the reference, whatever lay in fresh memory."""
    weights: list[Tensor] = []

    def run(name: str) -> list[Tensor]:
        monkeypatch.setenv("METAZOO_KERNELS", name)
        outputs = function()
        weights.extend(torch.randn_like(x) for x in outputs[len(weights) :])
        inputs = [x for x in leaves if x is not None]
        return [*outputs, *torch.autograd.grad(outputs, inputs, weights)]

    expected = run("reference")
    with monkeypatch.context() as patch:
        fill_fresh_memory_with_nan(patch)
        found = run("triton")
    for f, e in zip(found, expected, strict=True):
        assert f.dtype == e.dtype
        assert f.shape == e.shape
        scale = 1 + float(e.detach().abs().max()) if e.numel() else 1.0
        torch.testing.assert_close(f, e, rtol=0, atol=TOLERANCE[dtype] * scale)


def fill_fresh_memory_with_nan(patch: pytest.MonkeyPatch) -> None:
    def poisoned(make):
        def made(*arguments, **keywords) -> Tensor:
            fresh = make(*arguments, **keywords)
            return fresh.fill_(torch.nan) if fresh.is_floating_point() else fresh

        return made

    patch.setattr(torch.Tensor, "new_empty", poisoned(torch.Tensor.new_empty))
    patch.setattr(torch, "empty_like", poisoned(torch.empty_like))


@runs
@pytest.mark.parametrize("name", TABLES)
def test_segments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(name)
    src = values(table.num_edges, 5)
    agree(lambda: segment_reduce(src, table, ALL), [src], monkeypatch)


@runs
@pytest.mark.parametrize("name", ["blocks", "ragged", "explicit sources", "single edges", "no edges"])
@pytest.mark.parametrize(("message", "act"), [("add", "relu"), ("film", "gelu"), ("mul", "tanh")])
def test_messages(name: str, message: str, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, D, G = table_of(name), 3, 5
    wide = 2 * G if message == "film" else G
    P, Q, e, We, b = values(50, G), values(50, G), values(table.num_edges, D), values(D, wide), values(wide)
    make = lambda: fused_message(P, Q, e, We, table, bias=b, message=message, act=act, reduce=("sum", "max"))  # noqa: E731
    agree(make, [P, Q, e, We, b], monkeypatch)


@runs
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reads", ["old", "new"])
def test_layers(reads: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    table, D, H, G = table_of("blocks"), 17, 3, 4
    kind = torch.float32 if dtype == torch.bfloat16 else dtype
    P, Q, U, V = (values(50, width, dtype=kind) for width in (G, G, H, H))
    We, Wu, Wo, bo = (values(*shape, dtype=kind) for shape in ((D, G), (D, H), (H, D), (D,)))
    e = values(table.num_edges, D, dtype=dtype)
    make = lambda: fused_layer(P, Q, U, V, e, We, Wu, Wo, table, bo=bo, act="silu", reads=reads, reduce=("sum", "std"))  # noqa: E731
    agree(make, [P, Q, U, V, e, We, Wu, Wo, bo], monkeypatch, dtype)


@runs
@pytest.mark.parametrize("message", ["add", "mul"])
def test_messages_of_the_edges_as_they_are(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of("ragged")
    P, e = values(50, 4), values(table.num_edges, 4)
    agree(lambda: fused_message(P, None, e, None, table, message=message, act="relu"), [P, e], monkeypatch)


@runs
def test_edges_are_updated_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphs.kernels.sweep.operators import sweep, sweep_in_place
    from graphs.kernels.sweep.program import Operands, Program

    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    table = table_of("blocks")
    program = Program(update_act="relu", keep=True, statistics=("sum",))
    t = Operands(values(table.num_edges, 4).detach(), Wu=values(1, 4, 4).detach())
    edges, (total,) = sweep(program, t, table)
    (found,) = sweep_in_place(program, t, table)
    torch.testing.assert_close(t.e, edges)
    torch.testing.assert_close(found, total)


@runs
@pytest.mark.parametrize("residual", [True, False])
def test_a_layer_without_most_of_its_parts(residual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of("ragged")
    e, V, Wu, We = values(table.num_edges, 6), values(50, 6), values(6, 6), values(6, 2)
    make = lambda: fused_layer(None, None, None, V, e, We, Wu, None, table, residual=residual, reduce=("min",))  # noqa: E731
    agree(make, [e, V, Wu, We], monkeypatch)


@runs
@pytest.mark.parametrize(("name", "taps"), [("blocks", 9), ("explicit sources", 1)])
def test_lazy_chains(name: str, taps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table, D, H = table_of(name), 5, 3
    w, a, b = values(table.num_edges, taps), values(taps, D), values(D)
    P, Q, We = values(50, D), values(50, D), values(D, D)
    updates = [Update(values(50, H), values(50, H), values(D, H), values(H, D), values(H), values(D)) for _ in range(2)]
    leaves = [w, a, b, P, Q, We, *(x for update in updates for x in update)]
    agree(lambda: lazy_chain(w, a, b, updates, P, Q, We, table, reduce=("sum", "min")), leaves, monkeypatch)


@runs
@pytest.mark.parametrize("act", ["identity", "relu", "silu", "gelu", "tanh", "sigmoid"])
def test_activations(act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of("ragged")
    w, a, b, Q = values(table.num_edges, 2), values(2, 3), values(3), values(50, 3)
    agree(lambda: lazy_message(w, a, b, None, Q, values_like_identity(3), table, act=act), [w, a, b, Q], monkeypatch)


def values_like_identity(width: int) -> Tensor:
    return torch.eye(width, dtype=torch.float64, device=DEVICE)


@runs
def test_ties_share_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal edges attain a maximum together, also over pieces that are combined later."""
    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    table = BlockTable.from_rows([[0, 0, 70, 1]], num_nodes=70).to(DEVICE)
    src = torch.zeros(70, 2, device=DEVICE, requires_grad=True)
    with torch.no_grad():
        src[torch.tensor([0, 33, 69]), 0] = 1.0
    segment_reduce(src, table, ("max",))[0].sum().backward()
    assert src.grad is not None
    torch.testing.assert_close(src.grad[:, 1], torch.full((70,), 1 / 70, device=DEVICE))
    torch.testing.assert_close(src.grad[:, 0], src.detach()[:, 0] / 3)


@runs
def test_nan_and_infinity_propagate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    table = BlockTable.from_rows([[0, 0, 3, 0], [3, 0, 3, 1]], num_nodes=4).to(DEVICE)
    src = torch.tensor([1.0, torch.nan, 2, 3, torch.inf, 4], device=DEVICE)[:, None]
    total, top, least = segment_reduce(src, table, ("sum", "max", "min"))
    assert total[:, 0].tolist()[1:] == [torch.inf, 0, 0]
    assert bool(torch.stack([total[0], top[0], least[0]]).isnan().all())
    assert (top[1].item(), least[1].item()) == (torch.inf, 3)


@runs
def test_results_repeat_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    table = table_of("blocks")
    e, P, We = (values(*shape, dtype=torch.float32) for shape in ((table.num_edges, 4), (50, 4), (4, 4)))
    results = []
    for _ in range(2):
        (out,) = fused_message(P, None, e, We, table, act="relu")
        results.append([out, *torch.autograd.grad(out.square().sum(), [e, P, We])])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@runs
@pytest.mark.parametrize(("precision", "error"), [("bf16", 3e-2), ("tf32", 1e-2), ("ieee", 1e-5)])
def test_precisions(precision: str, error: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if precision == "bf16" and interpreted():
        pytest.skip("Triton's interpreter cannot multiply bfloat16")
    table = table_of("blocks")
    e, We = values(table.num_edges, 16, dtype=torch.float32), values(16, 16, dtype=torch.float32)
    monkeypatch.setenv("METAZOO_KERNELS", "reference")
    exact = fused_message(None, None, e.double(), We.double(), table)[0]
    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    monkeypatch.setenv("METAZOO_PRECISION", precision)
    found = fused_message(None, None, e, We, table)[0]
    assert float((found - exact).detach().norm() / exact.detach().norm()) < error


@runs
def test_an_unknown_precision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAZOO_KERNELS", "triton")
    monkeypatch.setenv("METAZOO_PRECISION", "fp8")
    table = table_of("ragged")
    with pytest.raises(ValueError, match="METAZOO_PRECISION='fp8' is unknown; choose among ieee, tf32"):
        segment_reduce(values(table.num_edges, 2), table)


@runs
def test_tiles_are_measured_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from graphs.kernels.sweep import gpu_tuning
    from graphs.kernels.sweep.gpu_shape import Shape
    from graphs.kernels.sweep.program import Operands, Program

    shape = Shape.of(Program(statistics=("sum",)), Operands(torch.zeros(1, 8)), "tf32")
    seconds = {tile: 1.0 + k for k, tile in enumerate(reversed(gpu_tuning.candidates(shape)))}
    measured = []
    monkeypatch.setattr(gpu_tuning, "_tunable", lambda *_: True)
    monkeypatch.setattr(gpu_tuning, "_device_name", lambda _: "a device")
    monkeypatch.setattr(gpu_tuning, "_seconds", lambda tile, run: measured.append(tile) or seconds[tile])
    choose = lambda edges, s=shape: gpu_tuning.tile_for("k", s, edges, lambda _: None, torch.device("cuda"))  # noqa: E731
    best = min(seconds, key=lambda tile: seconds[tile])
    assert choose(100_000) == choose(120_000) == best
    assert len(measured) == len(seconds)
    gpu_tuning._table.cache_clear()
    assert choose(110_000) == best  # from the file
    assert len(measured) == len(seconds)
    choose(1_000_000)
    choose(100_000, replace(shape, precision="ieee"))
    assert len(json.loads((tmp_path / "triton-tiles.json").read_text())) == 3


@runs
def test_a_broken_file_of_tiles_is_replaced(tmp_path) -> None:
    from graphs.kernels.sweep import gpu_tuning

    file = tmp_path / "triton-tiles.json"
    file.write_text("{ half a")
    gpu_tuning._keep(file, {"key": (64, 4, 1)})
    assert gpu_tuning._read(file) == {"key": (64, 4, 1)}
