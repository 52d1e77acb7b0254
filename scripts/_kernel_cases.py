"""The operations that are timed: which graph, which tensors, what has to be moved and computed, what is demanded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import _kernel_pyg
import torch
from torch import Tensor

import graphs
from graphs import Recipe
from graphs.kernels import BlockTable, fused_layer, fused_message, segment_reduce

Run = Callable[[Mapping[str, Tensor], BlockTable], tuple[Tensor, ...]]
SIREN = Recipe("siren")
FORWARD, BOTH = "forward", "forward and backward"


@dataclass(frozen=True)
class Cost:
    """Numbers that must be moved at least once (inputs read, outputs written), and operations."""

    moved: int
    operations: int


@dataclass(frozen=True)
class Case:
    """An operation on a graph.

    Args:
        tensors: inputs, all of which get a gradient.
        run: the operation, by the public functions of graphs.kernels.
        as_users: the same, as users of PyTorch Geometric write it; "PyG" is what the bounds are about.
        costs: by pass. The backward pass computes again what the forward pass did not keep.
        faster: by device and pass, least speed-up over PyTorch Geometric.
        shares: by pass, least share of the copy bandwidth on a GPU.
        reads: least share of the bandwidth of reading ``e``, forward on the CPU.
        memory: greatest peak extra memory of both passes, in numbers of ``e``.
    """

    name: str
    table: BlockTable
    tensors: Mapping[str, Tensor]
    run: Run
    as_users: Mapping[str, Run]
    costs: Mapping[str, Cost]
    faster: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    reads: float | None = None
    memory: float | None = None


def cases(device: str, quick: bool, seed: int) -> list[Case]:
    """All of them; a GPU gets more networks a batch, for one of them does not fill it."""
    torch.manual_seed(seed)
    many = {"cpu": 1, "cuda": 32}[device]
    edges = many * (102_400 if quick else 1_000_000)
    found = [segment_sum(edges), gather(edges, consecutive=False), gather(edges, consecutive=True)]
    for width, least in ((32, 8), (64, 5.5)):
        found.append(layer(perceptron_recipe(quick), many, width, least))
    for width, least in ((32, 5), (64, None)):
        found.append(layer(SIREN, (16 if quick else 64) * many, width, least))
    return [_moved(case, device) for case in found]


def _moved(case: Case, device: str) -> Case:
    tensors = {name: x.to(device).requires_grad_() for name, x in case.tensors.items()}
    return Case(**{**vars(case), "table": case.table.to(device), "tensors": tensors})


# ---- generic graphs: 64 edges a node, sorted by destination


def segment_sum(edges: int, width: int = 32) -> Case:
    table, nodes = _sorted_table(edges, consecutive=True), edges // 64
    forward = Cost((edges + nodes) * width, edges * width)
    return Case(
        f"segment sum, {edges:,} edges, F={width}",
        table,
        {"e": torch.randn(edges, width)},
        lambda t, table: segment_reduce(t["e"], table),
        {"PyG": _kernel_pyg.segment_sum},
        {FORWARD: forward, BOTH: Cost(2 * forward.moved, 2 * forward.operations)},
        faster={"cpu": {FORWARD: 3.3}},
        shares={FORWARD: 0.7},
        reads=0.85,
    )


def gather(edges: int, consecutive: bool, width: int = 32) -> Case:
    table, nodes = _sorted_table(edges, consecutive), edges // 64
    moved, operations = (edges + 2 * nodes) * width, 3 * edges * width
    return Case(
        f"gather, relu, sum, {edges:,} edges, F={width}, {'consecutive' if consecutive else 'any'} sources",
        table,
        {"x": torch.randn(nodes, width), "e": torch.randn(edges, width)},
        _gather_relu_sum,
        {"PyG": _kernel_pyg.gather_relu_sum, "PyG propagate": _kernel_pyg.propagate_relu_sum},
        # Backward reads e and x again with the gradient of the nodes, and writes gradients of both.
        {FORWARD: Cost(moved, operations), BOTH: Cost(moved + (2 * edges + 3 * nodes) * width, 3 * operations)},
        faster={"cpu": {FORWARD: 8}},
    )


def _gather_relu_sum(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    return fused_message(t["x"], None, t["e"], None, table, act="relu")


def _sorted_table(edges: int, consecutive: bool) -> BlockTable:
    nodes, every = edges // 64, torch.arange(edges // 64)
    first_source = torch.randint(nodes - 64, (nodes,))
    rows = torch.stack([64 * every, first_source, torch.full_like(every, 64), every], dim=1)
    return BlockTable.from_rows(rows, nodes, None if consecutive else torch.randint(nodes, (64 * nodes,)))


# ---- a layer on parameter graphs


def layer(recipe: Recipe, copies: int, width: int, least: float | None) -> Case:
    """m = relu(x_i Wi + x_j Wj + e We) summed over the edges into i; e' = e + relu(x_i Vi + x_j Vj + e Wu) Wo."""
    network = recipe.build()
    graph = graphs.trace(network, *recipe.example_input(1)).bind(network.state_dict())
    batch = graphs.collate([graph] * copies)
    edges, nodes = batch.num_edges * width, batch.num_nodes * width
    weights = {"Wm": (3 * width, width), "Wu": (3 * width, width), "Wo": (width, width)}
    tensors = {name: torch.randn(shape) / shape[0] ** 0.5 for name, shape in weights.items()}
    tensors |= {"x": torch.randn(batch.num_nodes, width), "e": torch.randn(batch.num_edges, width)}
    # A product of F x F an edge: three forward, two of them again and six for gradients backward.
    product = 2 * width * edges
    return Case(
        f"layer, {copies} x {title(recipe)}, {batch.num_edges:,} edges, F={width}",
        batch.table,
        tensors,
        _layer,
        {"PyG": _kernel_pyg.layer},
        {FORWARD: Cost(2 * edges + 2 * nodes, 3 * product), BOTH: Cost(5 * edges + 5 * nodes, 11 * product)},
        faster={"cpu": {} if least is None else {BOTH: least}, "cuda": {BOTH: 8} if width <= 32 else {}},
        shares={FORWARD: 0.45, BOTH: 0.30} if width <= 32 else {},
        # With few edges a node, the states of the nodes and their gradients are a share of their own.
        memory=2.2 if copies == 1 else None,
    )


def _layer(t: Mapping[str, Tensor], table: BlockTable) -> tuple[Tensor, ...]:
    x, (to, outof, We), (to_edge, outof_edge, Wu) = t["x"], t["Wm"].chunk(3), t["Wu"].chunk(3)
    states = x @ outof, x @ to, x @ outof_edge, x @ to_edge
    return fused_layer(*states, t["e"], We, Wu, t["Wo"], table, reads="old")


def perceptron_recipe(quick: bool) -> Recipe:
    return Recipe("mlp", {"inputs": 98 if quick else 784, "hidden": [256, 256], "outputs": 10})


def title(recipe: Recipe) -> str:
    """Family and widths.

    >>> title(SIREN)
    'SIREN 2-32-32-1'
    """
    linears = [m for m in recipe.build().modules() if isinstance(m, torch.nn.Linear)]
    sizes = [*(m.in_features for m in linears), linears[-1].out_features]
    return f"{recipe.factory.upper()} {'-'.join(map(str, sizes))}"
