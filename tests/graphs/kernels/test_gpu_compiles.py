"""Every Triton kernel compiles for the devices that it is written for, within their shared memory, without a device.

The launches are those of a real sweep: only the last step is replaced, compilation instead of execution. Triton keeps
its target for a process, so each architecture has its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed; pip install metazoo[triton]")

# What a block may have, in bytes.
SHARED = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}


def compiled(architecture: int, cases: list[str], tmp_path) -> list[dict]:
    """What the kernels of cases, names in CASES, were compiled to."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TRITON_", "METAZOO_"))}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, __file__, str(architecture), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("architecture", SHARED)
def test_the_main_kernels_fit(architecture: int, tmp_path) -> None:
    found = compiled(architecture, ["layer"] if architecture != 90 else ["layer", "edges"], tmp_path)
    assert {kernel["name"] for kernel in found} == {"forward_kernel", "backward_kernel", "combine"}
    assert all(0 <= kernel["shared"] <= SHARED[architecture] for kernel in found)
    # Products of tensor cores, of whichever generation.
    sweeps = [kernel for kernel in found if kernel["name"] != "combine" and kernel["case"] == "layer"]
    assert all(kernel["tensor_cores"] for kernel in sweeps)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["layer64", "layer128", "ieee", "wide ieee", "double", "bf16", "chain", "film", "col"])
@pytest.mark.parametrize("architecture", SHARED)
def test_every_variant_fits(architecture: int, case: str, tmp_path) -> None:
    found = compiled(architecture, [case], tmp_path)
    assert all(0 <= kernel["shared"] <= SHARED[architecture] for kernel in found)


def test_the_number_of_edges_is_not_compiled_in(tmp_path) -> None:
    found = compiled(90, ["many edges", "more edges", "edges"], tmp_path)
    after = {kernel["case"]: kernel["compilations"] for kernel in found}
    assert after["many edges"] == after["more edges"] == after["edges"] > 0


# ---- in the other process


def _table(copies: int):
    """Rows of one width, or copies of rows of all widths."""
    from graphs.kernels import BlockTable

    counts = ([64] * 8 + [8] * 8 + [2] * 8) * copies if copies else [64] * 8
    rows, first = [], 0
    for r, count in enumerate(counts):
        rows.append([first, 0, count, r // 2])
        first += count
    return BlockTable.from_rows(rows, num_nodes=max(len(counts), 64))


def _case(width: int = 32, copies: int = 0, dtype: torch.dtype = torch.float32, col: bool = False, **choices):
    """Program, operands and table of a layer; ``choices`` are of the program, K and C of the operands."""
    from graphs.kernels.sweep.program import Operands, Program

    K, C, precision = choices.pop("K", 1), choices.pop("C", None), choices.pop("precision", "tf32")
    table = _table(copies)
    if col:
        from dataclasses import replace

        table = replace(table, col=torch.zeros(table.num_edges, dtype=torch.int64))
    program = Program(**({"act": "relu", "update_act": "relu", "statistics": ("sum",)} | choices))
    kind, N, F = torch.float32 if dtype == torch.bfloat16 else dtype, table.num_nodes, width
    zeros = lambda *shape: torch.zeros(*shape, dtype=kind)  # noqa: E731
    operands = {"e": torch.zeros(table.num_edges, C or F, dtype=dtype)}
    operands |= {"enc_a": zeros(C, F), "enc_b": zeros(F)} if C else {}
    if program.message != "edge":
        G = 2 * F if program.message == "film" else F
        operands |= {"P": zeros(N, F), "Q": zeros(N, F), "We": zeros(F, G), "be": zeros(G)}
        operands |= {"U": zeros(K, N, F), "V": zeros(K, N, F), "Wu": zeros(K, F, F), "bu": zeros(K, F)}
        operands |= {"Wo": zeros(K, F, F), "bo": zeros(K, F)}
    return program, Operands(**operands), table, precision


LAYER = {"message": "add", "reads": "old", "keep": True}
CASES = {
    "layer": lambda: _case(**LAYER),
    "edges": lambda: _case(copies=1),
    "more edges": lambda: _case(copies=3),
    "many edges": lambda: _case(copies=16),
    "layer64": lambda: _case(64, **LAYER),
    "layer128": lambda: _case(128, **LAYER),
    "ieee": lambda: _case(**LAYER, precision="ieee"),
    "wide ieee": lambda: _case(64, **LAYER, precision="ieee"),
    "double": lambda: _case(16, dtype=torch.float64, **LAYER, precision="ieee"),
    "bf16": lambda: _case(dtype=torch.bfloat16, **LAYER, precision="bf16"),
    "chain": lambda: _case(16, encoder="relu", C=9, K=3, message="add", act="silu", statistics=("sum", "max")),
    "film": lambda: _case(17, message="film", act="gelu", update_act="tanh", statistics=("sum", "square", "min")),
    "col": lambda: _case(col=True, message="mul", act="sigmoid"),
}


class _Driver:
    """A device that can be compiled for, nothing more."""

    def __init__(self, architecture: int) -> None:
        from triton.backends.compiler import GPUTarget

        self.get_current_target = lambda: GPUTarget("cuda", architecture, 32)
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda device=None: 0


def _compile(architecture: int, names: list[str]) -> None:
    from triton.runtime import driver

    from graphs.kernels.sweep import gpu, gpu_sweep

    driver.set_active(_Driver(architecture))  # pyright: ignore[reportArgumentType]
    found, kernels = [], set()

    def start(kernel, grid, *arguments, **choices) -> None:
        binary = kernel.warmup(*arguments, grid=grid, **choices)
        kernels.add(kernel)
        cores = any(name in binary.asm["ptx"] for name in ("mma.sync", "wgmma", "tcgen05.mma"))
        # What Triton has compiled so far: a launch that needs nothing new leaves it as it is.
        known = sum(len(kernel.device_caches[0][0]) for kernel in kernels)
        about = {"name": kernel.__name__, "shared": binary.metadata.shared, "tensor_cores": cores}
        found.append(about | {"case": name, "compilations": known})

    gpu_sweep.start = start
    for name in names:
        program, t, table, precision = CASES[name]()
        os.environ[gpu_sweep.VARIABLE] = precision
        output = gpu.forward(program, t, table.rows, table.col, table.num_nodes)
        nodes, edges = output[int(program.keep) :], output[0] if program.keep else None
        needs = [x is not None for x in t]
        given = nodes[: len(program.statistics)]
        every = program.statistics
        kept = [x for kind, x in zip(every, nodes, strict=False) if kind in ("max", "min")] + nodes[len(every) :]
        gpu.backward(program, t, table.rows, table.col, table.num_nodes, kept, edges, given, needs)
    print(json.dumps(found))


if __name__ == "__main__":
    _compile(int(sys.argv[1]), sys.argv[2:])
