"""The graph of a sampled recipe, made without running it, is the one that is traced; so are its shortest paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from nets import without
from safetensors import safe_open
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import graphs
from graphs import ComputationGraph, Recipe, recipe_graph, sample_architecture
from graphs.deepnets.predefined import predefined
from graphs.deepnets.space import SPLITS


def traced(recipe: Recipe, batch: int = 2) -> ComputationGraph:
    with torch.device("meta"):
        module = recipe.build()
    return graphs.computation_graph(module, *(x.to("meta") for x in recipe.example_input(batch)))


def is_equal(space: str, seed: int) -> bool:
    recipe = sample_architecture(space, seed)
    return recipe_graph(recipe) == traced(recipe).reduced()


@pytest.mark.parametrize("space", SPLITS)
def test_the_graph_is_the_traced_one(space: str) -> None:
    assert [is_equal(space, seed) for seed in range(2)] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("space", SPLITS)
def test_hundreds_of_graphs_are_the_traced_ones(space: str) -> None:
    assert [seed for seed in range(100, 200) if not is_equal(space, seed)] == []


SIZES = [(1, 8, 8), (3, 32, 32), (2, 5, 7), (1, 1, 1), (3, 128, 160)]


@pytest.mark.parametrize("shape", SIZES)
def test_images_and_batches_of_any_size(shape: tuple[int, ...]) -> None:
    for seed in range(5):
        recipe = sample_architecture("deepnets_small", seed, input_shape=shape, outputs=3)
        graph = traced(recipe, batch=3)
        assert recipe_graph(recipe, batch=3) == graph.reduced()
        assert recipe_graph(recipe, batch=3, only_parameters=True) == graph.reduced(only_parameters=True)


@pytest.mark.parametrize("norm", ["bn-track", None])
def test_other_norms(norm: str | None) -> None:
    for seed in range(4):
        recipe = sample_architecture("deepnets_small", seed).with_arguments(norm=norm)
        module, (x,) = recipe.build(), recipe.example_input()
        assert recipe_graph(recipe) == graphs.computation_graph(module, x).reduced()


def test_every_parameter_is_in_the_graph_and_gets_a_gradient() -> None:
    for seed in range(12):
        recipe = sample_architecture("deepnets_small", seed)
        module, (x,) = recipe.build(), recipe.example_input(4)
        module(x).square().sum().backward()
        shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
        held = {name: shape for node in recipe_graph(recipe).nodes for name, shape in node.parameters.items()}
        assert held == shapes


@pytest.mark.parametrize("space", ["deepnets", "deepnets_dense"])
def test_shortest_paths_are_those_of_dijkstra(space: str) -> None:
    for seed in range(3):
        graph = recipe_graph(sample_architecture(space, seed))
        for most in (1, 7, 50, 250):
            producer, consumer = graph.edge_index.numpy()
            shape = (graph.num_nodes, graph.num_nodes)
            expected = dijkstra(csr_array((torch.ones(graph.num_edges), (producer, consumer)), shape), unweighted=True)
            expected[expected > most] = 0
            assert torch.equal(graph.shortest_paths(most), torch.from_numpy(expected).long())


def test_another_family_is_told() -> None:
    with pytest.raises(ValueError, match="family 'deepnet', got 'mlp'"):
        recipe_graph(Recipe("mlp"))


def test_golden_vit(shared: Path) -> None:
    """The published transformer of three cells: parameters, primitives and, up to nodes without parameters, paths."""
    path = shared / "golden" / "ghn" / "ghn2_tiny__vit_c16_n3.safetensors"
    if not path.exists():
        pytest.skip(f"no golden file {path}")
    with safe_open(path, "pt") as file:
        meta, adjacency, features = file.metadata(), file.get_tensor("adj_spd").long(), file.get_tensor("node_feat")
        names = [name for name in file.keys() if name.startswith("pred.")]  # noqa: SIM118 (no dict)
        predicted = {name[5:]: file.get_slice(name).get_shape() for name in names}
    primitives = json.loads(meta["primitives"])
    stored = [primitives[f] for f in features.tolist()]
    info = {row[0]: row for row in json.loads(meta["node_info"])}
    recipe = predefined(C=16, n_cells=3)["vit"]

    shapes = {name: list(p.shape) for name, p in recipe.build().named_parameters()}
    assert {name: shapes[name] for name in predicted} == predicted
    assert set(shapes) == set(predicted)
    graph = recipe_graph(recipe, only_parameters=True)
    holds = [i for i, name in enumerate(stored) if name == "input" or (i in info and name != "avg_pool")]
    assert [node.name for node in graph.nodes[:-1]] == [stored[i] for i in holds]
    assert [next(iter(node.parameters)) for node in graph.nodes[1:-1]] == [info[i][1] for i in holds[1:]]
    assert torch.equal(graph.shortest_paths()[:-1, :-1], without(adjacency == 1, holds))
    whole = recipe_graph(recipe)
    attention = [i for i, node in enumerate(whole.nodes) if node.name in ("matmul", "softmax", "output")]
    kept = [i for i in range(whole.num_nodes) if i not in attention]
    assert [whole.nodes[i].name for i in kept] == stored
    edges = torch.zeros(whole.num_nodes, whole.num_nodes, dtype=torch.bool)
    edges[whole.edge_index[0], whole.edge_index[1]] = True
    assert torch.equal(without(edges, kept), adjacency)
