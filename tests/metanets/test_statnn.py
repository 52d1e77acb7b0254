"""StatNN: the values of its statistics, its layout, and that a saved one predicts the same."""

import itertools
import json
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from graphs import ParameterGraph, trace
from metanets.models.statnn import StatNN, feature_names, statistics


def mlp(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))


def graph_of(module: nn.Module, *shape: int) -> ParameterGraph:
    return trace(module, torch.randn(2, *shape)).bind(module.state_dict())


def many(count: int) -> tuple[list[ParameterGraph], numpy.ndarray]:
    """MLPs of two depths whose target is the scale of their last layer."""
    generator, graphs = numpy.random.default_rng(0), []
    targets = generator.uniform(0, 1, count)
    torch.manual_seed(0)
    modules = [mlp(4, 6, 3), mlp(4, 5, 5, 3)]
    topologies = [trace(m, torch.randn(2, 4)) for m in modules]
    for index, target in enumerate(targets):
        state = {k: torch.randn_like(v) for k, v in modules[index % 2].state_dict().items()}
        last = list(state)[-2]
        state[last] = state[last] * float(target)
        graphs.append(topologies[index % 2].bind(state))
    return graphs, targets


def test_statistics_by_hand() -> None:
    module = mlp(2, 2, 1)
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))  # pyright: ignore[reportIndexIssue]
        module[0].bias.copy_(torch.tensor([0.0, 4.0]))  # pyright: ignore[reportIndexIssue]
    row = dict(zip(feature_names(3), statistics([graph_of(module, 2)], 3)[0], strict=True))
    assert [row[f"first0.W.{s}"] for s in ("mean", "var", "q0", "q25", "q50", "q75", "q100")] == [
        3.0, 3.5, 1.0, 1.75, 2.5, 3.75, 6.0,
    ]  # fmt: skip
    assert (row["first0.b.mean"], row["first0.b.q75"]) == (2.0, 3.0)
    assert row["last1.W.mean"] == row["first0.W.mean"]
    assert row["last0.b.mean"] == row["first1.b.mean"]
    assert numpy.isnan([row["first2.W.mean"], row["last2.b.q0"]]).all()
    assert (row["parameters"], row["layers"], row["matrices"], row["convolutions"]) == (9, 2, 2, 0)


def test_mixed_architectures_share_one_layout() -> None:
    graphs = [graph_of(cnn(), 1, 8, 8), graph_of(mlp(4, 5, 3), 4), graph_of(mlp(4, 5, 5, 3), 4)]
    rows = statistics(graphs, max_layers=2)
    assert rows.shape == (3, 28 * 2 + 5) == (3, len(feature_names(2)))
    counts = rows[:, -5:].tolist()
    # Running statistics of the norm are buffers: no weights.
    assert counts[0] == [3 * 9 + 3 + 6 + 216 + 2, 3, 1, 1, 1]
    assert counts[2][1:] == [3, 3, 0, 0]
    alone = numpy.concatenate([statistics([graph], 2) for graph in graphs])
    numpy.testing.assert_array_equal(rows, alone)


def test_learns_mixed_architectures_and_survives_saving(tmp_path: Path) -> None:
    graphs, targets = many(300)
    model = StatNN(rounds=120).fit_statistics(graphs[:240], targets[:240], seed=3)
    predicted = model.predict(graphs[240:])
    assert numpy.corrcoef(predicted, targets[240:])[0, 1] > 0.9
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "trees.txt"]
    assert (tmp_path / "trees.txt").read_text().startswith("tree\n")
    numpy.testing.assert_array_equal(StatNN.from_pretrained(tmp_path).predict(graphs[240:]), predicted)
    again = StatNN(rounds=120).fit_statistics(graphs[:240], targets[:240], seed=3)
    numpy.testing.assert_array_equal(again.predict(graphs[240:]), predicted)


def test_errors(tmp_path: Path) -> None:
    graphs, targets = many(4)
    with pytest.raises(ValueError, match="no trees yet; call fit_statistics"):
        StatNN().predict(graphs)
    with pytest.raises(ValueError, match="4 networks and 3 targets"):
        StatNN().fit_statistics(graphs, targets[:3])
    with pytest.raises(ValueError, match="got 0 and 400"):
        StatNN(max_layers=0)
    (tmp_path / "config.json").write_text(json.dumps({"model": "gmn"}))
    with pytest.raises(ValueError, match=r"expected a saved 'statnn'.*is of 'gmn'"):
        StatNN.from_pretrained(tmp_path)
