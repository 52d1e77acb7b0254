"""What must hold for every model that reads graphs, in float64 at 1e-10; a new one in the registry is tested too."""

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphs
from graphs import ParameterGraph, Recipe, collate
from metanets.registry import create, find, list_models

OUT = 3
NEURAL_GRAPHS: dict[str, Any] = dict(
    inputs=64,
    layers=10,
    outputs=32,
    vocabulary=32,
    kernel=(4, 4),
    flat_taps=4,
    node_taps=16,
    node_parameters=["norm_weight", "norm_bias", "running_mean", "running_var", "other"],
    relations=True,
    activations=True,
    readout="nodes+edges",
)
# Keywords with which a model serves all networks below; one that needs none is not listed.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ng-gnn": [NEURAL_GRAPHS, {**NEURAL_GRAPHS, "reverse": True, "features": 8}],
    "gmn": [{}, {"reverse": True, "buffers": True, "activations": False}],
}
CASES = [
    pytest.param(name, settings, id=f"{name}-{i}")
    for name in list_models()
    if getattr(find(name), "permutation_invariant", False) and issubclass(find(name), nn.Module)
    for i, settings in enumerate(SETTINGS.get(name, [{}]))
]
FAMILIES = ("mlp", "siren", "cnn", "vgg", "resnet", "mobilenet", "vit", "gpt")
every_model = pytest.mark.parametrize(("name", "settings"), CASES)


@cache
def topology(family: str) -> graphs.Topology:
    recipe = Recipe(family, {})
    return graphs.trace(recipe.build(), *recipe.example_input())


def network(family: str, seed: int = 0) -> ParameterGraph:
    """A network of a family with random weights, statistics and norms included."""
    generator = torch.Generator().manual_seed(seed)
    return topology(family).bind_flat(torch.rand(topology(family).num_parameters, generator=generator).double() - 0.4)


def chain(*sizes: int, seed: int = 0) -> ParameterGraph:
    torch.manual_seed(seed)
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]
    module = nn.Sequential(*layers[:-1]).double()
    return graphs.trace(module, torch.zeros(1, sizes[0], dtype=torch.float64)).bind(module.state_dict())


class Residual(nn.Module):
    """A stem, two equal residual blocks, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 6)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def residual() -> ParameterGraph:
    torch.manual_seed(0)
    module = Residual().double()
    return graphs.trace(module, torch.zeros(1, 4, dtype=torch.float64)).bind(module.state_dict())


def swapped(graph: ParameterGraph, first: str, second: str) -> ParameterGraph:
    """The network with the weights under two prefixes exchanged."""
    state = graph.state_dict()
    names = {name: name.replace(first, "?").replace(second, first).replace("?", second) for name in state}
    return graph.topology.bind({name: state[other] for name, other in names.items()})


def make(name: str, settings: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return create(name, out=OUT, **settings).double().eval()


def error(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


@every_model
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_permutation_of_hidden_neurons_is_invisible(name: str, settings: dict[str, Any], family: str) -> None:
    model, graph = make(name, settings), network(family)
    generator = torch.Generator().manual_seed(1)
    moved = [graph.apply(graph.topology.random_symmetry(generator)) for _ in range(2)]
    assert not torch.equal(moved[0].flat(), graph.flat())
    out = model(collate([graph, *moved]))
    assert out.shape == (3, OUT)
    assert error(out[1:], out[:1].expand(2, -1)) < 1e-10


@every_model
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_permutation_of_one_side_alone_is_seen(name: str, settings: dict[str, Any], family: str) -> None:
    model, graph = make(name, settings), network(family)
    for entry in graph.topology.entries:
        if len(entry.shape) < 2 or entry.tied_to or not entry.offset:
            continue
        flat = graph.flat().clone()
        part = flat[entry.offset : entry.offset + entry.numel].view(entry.shape)
        axis = max(range(2), key=lambda d: entry.shape[d])
        part.copy_(part.roll(1, axis))
        out = model(collate([graph, graph.topology.bind_flat(flat)]))
        assert error(out[1], out[0]) > 1e-9, entry.name


@every_model
@torch.no_grad()
def test_equal_layers_cannot_change_places(name: str, settings: dict[str, Any]) -> None:
    model = make(name, settings)
    mlp, blocks, transformer = chain(4, 5, 5, 5, 3), residual(), network("gpt")
    pairs = [
        (mlp, swapped(mlp, "2.", "4.")),
        (blocks, swapped(blocks, "blocks.0", "blocks.1")),
        (transformer, swapped(transformer, "blocks.0.", "blocks.1.")),
    ]
    for graph, other in pairs:
        assert not torch.equal(graph.flat(), other.flat())
        out = model(collate([graph, other]))
        assert error(out[1], out[0]) > 1e-9


@every_model
@torch.no_grad()
def test_batch_mates_do_not_matter(name: str, settings: dict[str, Any]) -> None:
    model = make(name, settings)
    nets = [network(family, seed) for seed in range(2) for family in FAMILIES]
    alone = torch.cat([model(collate([graph])) for graph in nets])
    assert error(model(collate(nets)), alone) < 1e-10
    order = torch.randperm(len(nets), generator=torch.Generator().manual_seed(0)).tolist()
    assert error(model(collate([nets[i] for i in order])), alone[order]) < 1e-10


@every_model
@torch.no_grad()
def test_a_bigger_network_may_join(name: str, settings: dict[str, Any]) -> None:
    model, small, big = make(name, settings), chain(4, 5, 3), chain(60, 90, 80, 70, 30)
    alone = model(collate([small]))
    assert error(model(collate([small, big]))[:1], alone) < 1e-10
    assert error(model(collate([big, small]))[1:], alone) < 1e-10


@every_model
@torch.no_grad()
def test_rows_of_a_store_are_read_each_for_itself(name: str, settings: dict[str, Any]) -> None:
    model, store = make(name, settings), torch.stack([network("mlp", seed).flat() for seed in range(3)])
    views = [topology("mlp").bind_flat(row) for row in store]
    copies = [topology("mlp").bind_flat(row.clone()) for row in store]
    assert torch.equal(model(collate(views)), model(collate(copies)))


@every_model
@torch.no_grad()
def test_every_weight_is_read(name: str, settings: dict[str, Any]) -> None:
    model = make(name, settings)
    for family in ("cnn", "vit"):
        graph = network(family)
        nudged = [(e, graph.flat().clone()) for e in graph.topology.entries if e.offset is not None and not e.is_buffer]
        for entry, flat in nudged:
            flat[entry.offset + entry.numel - 1] += 0.5
        out = model(collate([graph, *(graph.topology.bind_flat(flat) for _, flat in nudged)]))
        unread = [e.name for (e, _), row in zip(nudged, out[1:], strict=True) if error(row, out[0]) < 1e-12]
        assert unread == []


@every_model
def test_gradients_reach_every_parameter(name: str, settings: dict[str, Any]) -> None:
    model = make(name, settings).train()
    model(collate([network(family) for family in FAMILIES])).square().sum().backward()
    missing = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert missing == []


@every_model
def test_gradients_reach_the_weights_that_are_read(name: str, settings: dict[str, Any]) -> None:
    model, graph = make(name, settings), network("mlp")
    flat = graph.flat().clone().requires_grad_()
    model(collate([graph.topology.bind_flat(flat)])).sum().backward()
    assert flat.grad is not None
    assert (flat.grad != 0).float().mean() > 0.99


@every_model
@torch.no_grad()
def test_networks_without_a_hidden_layer_or_a_bias(name: str, settings: dict[str, Any]) -> None:
    model = make(name, settings)
    bare = nn.Linear(1, 1, bias=False).double()
    graph = graphs.trace(bare, torch.zeros(1, 1, dtype=torch.float64)).bind(bare.state_dict())
    out = model(collate([chain(4, 2), graph]))
    assert out.shape == (2, OUT)
    assert out.isfinite().all()
    assert error(model(collate([graph])), out[1:]) < 1e-10


@every_model
def test_the_model_is_made_again_from_its_config(name: str, settings: dict[str, Any]) -> None:
    model = make(name, settings)
    again = create(name, **model.config).double().eval()  # pyright: ignore[reportCallIssue]
    again.load_state_dict(model.state_dict())
    batch = collate([network("cnn"), network("vit")])
    assert torch.equal(again(batch), model(batch))


@every_model
def test_bfloat16_autocast_trains_and_stays_close(name: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = create(name, out=OUT, **settings)
    batch = collate([network("cnn"), network("mlp")]).to(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(batch)
    out.float().sum().backward()
    assert error(out.float(), model(batch)) < 0.1


def test_the_registry_lists_its_choices() -> None:
    assert {"flat-mlp", "gmn", "ng-gnn", "statnn"} <= set(list_models())
    with pytest.raises(ValueError, match=r"unknown model 'gcn'; choose among flat-mlp, gmn, ng-gnn, statnn"):
        create("gcn")
    with pytest.raises(ValueError, match=r"'gmn' has no keyword 'heads'; choose among activations, "):
        create("gmn", heads=8)
