"""What it costs to turn a network into a parameter graph, and to move it along a symmetry.

Times are CPU times on one thread, in multiples of one eager forward pass of the probe measured beside them; medians
over repeats. Memory is what a fresh process needs at most beyond what it holds once the network is built.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import _results
import torch
from _resnet50 import resnet50
from torch import Tensor, nn

import graphs
from graphs import Recipe

VIT = {"input_shape": [3, 224, 224], "patch": 16, "width": 768, "depth": 12, "heads": 12, "expansion": 4}
GPT2 = {"vocabulary": 50257, "context": 1024, "width": 768, "depth": 12, "heads": 12, "expansion": 4}


@dataclass(frozen=True)
class Case:
    """A network and a probe of a usual size; ``megabytes`` is the bound on memory."""

    name: str
    build: Callable[[], nn.Module]
    probe: Callable[[], Tensor]
    megabytes: float


IMAGE: Callable[[], Tensor] = lambda: torch.randn(1, 3, 224, 224)  # noqa: E731
CASES = [
    Case("ResNet-50, one 224x224 image", resnet50, IMAGE, 300),
    Case("ViT-B/16, one 224x224 image", Recipe("vit", {**VIT, "outputs": 1000}).build, IMAGE, 1000),
    Case("GPT2-small, 64 tokens", Recipe("gpt", GPT2).build, lambda: torch.randint(50257, (1, 64)), 1000),
]


def measure_times(case: Case, repeats: int, seed: int) -> list[dict[str, Any]]:
    module, probe = case.build().eval(), case.probe()
    generator = torch.Generator().manual_seed(seed)
    forward(module, probe)
    rounds = [one_round(module, probe, generator) for _ in range(repeats)]
    figures = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    return [
        _results.row(f"{case.name}: forward pass", figures["forward"], "s"),
        _results.row(f"{case.name}: traced and bound", figures["trace"], "forwards", at_most=20),
        _results.row(f"{case.name}: symmetry drawn and applied", figures["symmetry"], "tracing times", at_most=1),
    ]


def one_round(module: nn.Module, probe: Tensor, generator: torch.Generator) -> dict[str, float]:
    """Seconds of a forward pass, and the rest in the units of the rows."""
    eager = statistics.median(cpu_seconds(lambda: forward(module, probe)) for _ in range(3))
    built: list[graphs.ParameterGraph] = []
    trace = cpu_seconds(lambda: built.append(graphs.trace(module, probe).bind(module.state_dict())))
    graph = built[0]
    symmetry = cpu_seconds(lambda: graph.apply(graph.topology.random_symmetry(generator)))
    return {"forward": eager, "trace": trace / eager, "symmetry": symmetry / trace}


def forward(module: nn.Module, probe: Tensor) -> None:
    with torch.no_grad():
        module(probe)


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure_memory(case: Case) -> list[dict[str, Any]]:
    """In this process, which must be fresh: the highest memory so far counts."""
    module, probe = case.build().eval(), case.probe()
    before = resident_megabytes()
    topology = graphs.trace(module, probe)
    graph = topology.bind(module.state_dict())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    index = 16 * topology.num_edges / 1e6
    assert graph.topology is topology
    return [
        _results.row(f"{case.name}: parameters", topology.num_parameters, ""),
        _results.row(f"{case.name}: memory while traced and bound", peak - before, "MB", at_most=case.megabytes),
        _results.row(f"{case.name}: the topology as JSON", len(topology.to_json()) / 1e6, "MB", at_most=index / 100),
        _results.row(f"{case.name}: an edge_index, which is not made", index, "MB"),
    ]


def resident_megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def measure_expansion(case: Case) -> list[dict[str, Any]]:
    """Every edge of the network written out for PyG, with its weights."""
    module, probe = case.build().eval(), case.probe()
    graph = graphs.trace(module, probe).bind(module.state_dict())
    forward(module, probe)
    eager = statistics.median(cpu_seconds(lambda: forward(module, probe)) for _ in range(3))
    # PyG takes seconds to import.
    graphs.trace(nn.Linear(1, 1), torch.zeros(1, 1)).bind(nn.Linear(1, 1).state_dict()).to_data()
    data: list[Any] = []
    seconds = cpu_seconds(lambda: data.append(graph.to_data()))
    edges = sum(store.edge_index.shape[1] for store in data[0].edge_stores)
    assert edges == graph.topology.num_edges
    return [
        _results.row(f"{case.name}: edges written out for PyG", edges, ""),
        _results.row(f"{case.name}: PyG data", seconds / eager, "forwards"),
    ]


def measure(number: int, what: str, repeats: int, seed: int) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    case = CASES[number]
    if what == "times":
        return measure_times(case, repeats, seed)
    return measure_memory(case) if what == "memory" else measure_expansion(case)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each timing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work = [(i, what) for i in range(len(CASES)) for what in ("times", "memory")] + [(0, "expansion")]
    rows = []
    for number, what in work:
        # A process of its own each: memory is measured as the peak of a process.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (number, what, options.repeats, options.seed))
        _results.show(found)
        rows += found
    _results.finish(options.json, rows, options.seed)


if __name__ == "__main__":
    main()
