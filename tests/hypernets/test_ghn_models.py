"""Every graph hypernetwork: all parameters are written, at any size, and learn; it is saved and loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from some_architectures import every_kind, random_architecture

import hypernets
from hypernets.ghn.architecture import PRIMITIVES, PUBLISHED, collate_architectures
from hypernets.ghn.decoders.vector import SHIFT
from hypernets.ghn.model import GHN

SMALL: dict[str, Any] = {"hidden": 8, "max_shape": (16, 16, 7, 7), "rank": 4, "heads": 2, "layers": 2}
MODELS = [(name, {}) for name in hypernets.list_models()] + [("ghn2", {"decoder": "mlp"})]


def small(name: str, **keywords: Any) -> GHN:
    torch.manual_seed(0)
    return hypernets.create(name, **{**SMALL, **keywords})


def test_the_names() -> None:
    assert hypernets.list_models() == ["ghn1", "ghn2", "ghn3", "logah", "mlp"]


@pytest.mark.parametrize(("name", "keywords"), MODELS)
def test_every_target_is_written_and_every_tensor_learns(name: str, keywords: dict[str, Any]) -> None:
    model = small(name, **keywords)
    architectures = [every_kind(), random_architecture(6, 0.5, seed=0)]
    written = model(architectures)
    for architecture, parameters in zip(architectures, written, strict=True):
        assert list(parameters) == [t.name for t in architecture.targets]
        for target in architecture.targets:
            assert parameters[target.name].shape == target.shape
            assert parameters[target.name].isfinite().all()
    loss = sum((p * torch.linspace(1, 2, p.numel()).view_as(p)).sum() for own in written for p in own.values())
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    # A bias that all keys of an attention share changes nothing.
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [n for n in still if n != "propagation.bias.mlp.2.bias"] == []


@pytest.mark.parametrize(("name", "keywords"), MODELS)
def test_one_parameter_is_what_it_is_among_all(name: str, keywords: dict[str, Any]) -> None:
    model, architecture = small(name, **keywords).double(), every_kind()
    other = random_architecture(9, 0.3, seed=1)
    alone, together = model([architecture])[0], model([other, architecture])[1]
    embeddings = model.embed(collate_architectures([architecture]))
    for target in architecture.targets:
        one = model.write_one(embeddings, target)
        torch.testing.assert_close(one, alone[target.name], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together[target.name], alone[target.name], rtol=1e-11, atol=1e-11)


def test_scales_and_shifts() -> None:
    model, architecture = small("ghn2"), every_kind()
    with torch.no_grad():
        model.vectors.last.weight *= 100
        embeddings = model.embed(collate_architectures([architecture]))
        row = model.vectors(embeddings[2:3], SHIFT, 16)[0]
    written = model([architecture])[0]
    assert written["bn.weight"].min() >= 0
    assert 1 < written["bn.weight"].max() <= 2
    # 40 channels of 16: two copies and a half.
    torch.testing.assert_close(written["bn.bias"], torch.tanh(0.2 * row).repeat(3)[:40])


@pytest.mark.parametrize("name", ["ghn2", "logah"])
def test_large_parameters_are_tiled_as_reported(name: str) -> None:
    model, architecture = small(name), every_kind()
    written = model([architecture])[0]
    targets = {t.name: t for t in architecture.targets}
    expected = {
        "ghn2": {"stem.weight": (3, 1, 1, 1), "wide.weight": (2, 3, 1, 1), "large.weight": (1, 1, 2, 2)},
        # 16 rows hold 3 channels of 5, 5 of 3, and 2 of 7.
        "logah": {"stem.weight": (14, 1, 1, 1), "wide.weight": (5, 3, 1, 1), "large.weight": (2, 1, 2, 2)},
    }[name]
    assert {key: model.tiling(targets[key]) for key in expected} == expected
    block = -(-40 // expected["stem.weight"][0]) if name == "ghn2" else 3
    step = 16 if name == "ghn2" else block
    assert torch.equal(written["stem.weight"][step:], written["stem.weight"][:-step])
    assert not torch.equal(written["stem.weight"][1], written["stem.weight"][0])
    assert model.tiling(targets["table"]) == (1, 1, 1, 1)
    assert model.tiling(targets["head.weight"]) == (1, 2, 1, 1)


def test_another_number_of_classes_is_written_as_other_layers_are() -> None:
    model, architecture = small("ghn2"), every_kind(classes=13)
    head, bias = architecture.targets[-2:]
    assert (model.decoder_of(head), model.decoder_of(bias)) == ("weight", "vector")
    assert model([architecture])[0]["head.weight"].shape == (13, 21)


def test_without_weight_norm_gains_play_no_part() -> None:
    model, architecture = small("ghn1"), every_kind()
    louder = replace(architecture, targets=tuple(replace(t, gain=9.0) for t in architecture.targets))
    for quiet, loud in zip(model([architecture])[0].values(), model([louder])[0].values(), strict=True):
        assert torch.equal(quiet, loud)


def test_an_architecture_without_parameters_and_one_of_a_node() -> None:
    empty = replace(random_architecture(1, 0.0, seed=0), targets=())
    for name in hypernets.list_models():
        assert small(name)([empty]) == [{}]
    with pytest.raises(ValueError, match="one architecture or more"):
        small("ghn2")([])


def test_primitives_that_a_model_does_not_know() -> None:
    model = small("ghn2", primitives=len(PUBLISHED))
    architecture = replace(every_kind(), primitive=torch.full((9,), len(PRIMITIVES) - 1))
    with pytest.raises(ValueError, match=r"below 15, got 23.*PRIMITIVES\[:15\]"):
        model([architecture])


@pytest.mark.parametrize("name", hypernets.list_models())
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = small(name)
    model.save_pretrained(tmp_path)
    loaded = hypernets.load(tmp_path)
    assert (loaded.name, loaded.config, loaded.training) == (name, model.config, False)
    for key, value in model([every_kind()])[0].items():
        assert torch.equal(loaded([every_kind()])[0][key], value)


def test_folders_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        hypernets.load(tmp_path)
    small("mlp").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in [
        ({"model": "statnn"}, r"unknown model 'statnn'; choose among ghn1, ghn2"),
        ({"arguments": {**config["arguments"], "hidden": 12}}, "has shape"),
        ({"arguments": {**config["arguments"], "hidden": "wide"}}, "describes no graph hypernetwork"),
        ({"arguments": {"depth": 3}}, "'mlp' has no keyword 'depth'"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ValueError, match=message):
            hypernets.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or damaged"):
        hypernets.load(tmp_path)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"decoder": "deep"}, "unknown decoder 'deep'; choose among conv"),
        ({"propagation": "far"}, "unknown propagation 'far'; choose among gated"),
        ({"hidden": 10}, "multiple of 4, got 10"),
        ({"hidden": -4}, "multiple of 4, got -4"),
        ({"max_shape": (8, 8, 3)}, "four sizes"),
        ({"decoder": "low_rank", "rank": 5}, "multiple of the rank"),
        ({"propagation": "graphormer", "heads": 3}, "divisor of hidden"),
    ],
)
def test_keywords_that_make_no_model(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small("ghn2", **keywords)


def test_embeddings_stay_in_float32_under_autocast() -> None:
    model, architecture = small("ghn2"), every_kind()
    expected = model.embed(collate_architectures([architecture]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.embed(collate_architectures([architecture])), expected)
        assert all(p.isfinite().all() for p in model([architecture])[0].values())
