"""Which trainer is chosen for an architecture, why, and what is frozen of it in the manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.__main__ import main
from zoo.beginning import make_header
from zoo.building import build
from zoo.manifest import NAME, Manifest
from zoo.training import ShardTrainer

MakeSpec = Callable[..., zoo.ZooSpec]
RESNET = {"factory": "resnet", "arguments": {"widths": [4], "blocks": [1]}}


def chosen(make: MakeSpec, recipe: dict[str, Any], device: str = "cpu", **changes: Any) -> dict[str, Any]:
    """The trainer of the one architecture of a spec."""
    spec = make(recipes=[recipe], **{"random": {}, "trainer": "auto", "shard_size": 64} | changes)
    (found,) = make_header(spec, device)["trainers"].values()
    return found


def test_a_residual_network_trains_in_stacks(small_spec: MakeSpec) -> None:
    found = chosen(small_spec, RESNET, batch_size=10)
    assert (found["name"], found["device"]) == ("stacked", "cpu")
    assert found["stack"] >= 4
    assert "many networks of one architecture train at once; not native: " in found["why"]


def test_too_few_networks_train_one_by_one(small_spec: MakeSpec) -> None:
    found = chosen(small_spec, RESNET, members=3)
    assert found["name"] == "reference"
    assert "not stacked: only 3 of its networks would train at once, less than 4" in found["why"]
    # Activations train apart.
    found = chosen(small_spec, RESNET, members=None, repeats=3, grid={"activation": ["relu", "gelu"]})
    assert "only 3 of its networks would train at once" in found["why"]
    assert chosen(small_spec, RESNET, members=3, trainer="stacked")["name"] == "stacked"


def test_large_networks_train_one_by_one(small_spec: MakeSpec) -> None:
    large = {"factory": "resnet", "arguments": {"widths": [64], "blocks": [1]}}
    found = chosen(small_spec, large, batch_size=48)
    assert found["name"] == "reference"
    assert "not stacked: one network keeps a core busy (it makes tensors of 768 KiB, over 256)" in found["why"]


def test_a_zoo_with_a_gpu_prefers_stacks_on_it(small_spec: MakeSpec) -> None:
    for recipe in ({"factory": "mlp"}, RESNET):
        found = chosen(small_spec, recipe, device="cuda", members=2)
        assert (found["name"], found["device"]) == ("stacked", "cuda")


def test_what_was_frozen_decides_when_a_build_goes_on(
    small_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = small_spec(recipes=[RESNET], members=4, random={}, trainer="stacked", epochs=1, keep=[1], shard_size=4)
    root = build(spec, tmp_path / "zoo", workers=0, progress=False).root
    manifest = Manifest.read(root)
    ((name, row),) = manifest.header["trainers"].items()
    assert main(["info", str(root)]) == 0
    assert f"stacked for 4 in stacks of {row['stack']} on cpu: " in capsys.readouterr().out

    asked: list[tuple] = []
    monkeypatch.setattr("zoo.population.stacked.stack_size", lambda job, data: asked.append(("rule",)) or 1)
    stacks = "zoo.population.stacked.make_stacks"
    monkeypatch.setattr(stacks, lambda s, size, mixed: asked.append(("size", size)) or [list(range(len(s)))])
    frozen = {**manifest.header, "trainers": {name: {**row, "stack": 3}}}
    Manifest.create(root, frozen)
    ShardTrainer(root).train(0, lambda finished: None)
    # A zoo that is older than the frozen size follows the rule.
    Manifest.create(root, {**frozen, "trainers": {name: {k: row[k] for k in ("name", "why")}}})
    ShardTrainer(root).train(0, lambda finished: None)
    assert asked == [("size", 3), ("rule",), ("size", 1)]
    assert (root / NAME).exists()
