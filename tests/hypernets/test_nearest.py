"""The command that finds the architectures nearest to one's own."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

import hypernets
import zoo
from graphs import Recipe
from hypernets.tasks.gallery import gallery
from hypernets.tasks.nearest import NearestRun, find, nearest, recipes_among, same_family

VGG = {"stages": [[8, 16], [16]], "hidden": 32, "input_shape": [1, 8, 8]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved GHN-2, untrained."""
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("near") / "ghn"
    hypernets.create("ghn2").save_pretrained(path)
    return str(path)


def test_the_gallery_has_different_architectures_of_every_family_that_run() -> None:
    drawn = gallery(8)
    assert {"mlp", "cnn", "resnet", "vit", "gpt", "deepnet", "vgg", "mobilenet"} == set(drawn)
    for family, recipes in drawn.items():
        assert {recipe.factory for recipe in recipes} == {family}
        assert len(set(recipes)) == 8
        assert all(recipe.build().eval()(*recipe.example_input()).shape[0] == 2 for recipe in recipes)
    assert gallery(3)["vgg"] == drawn["vgg"][:3]


@pytest.mark.parametrize("name", ["ghn2", "ghn3"])
def test_the_nearest_is_of_the_same_family(name: str) -> None:
    """Of four queries in five at least, also before any training: the graph alone tells families apart."""
    named = [(family, family, recipe) for family, recipes in gallery(5).items() for recipe in recipes]
    found = same_family(hypernets.create(name).eval(), named)
    assert found["same_family_first"] >= 0.8
    assert set(found["families"]) == set(gallery(1))
    # What two of one family have in common, and not two of any: with families dealt out anew few are right.
    dealt = [(n, named[(7 * i) % len(named)][1], recipe) for i, (n, _, recipe) in enumerate(named)]
    assert same_family(hypernets.create(name).eval(), dealt)["same_family_first"] < 0.5


def test_of_a_file_of_recipes_the_same_one_comes_first(folder: str, tmp_path: Path, capsys) -> None:
    recipes = [Recipe("mlp", {"inputs": 4, "hidden": [8], "outputs": 2}), Recipe("vgg", VGG), Recipe("resnet")]
    among, out = tmp_path / "recipes.json", tmp_path / "found.json"
    among.write_text(json.dumps([recipe.to_dict() for recipe in recipes]))
    assert nearest(NearestRun(folder, "vgg", VGG, among=str(among), count=9, json=str(out))) is None
    found = json.loads(out.read_text())
    assert found["arch"] == "vgg"
    assert found["nearest"][0]["name"] == "recipes.json[1]"
    assert len(found["nearest"]) == 3
    assert found["nearest"][0]["similarity"] == pytest.approx(1)
    assert Recipe.from_dict(found["nearest"][0]["recipe"]) == recipes[1]
    assert capsys.readouterr().out.splitlines()[1].startswith("recipes.json[1]")


def test_ones_own_factory_among_the_gallery(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ModuleType("mine")
    layers = lambda width: [nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 20), nn.ReLU(), nn.Linear(20, 10)]  # noqa: E731
    setattr(mine, "make", lambda width: nn.Sequential(*layers(width)))  # noqa: B010
    monkeypatch.setitem(sys.modules, "mine", mine)
    monkeypatch.setattr("hypernets.tasks.nearest.EACH", 8)
    found = find(NearestRun(folder, "mine:make", {"width": 30}, input_shape=["1,12"], count=2))["nearest"]
    assert [one["family"] for one in found][:1] == ["mlp"]
    assert len(found) == 2
    with pytest.raises(ValueError, match="--input-shape 1,3,32,32"):
        find(NearestRun(folder, "mine:make", {"width": 30}))


def test_architectures_of_a_zoo_are_each_there_once(tmp_path: Path) -> None:
    spec = zoo.ZooSpec({"source": "digits", "limit": 40}, ("mlp", "cnn"), members=4, epochs=1)
    built = zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)
    named = recipes_among(str(tmp_path / "zoo"))
    assert sorted(family for _, family, _ in named) == ["cnn", "mlp"]
    assert all(built.find(name).recipe == recipe.to_dict() for name, _, recipe in named)


def test_what_cannot_be_read_is_told(folder: str, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    for text in ("{", '{"factory": "mlp"}', "[3]"):
        other.write_text(text)
        with pytest.raises(ValueError, match=r"recipes|recipe"):
            recipes_among(str(other))
    with pytest.raises(ValueError, match=r"no manifest\.jsonl"):
        recipes_among(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="name the architecture"):
        NearestRun(folder, input_shape=["1,3"])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        NearestRun(folder, "mlp", count=0)
    with pytest.raises(ValueError, match="one architecture of each family or more, got 0"):
        gallery(0)
