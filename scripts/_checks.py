"""What the coverage run asks of one network: does it run, is its conversion certified, is it restored bit for bit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import graphs

DRAWS, TRIALS = 3, 3


def check(build: Callable[[], Any], report: Callable[..., None], seed: int = 0) -> None:
    """Report the row of one network, piece by piece, so that a killed run tells how far it came.

    Args:
        build: makes the network with its draw of inputs, a ``Case`` of tests/corpus/case.py.
        report: takes the figures by name, as they come.
        seed: of the weights, the inputs and the symmetries.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    report(stage="building")
    case = build()
    example, module = case.draw(generator), case.make().eval()
    parameters = sum(p.numel() for p in module.parameters())
    report(stage="running", parameters=parameters)
    if not parameters:
        raise ValueError("it has no parameters")
    case.run()
    report(instantiated=True, stage="tracing")
    begun = time.perf_counter()
    topology = graphs.trace(module, *example)
    report(traced=True, stage="round trip", trace_seconds=round(time.perf_counter() - begun, 3))
    report(pinned=by_operation(topology.pinned), round_trip=restored(case.make(), topology), stage="certifying")
    certificate = graphs.certify(module, *example, inputs=[case.draw(generator) for _ in range(DRAWS)], trials=TRIALS)
    report(
        certified=certificate.passed,
        max_error=certificate.to_dict()["max_error"],
        coverage=round(certificate.coverage, 4),
        log10_group_order=round(certificate.log10_group_order, 2),
        pinned=by_operation(certificate.pinned),
        scales=certificate.scales,
        signs=certificate.signs,
        paths=certificate.paths,
        stage="done",
    )


def warm() -> None:
    """Import in this process what a check needs, so that the children need not."""
    module, example = nn.Linear(1, 1), torch.zeros(1, 1)
    graphs.certify(module, example)
    restored(module, graphs.trace(module, example))


def by_operation(pinned: Mapping[str, int]) -> dict[str, int]:
    """Neurons pinned by each operation, over all modules.

    >>> by_operation({"sort in a": 2, "sort in b": 3, "axis 0 of a.weight": 4})
    {'sort': 5, 'a parameter axis': 4}
    """
    counts: Counter[str] = Counter()
    for where, count in pinned.items():
        counts["a parameter axis" if where.startswith("axis ") else where.split(" in ")[0]] += count
    return dict(counts)


def restored(module: nn.Module, topology: graphs.Topology) -> bool:
    """Whether weights come back bit for bit, directly and through PyG data, unusual values among them."""
    mark(module)
    state = module.state_dict()
    graph = topology.bind(state)
    again = graphs.ParameterGraph.from_data(graph.to_data(), topology)
    return same(graph.state_dict(), state) and same(again.state_dict(), state)


def mark(module: nn.Module) -> None:
    """NaN, infinity and minus zero as first elements of the first floating entries."""
    floating = [t for t in module.state_dict(keep_vars=True).values() if t.is_floating_point() and t.numel()]
    with torch.no_grad():
        for tensor, value in zip(floating, (float("nan"), float("inf"), -0.0), strict=False):
            tensor[(0,) * tensor.dim()] = value


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two state_dicts hold the same bits under the same names, in the same order, shapes and dtypes."""
    return list(first) == list(second) and all(
        a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)
        for a, b in zip(first.values(), second.values(), strict=True)
    )


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
