"""Saved models come back the same; what cannot be loaded says why."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import graphs
import metanets
from graphs import collate
from metanets.models.flat_mlp import FlatMLP


def batch() -> graphs.GraphBatch:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    return collate([graphs.trace(module, torch.zeros(1, 2)).bind(module.state_dict())])


@pytest.mark.parametrize(("name", "settings"), [("ng-gnn", {"layers": 3}), ("gmn", {"width": 8}), ("flat-mlp", {})])
def test_a_model_comes_back_the_same(tmp_path: Path, name: str, settings: dict) -> None:
    model = metanets.create(name, out=2, **settings).eval()
    model.save_pretrained(tmp_path / "new" / "folder")
    again = metanets.load(tmp_path / "new" / "folder")
    assert type(again) is type(model)
    assert again.config == model.config
    assert not again.training
    assert torch.equal(again(batch()), model(batch()))
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == ["config.json", "model.safetensors"]


def test_from_pretrained_refuses_another_kind(tmp_path: Path) -> None:
    metanets.create("gmn", width=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"expected a saved 'flat-mlp', .* holds a 'gmn'; metanets.load takes any"):
        FlatMLP.from_pretrained(tmp_path)


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    metanets.create("gmn", width=8).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("norm.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"entry 'norm.weight' has shape missing, expected \(8,\) \(1 entries differ\)"
    ):
        metanets.load(tmp_path)
    metanets.create("flat-mlp").save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"are not of the 'gmn' that config.json describes"):
        metanets.load(tmp_path)


def test_a_folder_that_holds_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no config.json; give a folder of save_pretrained"):
        metanets.load(tmp_path)
    with pytest.raises(ValueError, match=r"expected a folder with a saved model, there is none at "):
        metanets.load(tmp_path / "nowhere" / "at" / "all")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"expected 'model' and 'arguments' in .*, got \['model_type'\]"):
        metanets.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model": "gmn", "arguments": []}))
    with pytest.raises(ValueError, match=r"expected 'arguments' in .*config.json to be a dict, got \[\]"):
        metanets.load(tmp_path)
    (tmp_path / "config.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"in .*config.json, got a list"):
        metanets.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is not JSON"):
        metanets.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model": "gcn", "arguments": {}}))
    with pytest.raises(ValueError, match=r"unknown model 'gcn'; choose among flat-mlp"):
        metanets.load(tmp_path)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    metanets.create("gmn", width=8).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read .*truncated or damaged"):
        metanets.load(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"expected the weights of 'gmn' in .*, there is no such file"):
        metanets.load(tmp_path)
