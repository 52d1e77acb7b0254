"""How much lower aligning makes the loss between two independently trained networks.

For every pair of networks of one family: the loss at the midpoint of their weights above the mean loss of the two (the
barrier, on all test images), as they are and with the second aligned to the first; medians over the pairs. Where there
is batch norm, its statistics are measured anew on the training images at every point, ends included.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import _results
import torch
from torch import Tensor, nn
from torch.nn import functional

import graphs
import zoo
from zoo.sources import Dataset, load

SPEC = Path(__file__).parent / "specs" / "alignment.yaml"
Loss = Callable[[Mapping[str, Tensor]], float]


def loss_on(data: Dataset, module: nn.Module) -> Loss:
    """Cross entropy of a state_dict on all test images."""

    def loss(state: Mapping[str, Tensor]) -> float:
        module.load_state_dict(state)
        with torch.no_grad():
            measure_statistics(module, data.train_x)
            return float(functional.cross_entropy(module.eval()(data.test_x), data.test_y))

    return loss


def measure_statistics(module: nn.Module, x: Tensor) -> None:
    """Batch-norm statistics of these inputs, in one batch."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        module.train()(x)


def compare(family: str, members: zoo.Zoo, data: Dataset, points: int, seed: int) -> list[dict[str, Any]]:
    """Barriers of all pairs of one family before and after alignment."""
    generator = torch.Generator().manual_seed(seed)
    loss = loss_on(data, members[0].module())
    networks = [member.graph() for member in members]
    before, after, highest, seconds = [], [], [], []
    for a, b in combinations(networks, 2):
        start = time.process_time()
        aligned = b.apply(graphs.align(a, b, generator=generator))
        seconds.append(time.process_time() - start)
        before.append(graphs.barrier(a, b, loss, points=3))
        after.append(graphs.barrier(a, aligned, loss, points=3))
        highest.append(graphs.barrier(a, aligned, loss, points=points))
    lowered = [100 * (1 - x / y) for x, y in zip(after, before, strict=True)]
    recovered = sum(recovers(graph, generator) for graph in networks)
    accuracy = statistics.median(float(member.metrics["test_accuracy"][-1]) for member in members)
    figures = [
        ("parameters", networks[0].topology.num_parameters, "", None),
        ("test accuracy", 100 * accuracy, "%", None),
        ("barrier", statistics.median(before), "nats", None),
        ("barrier, aligned", statistics.median(after), "nats", None),
        (f"highest of {points} points, aligned", statistics.median(highest), "nats", None),
        ("lowered, median", statistics.median(lowered), "%", 50),
        ("lowered, worst pair", min(lowered), "%", None),
        ("align", statistics.median(seconds), "s", None),
        ("recovered exactly", 100 * recovered / len(networks), "%", 100),
    ]
    return [_results.row(f"{family}: {what}", value, unit, at_least=bound) for what, value, unit, bound in figures]


def recovers(graph: graphs.ParameterGraph, generator: torch.Generator) -> bool:
    """Whether aligning a moved network gives back its weights, bit for bit."""
    moved = graph.apply(graph.topology.random_symmetry(generator))
    back = moved.apply(graphs.align(graph, moved, generator=generator))
    return torch.equal(back.flat(), graph.flat())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--out", help="folder of the zoo; one that was built before is used again")
    parser.add_argument("--spec", default=SPEC, help="the zoo: networks that differ in their seeds alone, by family")
    parser.add_argument("--points", type=int, default=11, help="points of each path")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        members = zoo.build(options.spec, options.out or folder)
        rows = []
        for family in dict.fromkeys(members.table.column("family").to_pylist()):
            rows += compare(family, members.filter(family=family), load("digits"), options.points, options.seed)
            _results.show([row for row in rows if row["what"].startswith(f"{family}: ")])
    _results.finish(options.json, rows, options.seed)


if __name__ == "__main__":
    main()
