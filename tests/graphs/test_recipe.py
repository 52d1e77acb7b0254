"""Recipes: how they are stored, built, and refused."""

import json

import pytest
import torch
from torch import nn

from graphs.importing import resolve
from graphs.recipe import FAMILIES, Recipe


def test_json_round_trip_keeps_the_recipe_and_its_hash():
    recipe = Recipe("mlp", {"hidden": (8, 4), "activation": "tanh"}, input_shape=(64,))
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert recipe.to_dict() == {
        "factory": "mlp",
        "arguments": {"hidden": [8, 4], "activation": "tanh"},
        "input_shape": [64],
    }


def test_ones_own_factory_of_tokens_tells_what_they_are():
    recipe = Recipe("torch.nn:Embedding", {"num_embeddings": 5, "embedding_dim": 2}, input_shape=(3,), vocabulary=5)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.with_arguments(embedding_dim=4).vocabulary == 5
    (tokens,) = recipe.example_input(batch=40)
    assert tokens.shape == (40, 3)
    assert set(tokens.flatten().tolist()) == set(range(5))
    assert recipe.build()(tokens).shape == (40, 3, 2)


def test_a_recipe_does_not_change_with_the_dict_it_was_made_of():
    hidden = [8]
    recipe = Recipe("mlp", {"hidden": hidden})
    hidden.append(9)
    assert recipe.arguments["hidden"] == [8]


def test_with_arguments_leaves_the_original():
    recipe = Recipe("mlp", {"hidden": [8]})
    assert recipe.with_arguments(dropout=0.5).arguments == {"hidden": [8], "dropout": 0.5}
    assert recipe.arguments == {"hidden": [8]}


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_seeds_build_equal_networks(family):
    def weights() -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return torch.cat([p.flatten() for p in Recipe(family).build().parameters()])

    assert torch.equal(weights(), weights())


def test_unknown_family_lists_the_choices():
    with pytest.raises(ValueError, match="unknown family 'mpl'; choose one of mlp, siren, cnn"):
        Recipe("mpl")


def test_arguments_that_json_cannot_hold():
    with pytest.raises(ValueError, match="must be numbers, strings, lists and dicts"):
        Recipe("mlp", {"hidden": object()})


def test_arguments_the_family_does_not_take():
    with pytest.raises(ValueError, match=r"does not take the arguments {'widths': 3}"):
        Recipe("mlp", {"widths": 3}).build()


def test_from_dict_refuses_other_keys():
    with pytest.raises(ValueError, match="'family'"):
        Recipe.from_dict({"family": "mlp"})


def test_a_module_in_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "own_nets_of_test_recipe.py").write_text(
        "from torch import nn\ndef make(width): return nn.Linear(width, 2)\ndef number(): return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    recipe = Recipe("own_nets_of_test_recipe:make", {"width": 5}, input_shape=(5,))
    assert isinstance(recipe.build(), nn.Linear)
    assert recipe.example_input()[0].shape == (2, 5)
    with pytest.raises(ValueError, match="give the recipe an input_shape"):
        Recipe("own_nets_of_test_recipe:make", {"width": 5}).example_input()
    with pytest.raises(ValueError, match=r"returned a int, expected a torch.nn.Module"):
        Recipe("own_nets_of_test_recipe:number").build()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:make", "install it, or run the command in the folder that holds it"),
        ("math:no_such_name", "has no 'no_such_name'; it has"),
        ("math", "expected 'module:attribute'"),
    ],
)
def test_names_that_cannot_be_resolved(name, message):
    with pytest.raises(ValueError, match=message):
        resolve(name)
