"""The space of DeepNets-1M: what is drawn, what is rejected, and that every network of it works."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch

from graphs import Recipe, recipe_graph, sample_architecture
from graphs.deepnets.genotype import PRIMITIVES, WEIGHTLESS, Genotype
from graphs.deepnets.network import DeepNet
from graphs.deepnets.plan import Plan
from graphs.deepnets.predefined import predefined
from graphs.deepnets.space import JUDGED, SPLITS, parameter_count

PLAIN = {"normal": [["conv_3x3", 0], ["none", 1]], "normal_concat": [2]}
SOURCE = {"reduce": [["max_pool_3x3", 0], ["none", 1]], "reduce_concat": [2]}


@cache
def drawn(space: str, count: int = 150) -> tuple[Recipe, ...]:
    return tuple(sample_architecture(space, seed) for seed in range(count))


def genes(recipe: Recipe) -> Genotype:
    return Genotype.from_dict(recipe.arguments["genotype"])


@pytest.mark.parametrize("space", SPLITS)
def test_no_split_breaks_a_rule(space: str) -> None:
    split = SPLITS[space]
    for recipe in drawn(space, 40):
        gene, arguments = genes(recipe), recipe.arguments
        cells = (gene.names[: len(gene.normal)], gene.names[len(gene.normal) :])
        assert split.cells[0] <= arguments["n_cells"] <= split.cells[1]
        assert (
            split.steps[0]
            <= gene.steps
            <= (split.steps[2] if arguments["n_cells"] <= max(split.few) else split.steps[1])
        )
        assert gene.normal_concat == gene.reduce_concat
        assert gene.normal_concat[-1] == gene.steps + 1
        assert all(cell.count("cse") <= 1 for cell in cells)
        assert all(sum(cell.count(f"conv_{k}x{k}") for k in (5, 7)) <= 1 for cell in cells)
        assert any("conv" in name for name in gene.names) or (gene.has("msa") and not gene.has("cse"))
        assert arguments["preproc"] or (gene.steps == arguments["C_mult"] == 1)
        assert arguments["glob_avg"] or not gene.has("msa")
        assert not (gene.steps == 1 and gene.has("none"))
        plan = Plan.of(arguments)
        assert all(parameter_count(plan, *images) <= split.largest for images in JUDGED)
        assert plan.C in {width * split.widening for width in split.widths}
        assert plan.fc_dim in split.heads


def test_frequencies() -> None:
    """Of draws of one half, and of one kind of primitive in fifteen, with rejections in mind."""
    recipes = drawn("deepnets", 400)
    rows, found = [r.arguments for r in recipes], [genes(r) for r in recipes]
    share = lambda values: sum(values) / len(recipes)  # noqa: E731 (one line)
    assert {row["n_cells"] for row in rows} == set(range(4, 19))
    assert {gene.steps for gene in found} == {1, 2, 3, 4}
    assert {row["ks"] for row in rows} == {3, 5, 7}
    assert set().union(*(gene.names for gene in found)) == set(PRIMITIVES)
    assert 0.4 < share(all(name in WEIGHTLESS for name, _ in gene.reduce) for gene in found) < 0.75
    assert 0.35 < share(row["stem_type"] for row in rows) < 0.65
    assert 0.35 < share(row["C_mult"] == 2 for row in rows) < 0.65
    assert 0.9 < share(row["glob_avg"] for row in rows) < 1
    assert 0.8 < share(row["norm"] is not None for row in rows) < 1
    assert all(row["norm"] for row in rows if row["n_cells"] > 5)
    widths = Counter(row["C"] for row in rows)
    assert set(widths) <= set(range(32, 129, 16))
    assert widths[32] > widths[128] > 0


def test_large_networks_are_narrow() -> None:
    for recipe in drawn("deepnets", 400):
        plan = Plan.of(recipe.arguments)
        if parameter_count(plan, *JUDGED[0]) > 800_000 or plan.n_cells > 12 or not plan.glob_avg:
            assert (plan.C, plan.fc_dim <= 256) == (32, True)


def test_splits_differ_from_the_base_in_what_they_are_named_for() -> None:
    assert min(r.arguments["C"] for r in drawn("deepnets_wide")) == 128
    assert max(r.arguments["n_cells"] for r in drawn("deepnets_deep")) > 30
    assert max(genes(r).steps for r in drawn("deepnets_dense")) == 10
    assert all(r.arguments["norm"] is None for r in drawn("deepnets_bnfree"))
    base, small = SPLITS["deepnets"], SPLITS["deepnets_small"]
    assert small == replace(base, cells=(4, 10), widths=(8, 16, 24, 32), heads=small.heads, input_shape=(1, 8, 8))


def test_a_seed_means_the_same_for_ever() -> None:
    rows = [sample_architecture(space, seed).to_dict() for space in SPLITS for seed in range(4)]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    assert digest[:16] == "29f9c58f76e37e90"


@pytest.mark.parametrize("space", SPLITS)
def test_networks_run_forwards_and_backwards(space: str) -> None:
    shape = SPLITS[space].input_shape
    small = [r for r in drawn(space, 40) if r.arguments["C"] <= 128 and r.arguments["n_cells"] <= 12][:1]
    assert small
    for recipe in small:
        module, x = recipe.build(), torch.randn(2, *shape)
        outputs = module(x)
        outputs.square().sum().backward()
        assert outputs.shape == (2, 10)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_images_of_imagenet_are_shrunk() -> None:
    recipe = sample_architecture("deepnets", 0, input_shape=(3, 224, 224), outputs=1000)
    assert recipe.arguments["large_images"]
    last = next(n for n in recipe_graph(recipe, batch=1).nodes if n.name == "glob_avg" and not n.module)
    assert last.shape[1:] == (Plan.of(recipe.arguments).last_width,)
    assert Plan.of(recipe.arguments).last_map in ((14, 14), (7, 7))
    assert Plan.of(predefined(input_shape=(3, 224, 224))["vit"].arguments).last_map == (14, 14)


def test_predefined() -> None:
    nets = predefined()
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in r.build().parameters()) for name, r in nets.items()}
    # ResNet-50 with a 3x3 stem and 10 classes instead of a 7x7 one and 1000: 64*3*40 and 990*2049 fewer.
    assert sizes["resnet50"] == 25_557_032 - 64 * 3 * (49 - 9) - 990 * 2049
    assert list(nets["vit"].build()(torch.zeros(1, 3, 32, 32)).shape) == [1, 10]


def test_what_the_output_does_not_depend_on_is_not_there() -> None:
    genotype = {
        **{"normal": [["sep_conv_3x3", 0], ["none", 1], ["conv_3x3", 1], ["none", 0]], "normal_concat": [3]},
        **{"reduce": [["conv_5x5", 0], ["cse", 1], ["conv_1x1", 1], ["none", 2]], "reduce_concat": [3]},
    }
    net = DeepNet((1, 8, 8), genotype=genotype, C=8, n_cells=3, C_mult=1)
    # Only the second input and the second step are read.
    names = [name for name, _ in net.named_modules()]
    assert "cells.0.preprocess1" in names
    assert not [n for n in names if "preprocess0" in n or n.endswith(("_ops.0", "_ops.1"))]


def test_states_without_a_sum_are_zeros() -> None:
    genotype = {
        **{"normal": [["none", 0], ["none", 1], ["conv_1x1", 1], ["none", 0]], "normal_concat": [2, 3]},
        **{"reduce": [["max_pool_3x3", 0], ["none", 1], ["none", 1], ["max_pool_3x3", 1]], "reduce_concat": [2, 3]},
    }
    net = DeepNet((1, 4, 4), genotype=genotype, C=4, n_cells=1)
    x = torch.randn(3, 1, 4, 4)
    halves = net.cells["0"](*net.stems(x)).split(4, 1)
    assert not halves[0].any()
    assert halves[1].any()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"C": 7}, "an even number of channels, at least 2, got 7"),
        ({"genotype": {**PLAIN, **SOURCE, "normal": [["msa", 0], ["msa", 1]]}, "C": 6}, "at least 8, got 6"),
        ({"norm": "ln"}, "norm: expected one of .* got 'ln'"),
        ({"preproc": False}, r"preproc: .* got 1 states, C_mult 2"),
        ({"fc_layers": 2}, "fc_layers 2, fc_dim 0"),
        ({"input_shape": (3, 8)}, r"expected channels, height, width.* got \[3, 8\]"),
        ({"genotype": {**PLAIN, **SOURCE, "normal": [["none", 0], ["none", 1]]}}, "depends on no input"),
        ({"genotype": {**PLAIN, **SOURCE, "normal": [["conv_9x9", 0], ["none", 1]]}}, "unknown primitive 'conv_9x9'"),
        ({"genotype": {**PLAIN, **SOURCE, "normal": [["conv_1x1", 2], ["none", 1]]}}, "read a state below 2, got 2"),
        ({"genotype": {**PLAIN, **SOURCE, "normal": [["conv_1x1", 1]]}}, "two primitives a step"),
        ({"genotype": {**PLAIN, **SOURCE, "normal_concat": [1]}}, r"different ones of the states \[2\], got \[1\]"),
        ({"genotype": {**PLAIN, **SOURCE, "normal": 3}}, "has pairs"),
        ({"genotype": PLAIN}, "a genotype has the keys normal, normal_concat, reduce, reduce_concat"),
    ],
)
def test_mistakes_are_told_with_the_value(given: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DeepNet(**given)
