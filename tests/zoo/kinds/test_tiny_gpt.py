"""The zoo of small GPTs: losses fall, networks re-create and trace, and reports and exports take it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shrinking import built, settings_that_differ, spec_of

import zoo
from zoo.sources import load


@pytest.fixture(scope="module")
def gpts(tmp_path_factory: pytest.TempPathFactory) -> zoo.Zoo:
    """Eight networks trained for less long, by the trainer whose networks re-create bit for bit."""
    data = spec_of("tiny_gpt").data | {"limit": 640}
    spec = spec_of("tiny_gpt", members=8, epochs=5, keep=(0, 1, 3, 5), data=data, trainer="reference")
    return built(spec, tmp_path_factory.mktemp("gpts"))


def unigram_entropy(tokens: torch.Tensor) -> float:
    """Nats a token that knowing how often each occurs leaves open."""
    counts = np.bincount(tokens.flatten())
    chances = counts[counts > 0] / counts.sum()
    return float(-(chances * np.log(chances)).sum())


def test_every_network_learns_more_than_how_often_a_token_occurs(gpts: zoo.Zoo) -> None:
    data = load(**gpts.spec.data)
    entropy = unigram_entropy(data.test_y)
    for member in gpts:
        losses = member.metrics["test_loss"]
        assert len(losses) == len(member.epochs) == 4
        assert (np.diff(losses) < 0).all(), losses
        # Before training every byte is about as likely as any other.
        assert losses[0] == pytest.approx(np.log(256), abs=0.3)
        assert losses[-1] < entropy
        assert member.metrics["test_accuracy"][-1] > member.metrics["test_accuracy"][0]


def test_hyper_parameters_vary(gpts: zoo.Zoo) -> None:
    names = ["lr", "weight_decay", "width", "depth", "arguments.heads", "activation", "seed"]
    assert settings_that_differ(gpts, names) == set(names)


def test_networks_recreate_bit_for_bit_and_go_on_as_modules(gpts: zoo.Zoo) -> None:
    member, data = gpts[0], load(**gpts.spec.data)
    assert torch.equal(zoo.recreate(member.row, data), member.trajectory())
    with torch.no_grad():
        outputs = member.module()(data.test_x)
    loss = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), data.test_y.flatten())
    assert float(loss) == pytest.approx(member.metrics["test_loss"][-1], rel=1e-5)


def test_every_network_has_a_graph_that_holds_its_weights(gpts: zoo.Zoo, same_bits: Callable[..., bool]) -> None:
    for member in gpts:
        graph, state = member.graph(), member.state_dict()
        assert same_bits(dict(graph.state_dict()), dict(state))
        kinds = {group.kind: group.size for group in member.topology.groups}
        assert (kinds["vocabulary"], kinds["head"]) == (256, member.recipe["arguments"]["heads"])


def test_the_report_takes_it(gpts: zoo.Zoo, tmp_path: Path) -> None:
    told = zoo.write_report(gpts.root, tmp_path / "report.html", progress=False)
    assert (told["networks"], told["diverged"]) == (8, 0)
    page = (tmp_path / "report.html").read_text()
    assert "median test accuracy" in page
    assert "test loss" in page


def test_exports_hold_every_state(gpts: zoo.Zoo, tmp_path: Path, same_bits: Callable[..., bool]) -> None:
    from datasets import load_dataset

    files = zoo.export(gpts, "safetensors", tmp_path / "files", progress=False)
    assert len(list(files.rglob("*.safetensors"))) == 8 * 4
    folder = zoo.export(gpts, "hf", tmp_path / "hf", progress=False)
    rows = [row for part in load_dataset(str(folder), cache_dir=str(tmp_path / "cache")).values() for row in part]
    assert len(rows) == 8 * 4
    for row in rows[::7]:
        member = gpts.find(row["id"])
        assert same_bits(zoo.state_dict_of(row), member.state_dict(row["state"]))
        assert row["test_loss"] == member.metrics["test_loss"][row["state"]]
