"""What it costs to predict the parameters of a network with a graph hypernetwork.

Times are CPU times on one thread, medians over repeats, with freed memory kept for the next repeat; the description of
a network is made beforehand, its levels only in the row of the propagation alone. Memory is the peak of a fresh
process, the interpreter and torch included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import _results
import torch
from _resnet50 import resnet50
from torch import Tensor, nn

import graphs
import hypernets
from graphs import Recipe
from hypernets.ghn.architecture import Architecture, collate_architectures
from hypernets.ghn.describing import describe
from hypernets.ghn.model import GHN

IMAGENET: dict[str, Any] = {"num_classes": 1000, "max_shape": (64, 64, 16, 16)}
GPT2 = {"vocabulary": 50257, "context": 1024, "width": 768, "depth": 12, "heads": 12, "expansion": 4}
# Memory that is given back to the system has to be cleared by it again, which takes longer than to predict it.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
Rows = list[dict[str, Any]]


def median_seconds(work: Callable[[], Any], repeats: int) -> float:
    """CPU seconds of one run, after two that do not count."""
    return statistics.median([cpu_seconds(work) for _ in range(repeats + 2)][2:])


def cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def described(build: Callable[[], nn.Module], probe: Tensor) -> Architecture:
    """Of a network without values. Shapes: probe as the network takes it."""
    with torch.device("meta"):
        module = build()
    return describe(module, probe.to("meta"))


def predicted(ghn: GHN, architecture: Architecture) -> int:
    """Predict every parameter, from the description alone; returns their number."""
    return sum(p.numel() for p in ghn([replace(architecture)])[0].values())


def measure_resnet50(repeats: int) -> Rows:
    architecture = described(resnet50, torch.zeros(1, 3, 224, 224))
    ghn = hypernets.create("ghn2", **IMAGENET).eval()
    batch = collate_architectures([architecture])
    nodes = ghn.encoder(batch.primitive, batch.shape)
    ghn3 = hypernets.create("ghn3", **IMAGENET).eval()
    name = "ResNet-50"
    return [
        _results.row(f"{name}: parameters predicted", predicted(ghn, architecture), "", at_least=25_557_032),
        _results.row(
            f"{name}: GHN-2, all parameters",
            median_seconds(lambda: predicted(ghn, architecture), repeats),
            "s",
            at_most=0.05,
        ),
        _results.row(
            f"{name}: GHN-2, propagation alone",
            median_seconds(lambda: ghn.propagation(nodes, batch), repeats),
            "s",
            at_most=0.01,
        ),
        _results.row(
            f"{name}: GHN-3 of width 64, all parameters",
            median_seconds(lambda: predicted(ghn3, architecture), repeats),
            "s",
        ),
    ]


def measure_growth(repeats: int) -> Rows:
    """Square linear layers with ReLUs: more and more of them, then wider and wider ones."""
    ghn = hypernets.create("ghn2", **IMAGENET).eval()
    deeper = [growth(ghn, 256, depth, repeats) for depth in (15, 150, 1500)]
    wider = [growth(ghn, width, 15, repeats) for width in (256, 815, 2580)]
    constant = max(r["value"] for r in deeper) / min(r["value"] for r in deeper)
    return [
        *deeper,
        _results.row("slowest over fastest, by depth", constant, "x", at_most=2),
        *wider,
        _results.row("10^8 over 10^6 parameters, by width", wider[-1]["value"] / wider[0]["value"], "x", at_most=2),
    ]


def growth(ghn: GHN, width: int, depth: int, repeats: int) -> dict[str, Any]:
    """Nanoseconds a parameter."""
    architecture = described(lambda: linear_layers(width, depth), torch.zeros(1, width))
    count = predicted(ghn, architecture)
    seconds = median_seconds(lambda: predicted(ghn, architecture), repeats)
    return _results.row(f"{count / 1e6:.2f}M parameters: {depth} layers of {width}", 1e9 * seconds / count, "ns each")


def linear_layers(width: int, depth: int) -> nn.Module:
    return nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())))


def measure_gpt2(repeats: int) -> Rows:
    """In this process, which must be fresh: the highest memory so far counts."""
    architecture = described(Recipe("gpt", GPT2).build, torch.zeros(1, 8, dtype=torch.int64))
    count = predicted(hypernets.create("ghn2", **IMAGENET).eval(), architecture)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        _results.row("GPT2-small: parameters predicted", count, "", at_least=124e6),
        _results.row("GPT2-small: highest memory of the process", peak, "GB", at_most=4),
    ]


def measure_sampling(repeats: int) -> Rows:
    """Random architectures of DeepNets-1M with their graphs and shortest paths."""

    def sample(seed: int) -> None:
        graphs.recipe_graph(graphs.sample_architecture("deepnets", seed)).shortest_paths()

    sample(0)
    count = 20 * repeats
    seconds = cpu_seconds(lambda: [sample(seed) for seed in range(count)])
    return [_results.row("random architectures with graphs", count / seconds, "/s", at_least=50)]


SECTIONS = {
    "resnet50": measure_resnet50,
    "growth": measure_growth,
    "gpt2": measure_gpt2,
    "sampling": measure_sampling,
}


def measure(section: str, repeats: int, seed: int) -> Rows:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with torch.no_grad():
        return SECTIONS[section](repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--repeats", type=int, default=15, help="runs of each timing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(KEEP_MEMORY)
    rows: Rows = []
    for section in SECTIONS:
        # A process of its own each: memory is measured as the peak of a process.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (section, options.repeats, options.seed))
        _results.show(found)
        rows += found
    _results.finish(options.json, rows, options.seed)


if __name__ == "__main__":
    main()
