"""The built-in families: shapes, sizes by hand, and the order of layers."""

import math

import pytest
import torch
from torch import nn

from graphs.families.activations import ACTIVATIONS, Sine, activation
from graphs.families.gpt import GPT
from graphs.families.residual import Residual
from graphs.families.siren import Siren
from graphs.recipe import FAMILIES, Recipe

CNN_S = {
    "input_shape": [1, 28, 28],
    "channels": [8, 6, 4],
    "kernel": [5, 5, 2],
    "padding": 0,
    "pool": [2, 2, 1],
    "readout": "flatten",
    "hidden": [20],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_and_every_parameter_gets_a_gradient(family):
    recipe = Recipe(family)
    module = recipe.build()
    (x,) = recipe.example_input(batch=3)
    outputs = module(x)
    assert len(x) == len(outputs) == 3
    assert outputs.isfinite().all()
    outputs.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_example_inputs_are_the_same_every_time(family):
    assert torch.equal(Recipe(family).example_input()[0], Recipe(family).example_input()[0])


@pytest.mark.parametrize(
    ("recipe", "size"),
    [
        (Recipe("mlp", {"inputs": 64, "hidden": [32, 32], "outputs": 10}), 64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10),
        (Recipe("siren", {"inputs": 2, "hidden": [32, 32], "outputs": 1}), 2 * 32 + 32 + 32 * 32 + 32 + 32 + 1),
        (Recipe("cnn", CNN_S), 208 + 1206 + 100 + 740 + 210),
        (Recipe("cnn", {"channels": [4], "kernel": 3}), 4 * 9 + 4 + 4 * 10 + 10),
    ],
)
def test_number_of_parameters(recipe, size):
    assert sum(p.numel() for p in recipe.build().parameters()) == size


def test_cnn_s_has_the_order_of_the_published_zoo():
    kinds = [type(m).__name__ for m in Recipe("cnn", {**CNN_S, "activation": "tanh"}).build()]
    block = ["Conv2d", "MaxPool2d", "Tanh", "Dropout"]
    assert kinds == [*block, *block, "Conv2d", "Tanh", "Dropout", "Flatten", "Linear", "Tanh", "Dropout", "Linear"]


def test_names_do_not_depend_on_dropout():
    names = [list(Recipe("mlp", {"dropout": p}).build().state_dict()) for p in (0.0, 0.5)]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_can_be_named(name):
    x = torch.linspace(-2, 2, 9)
    expected = {"sine": torch.sin, "identity": lambda x: x, "silu": nn.functional.silu, "gelu": nn.functional.gelu}
    functional = expected.get(name) or getattr(nn.functional, name)
    assert torch.equal(activation(name)(x), functional(x))


def test_unknown_activation_lists_the_choices():
    with pytest.raises(ValueError, match="unknown activation 'relo'; choose one of relu, leaky_relu, tanh"):
        Recipe("mlp", {"activation": "relo"}).build()


def test_siren_starts_within_its_bounds_and_uses_them():
    siren = Siren(hidden=[64, 64], w0=30.0)
    first, second, _ = (m.weight.abs().max().item() for m in siren if isinstance(m, nn.Linear))
    bound = math.sqrt(6 / 64) / 30
    assert 0.9 / 2 < first <= 1 / 2
    assert 0.9 * bound < second <= bound


def test_siren_is_sines_of_affine_maps():
    siren = Siren(hidden=[3], w0=7.0, shift=0.5)
    x = torch.rand(4, 2)
    linear, head = (m for m in siren if isinstance(m, nn.Linear))
    assert torch.allclose(siren(x), head(torch.sin(7 * linear(x))) + 0.5)
    assert any(isinstance(m, Sine) for m in siren)


def test_gpt_is_causal_and_ties_its_head():
    gpt = GPT()
    (tokens,) = GPT.example_input(batch=1)
    changed = tokens.clone()
    changed[0, -1] = (tokens[0, -1] + 1) % 32
    assert torch.equal(gpt(tokens)[:, :-1], gpt(changed)[:, :-1])
    assert gpt.head.weight is gpt.tokens.weight
    with pytest.raises(ValueError, match="at most 16 tokens, got 17"):
        gpt(torch.zeros(1, 17, dtype=torch.long))


RESIDUAL_CNN = {
    "input_shape": [4, 8, 8],
    "channels": [4, 4, 6, 6, 6],
    "stride": [1, 1, 1, 2, 1],
    "pool": [1, 2, 1, 1, 1],
}


def test_blocks_that_keep_their_shape_are_added_to_their_input():
    torch.manual_seed(0)
    net = Recipe("cnn", {**RESIDUAL_CNN, "residual": True}).build()
    assert [name for name, _ in net.named_children() if name.startswith("residual")] == ["residual0", "residual4"]
    assert "residual4.conv4.weight" in net.state_dict()
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(net.residual0(x), x + net.residual0.conv0(x).relu())


def test_a_network_without_residuals_is_as_it_was():
    """Layers, names and, for equal seeds, weights."""
    torch.manual_seed(0)
    plain = Recipe("cnn", RESIDUAL_CNN).build()
    torch.manual_seed(0)
    skipping = Recipe("cnn", {**RESIDUAL_CNN, "residual": True}).build()
    assert [n for n, _ in plain.named_children()][:5] == ["conv0", "activation0", "dropout0", "conv1", "pool1"]
    both = zip(plain.state_dict().values(), skipping.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in both)


def test_what_a_residual_adds_keeps_its_shape():
    with pytest.raises(ValueError, match=r"keep the shape \[2, 3\].*got \[2, 1\]"):
        Residual(nn.Linear(3, 1))(torch.zeros(2, 3))


def test_an_activation_a_layer():
    net = Recipe("cnn", {"activation": ["tanh", "identity", "gelu"], "hidden": [4]}).build()
    assert [type(getattr(net, f"activation{i}")) for i in range(3)] == [nn.Tanh, nn.Identity, nn.GELU]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("cnn", {"input_shape": [1, 4, 4], "pool": 4}), "shrinks to nothing"),
        (Recipe("cnn", {"kernel": [3]}), "kernel has 1 values for 2 convolutions"),
        (Recipe("cnn", {"activation": ["relu"], "hidden": [4]}), "1 values for 3 convolutions and hidden layers"),
        (Recipe("cnn", {"readout": "max"}), "unknown readout 'max'; choose one of mean, flatten"),
        (Recipe("cnn", {"pool": 2, "pool_kind": "min"}), "unknown pool_kind 'min'; choose one of max, mean"),
        (Recipe("vgg", {"input_shape": [3, 6, 6]}), "divisible by 4, got 6x6"),
        (Recipe("resnet", {"blocks": [1]}), "got 2 widths and 1 block counts"),
        (Recipe("mobilenet", {"strides": [1]}), "got 3 widths and 1 strides"),
        (Recipe("vit", {"patch": 3}), "got 8x8 and 3"),
        (Recipe("gpt", {"heads": 3}), "got 16 and 3"),
    ],
)
def test_contradictory_arguments(recipe, message):
    with pytest.raises(ValueError, match=message):
        recipe.build()
