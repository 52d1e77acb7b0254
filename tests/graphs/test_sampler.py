"""Random architectures: equal for equal seeds, of every size they promise, and all of them work."""

import json
import subprocess
import sys
from collections import Counter

import pytest
import torch

import graphs
from graphs import sampler
from graphs.families.residual import Residual
from graphs.sampler import sample_architecture

SEEDS = range(200)
# The large networks of DeepNets-1M have tests of their own.
SPACES = [name for name in sampler.SPACES if not name.startswith("deepnets") or name == "deepnets_small"]
IMAGES = [(1, 8, 8), (3, 32, 32), (2, 5, 7), (1, 1, 1)]


def shapes(space: str) -> list[tuple[int, ...]]:
    return [(16,), (1,)] if space == "gpt" else IMAGES


@pytest.mark.parametrize("space", SPACES)
def test_every_architecture_takes_its_input(space):
    for seed in SEEDS:
        shape = shapes(space)[seed % len(shapes(space))]
        recipe = sample_architecture(space, seed, input_shape=shape, outputs=5)
        (x,) = recipe.example_input(batch=2)
        assert x.numel() == 2 * torch.Size(shape).numel()
        outputs = recipe.build()(x)
        assert tuple(outputs.shape) == ((2, *shape, 5) if space == "gpt" else (2, 5))
        assert outputs.isfinite().all()


@pytest.mark.parametrize("space", [name for name in SPACES if name != "deepnets_small"])
def test_some_of_them_are_certified(space):
    for seed in range(6):
        recipe = sample_architecture(space, seed)
        module = recipe.build().eval()
        certificate = graphs.certify(module, *recipe.example_input(), trials=1)
        assert certificate.max_error < 1e-10
        assert certificate.coverage > 0.95


@pytest.mark.parametrize("space", SPACES)
def test_equal_seeds_are_equal_and_others_differ(space):
    drawn = [sample_architecture(space, seed) for seed in SEEDS]
    assert drawn == [sample_architecture(space, seed) for seed in SEEDS]
    assert len(set(drawn)) > 60
    assert all(graphs.Recipe.from_dict(json.loads(json.dumps(r.to_dict()))) == r for r in drawn)


def test_another_process_draws_the_same_and_without_torch():
    code = (
        "import json, sys, graphs; print(json.dumps([graphs.sample_architecture(s, n).to_dict() for n in range(9) "
        f"for s in {list(SPACES)}])); assert 'torch' not in sys.modules"
    )
    # Hashes of strings differ from process to process.
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}, cwd="."
    )
    assert json.loads(told.stdout) == [sample_architecture(s, n).to_dict() for n in range(9) for s in SPACES]


def test_a_seed_means_the_same_for_ever():
    recipe = sample_architecture("cnn", 4)
    assert recipe.arguments == {
        "input_shape": [1, 8, 8],
        "channels": [16, 16],
        "kernel": [7, 3],
        "outputs": 10,
        "activation": ["relu", "tanh"],
        "residual": True,
    }


def arguments(space: str, count: int = 600) -> list[dict]:
    return [dict(sample_architecture(space, seed).arguments) for seed in range(count)]


def values(rows: list[dict], name: str) -> set:
    found = [row[name] for row in rows]
    return {value for v in found for value in (v if isinstance(v, list) else [v])}


def test_the_cnn_space_is_that_of_the_wild_park():
    rows = arguments("cnn")
    depths = Counter(len(row["channels"]) for row in rows)
    assert set(depths) == {2, 3, 4, 5}
    assert min(depths.values()) > 100
    assert values(rows, "channels") == {4, 8, 16, 32}
    assert values(rows, "kernel") == {3, 5, 7}
    assert values(rows, "activation") == {"relu", "gelu", "tanh", "sigmoid", "leaky_relu", "identity"}
    assert 0.35 < sum(row["residual"] for row in rows) / len(rows) < 0.55


def test_a_network_has_skips_where_its_recipe_says_so():
    for seed in range(100):
        recipe = sample_architecture("cnn", seed)
        skips = [module for module in recipe.build().modules() if isinstance(module, Residual)]
        assert bool(skips) == recipe.arguments["residual"]


def test_the_other_spaces_cover_their_choices():
    mlps, resnets = arguments("mlp"), arguments("resnet")
    assert {len(row["hidden"]) for row in mlps} == {1, 2, 3, 4}
    assert values(mlps, "hidden") == set(range(8, 65))
    assert {len(row["widths"]) for row in resnets} == {1, 2, 3}
    assert values(resnets, "blocks") == {1, 2}
    for space in ("vit", "gpt"):
        rows = arguments(space)
        assert values(rows, "heads") == {1, 2, 4}
        assert values(rows, "depth") == {1, 2, 3}
        assert values(rows, "width") == {4, 8, 16, 32}
    assert values(arguments("vit"), "patch") == {1, 2, 4}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("conv", 0), "unknown space 'conv'; choose one of mlp, cnn, resnet, vit, gpt"),
        (("cnn", 0, (8, 8)), r"space cnn: expected channels, height, width, each at least 1, got \(8, 8\)"),
        (("cnn", 0, (1, 0, 8)), r"each at least 1, got \(1, 0, 8\)"),
        (("gpt", 0, (1, 8, 8)), r"space gpt: expected context, each at least 1, got \(1, 8, 8\)"),
        (("mlp", 0, ()), r"expected one or more sizes, each at least 1, got \(\)"),
        (("mlp", 0, None, 0), "outputs: expected a whole number >= 1, got 0"),
        (("mlp", 0.5), "seed: expected a whole number, got 0.5"),
    ],
)
def test_mistakes_are_told_with_the_value(given, told):
    space, seed, shape, outputs = (*given, *[None] * (4 - len(given)))
    with pytest.raises(ValueError, match=told):
        sample_architecture(space, seed, input_shape=shape, outputs=outputs)
