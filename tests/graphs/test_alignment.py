"""Alignment: known automorphisms come back bit for bit, results are symmetries, and the best of all in small groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import graphs
from graphs import ParameterGraph, Recipe, Symmetry, Topology
from graphs.aligning.interchange import assign, decompose
from graphs.refinement import structure
from graphs.symmetries import bond_structure


class Attention(nn.Module):
    """Attention in which several query heads share one key and value head, on a residual stream or alone."""

    def __init__(self, width: int, query_heads: int, heads: int, size: int, alone: bool = False) -> None:
        super().__init__()
        self.shape, self.repeats, self.alone = (query_heads, heads, size), query_heads // heads, alone
        self.read = nn.Identity() if alone else nn.Linear(3, width)
        self.q = nn.Linear(width, query_heads * size)
        self.k, self.v = nn.Linear(width, heads * size), nn.Linear(width, heads * size)
        self.out = nn.Linear(query_heads * size, width)
        self.head = nn.Identity() if alone else nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, (query_heads, heads, size) = self.read(x), self.shape
        q = self.q(x).unflatten(-1, (query_heads, size)).transpose(1, 2)
        k, v = (f(x).unflatten(-1, (heads, size)).transpose(1, 2) for f in (self.k, self.v))
        k, v = (t[:, :, None].expand(-1, -1, self.repeats, -1, -1).flatten(1, 2) for t in (k, v))
        y = self.out(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return y if self.alone else self.head(x + y)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.layers, self.head = kind(3, 12, num_layers=2, batch_first=True), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0])


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 2, 1)
    )


NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]] = {
    **{
        name: lambda name=name: (Recipe(name).build(), Recipe(name).example_input())
        for name in ("mlp", "siren", "cnn", "vgg", "resnet", "mobilenet", "vit", "gpt")
    },
    "lstm": lambda: (Recurrent(nn.LSTM), (torch.zeros(2, 3, 3),)),
    "gru": lambda: (Recurrent(nn.GRU), (torch.zeros(2, 3, 3),)),
    "grouped": lambda: (grouped(), (torch.zeros(2, 3, 5, 5),)),
    "gqa": lambda: (Attention(8, 4, 2, 3), (torch.zeros(2, 4, 3),)),
}


def traced(name: str) -> tuple[nn.Module, tuple[Tensor, ...], Topology]:
    torch.manual_seed(0)
    module, inputs = NETWORKS[name]()
    return module, inputs, graphs.trace(module, *inputs)


def random_graph(
    module: nn.Module, topology: Topology, seed: int, dtype: torch.dtype = torch.float64
) -> ParameterGraph:
    flat = torch.randn(topology.num_parameters, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return topology.bind_flat(flat, topology.layout.other(module.state_dict()))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_known_automorphism_is_recovered_exactly(name: str) -> None:
    module, _, topology = traced(name)
    generator = torch.Generator().manual_seed(1)
    for seed, dtype in enumerate([torch.float64, torch.float32] * 2):
        a = random_graph(module, topology, seed, dtype)
        b = a.apply(topology.random_symmetry(generator))
        assert not torch.equal(a.flat(), b.flat())
        assert torch.equal(b.apply(graphs.align(a, b, generator=generator)).flat(), a.flat())


@pytest.mark.parametrize("name", NETWORKS)
def test_aligning_keeps_the_function_and_comes_closer(name: str) -> None:
    module, inputs, topology = traced(name)
    module.double().eval()
    a, b = (random_graph(module, topology, seed) for seed in (1, 2))
    for entry in topology.entries:
        if "running_var" in entry.name:
            b.state_dict()[entry.name].abs_()
    aligned = b.apply(graphs.align(a, b))
    assert float(a.flat() @ aligned.flat()) > float(a.flat() @ b.flat())
    inputs = tuple(torch.randn_like(x, dtype=torch.float64) if x.is_floating_point() else x for x in inputs)
    outputs = []
    for graph in (b, aligned):
        module.load_state_dict(graph.state_dict())
        outputs.append(module(*inputs))
    assert (outputs[0] - outputs[1]).abs().max() <= 1e-10 * outputs[0].abs().max()


def automorphisms(topology: Topology) -> list[Symmetry]:
    """The whole group, drawn until it is, or at least should be, complete."""
    order, found = round(10**topology.log10_group_order), {}
    generator = torch.Generator().manual_seed(0)
    for _ in range(12 * order):
        symmetry = topology.random_symmetry(generator)
        found[b"".join(image.tobytes() for image in symmetry.images)] = symmetry
        if len(found) == order:
            break
    return list(found.values())


@pytest.mark.parametrize(("query_heads", "order"), [(2, 2 * (2 * 2) ** 2), (4, 2 * (2 * 2 * 2) ** 2)])
def test_heads_are_assigned_as_well_as_can_be(query_heads: int, order: int) -> None:
    """All automorphisms of 2 heads, each with 2 query-key and 2 value neurons and 1 or 2 query heads: none comes
    closer."""
    net = Attention(3, query_heads, 2, 2, alone=True)
    topology = graphs.trace(net, torch.zeros(2, 3, 3))
    group = automorphisms(topology)
    assert len(group) == order
    whole = bond_structure(topology)
    counts = [whole.random_automorphism(torch.Generator().manual_seed(s), counting=True)[1] for s in range(6)]
    assert counts == pytest.approx([math.log10(order)] * 6)
    for seed in range(2):
        a, b = random_graph(net, topology, seed), random_graph(net, topology, seed + 100)
        best = max(float(a.flat() @ b.apply(s).flat()) for s in group)
        found = float(a.flat() @ b.apply(graphs.align(a, b)).flat())
        assert found == pytest.approx(best, rel=1e-12)


def test_one_hidden_layer_is_assigned_as_well_as_can_be() -> None:
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    topology = graphs.trace(net, torch.zeros(1, 3))
    a, b = random_graph(net, topology, 0), random_graph(net, topology, 1)
    images = itertools.permutations(range(5))
    symmetries = [Symmetry(topology, (np.arange(3), np.array(image), np.arange(2))) for image in images]
    best = max(float(a.flat() @ b.apply(s).flat()) for s in symmetries)
    assert float(a.flat() @ b.apply(graphs.align(a, b)).flat()) == pytest.approx(best, rel=1e-12)


# ---- structures beyond heads


def assigned(colours: list[int], bonds: list[tuple[int, int]], gains: np.ndarray) -> tuple[float, np.ndarray]:
    """The gain and the image of the best assignment of a structure to itself."""
    a, b = np.array(bonds).T
    whole = structure(np.array(colours, dtype=np.uint64), [(a, b, np.zeros(len(a), dtype=np.uint64))])
    parts = decompose(whole)
    found = assign(parts, parts, lambda vertices, places: gains[np.ix_(vertices, places)])
    assert found is not None
    image = np.empty(len(colours), dtype=np.int64)
    for vertices, places in found[1]:
        image[vertices] = places
    return found[0], image


def preserving(colours: list[int], bonds: list[tuple[int, int]]) -> list[np.ndarray]:
    """Every permutation that keeps colours and bonds."""
    kept = [[v for v, c in enumerate(colours) if c == colour] for colour in sorted(set(colours))]
    found = []
    for orders in itertools.product(*(itertools.permutations(k) for k in kept)):
        image = np.empty(len(colours), dtype=np.int64)
        for vertices, order in zip(kept, orders, strict=True):
            image[vertices] = order
        if {(image[x], image[y]) for x, y in bonds} == set(bonds):
            found.append(image)
    return found


STRUCTURES = {
    # 2 heads of 3 neurons, each bonded to its head
    "heads": ([0] * 2 + [1] * 6, [(i // 3, 2 + i) for i in range(6)], 2 * 6**2),
    # 2 heads of 2 query heads of 2 neurons
    "nested heads": (
        [0] * 2 + [1] * 4 + [2] * 8,
        [(i // 2, 2 + i) for i in range(4)] + [(2 + i // 2, 6 + i) for i in range(8)],
        2 * 2**2 * 2**4,
    ),
    # 2 groups of a convolution, every channel read bonded to every channel written
    "grouped": ([0] * 4 + [1] * 6, [(2 * g + i, 4 + 3 * g + j) for g in (0, 1) for i in (0, 1) for j in range(3)], 288),
    # 2 rings of 4, which turn, turn over and change places
    "rings": ([0] * 8, [(4 * r + i, 4 * r + (i + s) % 4) for r in (0, 1) for i in range(4) for s in (1, 3)], 2 * 8**2),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_assigned_as_well_as_can_be(name: str) -> None:
    colours, bonds, order = STRUCTURES[name]
    group = preserving(colours, bonds) if name != "nested heads" else nested_heads()
    assert len(group) == order
    for seed in range(3):
        gains = np.random.default_rng(seed).normal(size=(len(colours), len(colours)))
        value, image = assigned(colours, bonds, gains)
        assert any(np.array_equal(image, g) for g in group)
        assert value == pytest.approx(max(gains[np.arange(len(colours)), g].sum() for g in group))


def nested_heads() -> list[np.ndarray]:
    """The group of the nested heads, of which there are too many permutations to try."""
    turns = (np.array([0, 1]), np.array([1, 0]))
    found = []
    for heads, queries, neurons in itertools.product(
        turns, itertools.product(turns, repeat=2), itertools.product(turns, repeat=4)
    ):
        middle = np.array([2 * heads[i // 2] + queries[i // 2][i % 2] for i in range(4)])
        last = np.array([2 * middle[i // 2] + neurons[i // 2][i % 2] for i in range(8)])
        found.append(np.concatenate([heads, 2 + middle, 6 + last]))
    return found


def test_structures_with_too_many_ways_stay_as_they_are() -> None:
    bonds = [(20 * r + i, 20 * r + (i + s) % 20) for r in (0, 1) for i in range(20) for s in (1, 19)]
    gains = np.random.default_rng(0).normal(size=(40, 40))
    value, image = assigned([0] * 40, bonds, gains)
    assert np.array_equal(image, np.arange(40))
    assert value == pytest.approx(gains.trace())


# ---- between networks


def test_interpolate() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    topology = graphs.trace(net, torch.zeros(2, 2))
    a, b = random_graph(net, topology, 0), random_graph(net, topology, 1)
    assert torch.equal(graphs.interpolate(a, b, 0).flat(), a.flat())
    assert torch.equal(graphs.interpolate(a, b, 1).flat(), b.flat())
    half = graphs.interpolate(a, b, 0.5).state_dict()
    assert torch.allclose(
        half["1.running_var"], (a.state_dict()["1.running_var"] + b.state_dict()["1.running_var"]) / 2
    )
    assert half["1.num_batches_tracked"].dtype == torch.int64


def test_barrier_of_a_known_loss() -> None:
    """(w^2 - 1)^2 from w = -1 to w = 1 is 1 at the midpoint, and 9/16 a quarter away from it."""
    net = nn.Linear(1, 1, bias=False)
    topology = graphs.trace(net, torch.zeros(1, 1))
    a, b = (topology.bind_flat(torch.tensor([w], dtype=torch.float64)) for w in (-1.0, 1.0))

    def loss(state: dict[str, Tensor]) -> float:
        return float((state["weight"] ** 2 - 1) ** 2)

    assert graphs.barrier(a, b, loss, points=3) == pytest.approx(1)
    assert graphs.barrier(a, b, loss, points=4) == pytest.approx((1 - 1 / 9) ** 2)
    assert graphs.barrier(a, a, loss) == pytest.approx(0)
    with pytest.raises(ValueError, match="got 1"):
        graphs.barrier(a, b, loss, points=1)


def test_bad_input() -> None:
    small, large = (nn.Sequential(nn.Linear(2, n), nn.ReLU(), nn.Linear(n, 1)) for n in (3, 4))
    a, b = (graphs.trace(net, torch.zeros(1, 2)).bind(net.state_dict()) for net in (small, large))
    for function in (graphs.align, lambda a, b: graphs.interpolate(a, b, 0.5)):
        with pytest.raises(ValueError, match=b.topology.digest[:12]):
            function(a, b)
    damaged = a.topology.bind_flat(torch.full_like(a.flat(), torch.nan))
    with pytest.raises(ValueError, match=f"{a.topology.num_parameters} that are not"):
        graphs.align(a, damaged)


def trained(seed: int, x: Tensor, y: Tensor) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(20):
        for rows in torch.randperm(len(x))[:1400].view(10, -1):
            optimiser.zero_grad()
            functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimiser.step()
    return net


def test_aligning_lowers_the_barrier_between_trained_networks() -> None:
    """Two MLPs trained from other seeds on other orders of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(images).float() / 16, torch.from_numpy(labels)
    first, second = (trained(seed, x, y) for seed in (0, 1))
    topology = graphs.trace(first, x[:1])
    a, b = (topology.bind(net.state_dict()) for net in (first, second))

    def loss(state: dict[str, Tensor]) -> float:
        with torch.no_grad():
            return float(functional.cross_entropy(torch.func.functional_call(first, state, x), y))

    before = graphs.barrier(a, b, loss, points=3)
    after = graphs.barrier(a, b.apply(graphs.align(a, b)), loss, points=3)
    assert before > 0.1
    assert after <= before / 2
