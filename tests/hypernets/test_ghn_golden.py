"""Published GHN-2 and GHN-3 models: embeddings and parameters that their own code computed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from some_architectures import every_kind
from torch import Tensor

import hypernets
from hypernets.ghn.architecture import PUBLISHED, Architecture, collate_architectures
from hypernets.ghn.model import GHN
from hypernets.ghn.published import from_published, load_published, our_name, published_name, to_published
from hypernets.ghn.target import Target

FILES = ["ghn2_tiny__mlp", "ghn2_tiny__cnn", "ghn2_tiny__vit_c16_n3", "ghn3_tiny__mlp", "ghn3_tiny__cnn"]


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def published_model(shared: Path, name: str) -> GHN:
    state, metadata = read(shared / "golden" / "ghn" / f"{name}_state.safetensors")
    return from_published(json.loads(metadata["config"]), state)


def four(shape: list[int]) -> tuple[int, int, int, int]:
    out, inputs, height, width = (*shape, *[1] * (4 - len(shape)))
    return out, inputs, height, width


def target(node: int, name: str, kind: str, shape: list[int], head: str = "") -> Target:
    size, axes = four(shape), tuple(range(len(shape)))
    if kind != "weight":
        decoder = "classifier_bias" if head else "weight" if kind == "position" else "vector"
        return Target(name, tuple(shape), node, decoder, kind, size, axes)
    alone = len(shape) == 4 and (shape[1] == 1 or shape[2] < shape[3])
    gain = math.sqrt((1 if alone else 2) / math.prod(shape[1:]))
    return Target(name, tuple(shape), node, "classifier" if head else "weight", kind, size, axes, gain)


def targets(node: int, name: str, primitive: str, shape: list[int], last: bool) -> list[Target]:
    """The parameters of a row of node_info."""
    if "pool" in primitive:
        return []
    if primitive in ("bn", "ln"):
        return [target(node, name, "scale", shape), target(node, name.replace(".weight", ".bias"), "shift", shape)]
    kind = {"bias": "shift", "pos_enc": "position"}.get(primitive, "weight")
    return [target(node, name, kind, shape, "head" if last else "")]


def architecture(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Architecture:
    assert json.loads(metadata["primitives"]) == list(PUBLISHED)
    shape = torch.zeros(int(metadata["n_nodes"]), 4, dtype=torch.int64)
    wanted = []
    for node, name, primitive, size, last_weight, last_bias in json.loads(metadata["node_info"]):
        shape[node] = torch.tensor(four(size))
        wanted += targets(node, name, primitive, size, last_weight or last_bias)
    return Architecture(tensors["node_feat"].long(), shape, tensors["adj_spd"].long(), tuple(wanted))


@pytest.mark.parametrize("name", FILES)
def test_embeddings_and_parameters(shared: Path, name: str) -> None:
    model = published_model(shared, name.split("__")[0])
    tensors, metadata = read(shared / "golden" / "ghn" / f"{name}.safetensors")
    batch = collate_architectures([architecture(tensors, metadata)])
    with torch.no_grad():
        embeddings = model.embed(batch)
        written = model.write(embeddings, batch)[0]
    torch.testing.assert_close(embeddings, tensors["node_emb"], rtol=0, atol=1e-5)
    expected = {key.removeprefix("pred."): value for key, value in tensors.items() if key.startswith("pred.")}
    assert written.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(written[key], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["ghn2_tiny", "ghn3_tiny"])
def test_names_and_back(shared: Path, name: str) -> None:
    state, _ = read(shared / "golden" / "ghn" / f"{name}_state.safetensors")
    again = to_published(published_model(shared, name))
    assert again.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(again[key].reshape(value.shape), value)
        assert published_name(our_name(key)) == key


CONFIG = {"max_shape": (8, 8, 3, 3), "num_classes": 10, "hid": 8}


@pytest.mark.parametrize(
    ("name", "keywords", "config"),
    [
        ("ghn1", {}, {}),
        ("ghn1", {"decoder": "mlp"}, {"decoder": "mlp"}),
        ("mlp", {}, {"hypernet": "mlp", "ve": True, "layernorm": True, "weight_norm": True}),
        ("ghn2", {}, {"ve": True, "layernorm": True, "weight_norm": True, "is_ghn2": True, "layers": 1, "heads": 0}),
        ("ghn3", {"layers": 2, "heads": 2}, {"layers": 2, "heads": 2, "layernorm": True, "weight_norm": True}),
    ],
)
def test_every_published_kind(name: str, keywords: dict[str, Any], config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = hypernets.create(name, hidden=8, max_shape=(8, 8, 3, 3), primitives=15, **keywords)
    loaded = from_published({**CONFIG, **config}, to_published(model))
    assert loaded.name == name
    assert loaded.config["trained_steps"] == 1
    for key, value in model([every_kind()])[0].items():
        assert torch.equal(loaded([every_kind()])[0][key], value)


def test_models_without_published_names() -> None:
    with pytest.raises(ValueError, match="in no published model"):
        to_published(hypernets.create("logah", hidden=8, max_shape=(64, 64, 3, 3)))


def test_a_file_of_ppuda(shared: Path, tmp_path: Path) -> None:
    state, metadata = read(shared / "golden" / "ghn" / "ghn2_tiny_state.safetensors")
    torch.save({"config": json.loads(metadata["config"]), "state_dict": state, "epoch": 3}, tmp_path / "ghn2.pt")
    loaded, expected = load_published(tmp_path / "ghn2.pt"), published_model(shared, "ghn2_tiny")
    assert loaded.name == "ghn2"
    for key, value in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"no torch file")
    with pytest.raises(ValueError, match="no torch file"):
        load_published(path)
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="no 'config'"):
        load_published(path)
    with pytest.raises(ValueError, match=r"missing.*differ"):
        load_published(path, CONFIG)
    with pytest.raises(ValueError, match="expected 'hid' in the config"):
        load_published(path, {"max_shape": (8, 8, 3, 3), "num_classes": 10})
    torch.save([1], path)
    with pytest.raises(ValueError, match="got a list"):
        load_published(path)


@pytest.mark.parametrize("content", [b"junk", b"", b"P", b"PK\x03\x04 cut off"])
def test_bytes_that_no_torch_file_has(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no torch file"):
        load_published(path, CONFIG)


def test_a_config_and_names_of_other_types(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({1: torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="others than tensors by name"):
        load_published(path, CONFIG)
    with pytest.raises(ValueError, match="describes no published model"):
        from_published({**CONFIG, "max_shape": 3}, {"weight": torch.zeros(2)})
