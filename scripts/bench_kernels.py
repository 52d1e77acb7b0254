"""How fast message passing on parameter graphs is, against the same operations in PyTorch Geometric and plain torch.

    python scripts/bench_kernels.py --json OUT                  # one CPU thread
    python scripts/bench_kernels.py --device cuda --json OUT    # a GPU
    python scripts/bench_kernels.py --large                     # a graph of 124 million edges

All styles of an operation are first compared, outputs and gradients, and then run in turn in one process; of each the
best time counts: CPU time, or the time between two events of a GPU. On the CPU this is done twice: glibc by default
maps large tensors afresh for each allocation, and page faults hide what the code costs; with a raised threshold memory
is retained, and there the bounds apply. Memory is measured apart, in a process that gives freed memory back at once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _kernel_large
import _kernel_lazy
import _kernel_limits
import _kernel_memory
import _kernel_models
import _kernel_timing
import _results
import torch
from _kernel_cases import SIREN, cases

Rows = list[dict[str, Any]]
Options = argparse.Namespace
RETAINED = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
RETURNED = {"MALLOC_MMAP_THRESHOLD_": str(2**16)}


def times(options: Options, gated: bool) -> Rows:
    torch.set_float32_matmul_precision(_kernel_timing.PRECISION[options.device])
    limits = _kernel_limits.measure(options.device)
    rows = said(limits.rows())
    repeats = 7 if gated and not options.quick else 3
    for case in cases(options.device, options.quick, options.seed):
        rows += said(_kernel_timing.measure(case, options.device, limits, repeats, gated))
    for subject in _kernel_models.subjects(options.device, options.quick, options.seed):
        rows += said(_kernel_models.measure_times(subject, (repeats + 1) // 2, gated))
    return rows


def gated_times(options: Options) -> Rows:
    """What bounds are about: the times, the lazy messages, and whether training goes the same way."""
    torch.manual_seed(options.seed)
    rows = times(options, gated=True)
    rows += said(_kernel_lazy.measure(options.device, layer_size(options), 3))
    for model in _kernel_models.MODELS:
        few = _kernel_models.Subject(model, SIREN, 8, options.device, options.seed)
        rows += said(_kernel_models.compare_curves(few))
    return rows


def memory(options: Options) -> Rows:
    rows: Rows = []
    for case in cases(options.device, options.quick, options.seed):
        if case.memory is not None:
            rows += said(_kernel_memory.measure(case, options.device))
    for subject in _kernel_models.subjects(options.device, options.quick, options.seed):
        rows += said(_kernel_models.measure_memory(subject))
    return rows + said(_kernel_lazy.measure_memory(options.device, layer_size(options)))


def large(options: Options) -> Rows:
    table = _kernel_large.gpt2_small(1, 2000) if options.quick else _kernel_large.gpt2_small()
    return said(_kernel_large.measure(table, options.seed))


def layer_size(options: Options) -> int:
    """Inputs and outputs of the layer whose edges are made as they are read."""
    return 1024 if options.quick else 8192


def said(rows: Rows) -> Rows:
    _results.show(rows)
    sys.stdout.flush()
    return rows


# A part: what of the C library's memory its process is told, and what it measures.
Part = tuple[dict[str, str], Callable[[Options], Rows]]
PARTS: dict[str, Part] = {
    "default malloc": ({}, lambda options: times(options, gated=False)),
    "retained malloc": (RETAINED, gated_times),
    "memory": (RETURNED, memory),
    "large": ({}, large),
}
OF_DEVICE = {"cpu": ("default malloc", "retained malloc", "memory"), "cuda": ("retained malloc", "memory")}


def run(part: str, options: Options) -> Rows:
    """The rows of a part, measured in a process of its own; those of the default malloc say so."""
    print(f"---- {part}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        words = [f"--{name}={getattr(options, name)}" for name in ("device", "seed")]
        command = [sys.executable, __file__, *words, "--part", part, "--json", str(path)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **PARTS[part][0]}
        if subprocess.run(command + ["--quick"] * options.quick, env=environment).returncode:
            raise SystemExit(f"the part {part!r} stopped; what it says stands above")
        rows: Rows = json.loads(path.read_text())["rows"]
    return [{**r, "what": f"{part}: {r['what']}"} for r in rows] if part == "default malloc" else rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--device", choices=sorted(OF_DEVICE), default="cpu")
    parser.add_argument("--large", action="store_true", help="only the graph of GPT2-small's size, on the CPU")
    parser.add_argument("--quick", action="store_true", help="smaller graphs and fewer runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=sorted(PARTS), help="only this part, in this process")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here: torch.cuda.is_available() is False; run without --device cuda")
    if options.part:
        torch.set_num_threads(1)
        rows = PARTS[options.part][1](options)
        if options.json:
            _results.write(options.json, rows, options.seed)
        return
    parts = ("large",) if options.large else OF_DEVICE[options.device]
    _results.finish(options.json, [r for part in parts for r in run(part, options)], options.seed)


if __name__ == "__main__":
    main()
