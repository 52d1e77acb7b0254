"""What the README shows works as written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import graphs
import zoo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_graph_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    exec(blocks("python")[0], names)
    assert "passed: outputs differ by at most" in capsys.readouterr().out
    assert names["batch"].num_graphs == 2


def test_the_own_network_spec_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = zoo.ZooSpec.from_dict(yaml.safe_load(blocks("yaml")[0]))
    assert spec.count == 500
    (tmp_path / "my_code.py").write_text(blocks("python")[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_code", raising=False)
    net = graphs.Recipe("my_code:make_net").build()
    assert graphs.certify(net, torch.zeros(1, 3, 16, 16)).passed


def test_the_reading_example_runs(tmp_path: Path) -> None:
    spec = {"data": {"source": "digits", "limit": 60}, "recipes": ["mlp"], "members": 6, "epochs": 1}
    zoo.build(zoo.ZooSpec.from_dict(spec), tmp_path / "zoo", workers=0, progress=False)
    names: dict = {}
    exec(blocks("python")[3].replace("runs/digits", str(tmp_path / "zoo")), names)
    assert names["batch"].weights.shape == (len(names["z"]), names["z"][0].flat().numel())
    assert names["batch"].targets.shape == (len(names["z"]), 2)


def test_the_example_of_parents_runs(tmp_path: Path) -> None:
    spec = {"data": {"source": "digits", "limit": 60}, "recipes": ["mlp"], "members": 1, "epochs": 1}
    spec["descendants"] = [{"fixed": {"sparsity": 0.9}}]
    zoo.build(zoo.ZooSpec.from_dict(spec), tmp_path / "zoo", workers=0, progress=False)
    names: dict = {}
    exec(blocks("python")[2].replace("runs/twins", str(tmp_path / "zoo")), names)
    assert names["twin"].parent.id == names["z"][0].id


def test_tables_are_those_of_the_results() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "readme_tables.py"), "--check"])
    assert done.returncode == 0


def test_the_example_of_messages_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    exec(blocks("python")[4], names)
    assert names["e"].shape == (names["batch"].num_edges, 32)
    assert names["mean"].shape == names["largest"].shape == (names["batch"].num_nodes, 32)
    assert "'cuda'" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:the hypernetwork is untrained")
def test_the_example_of_predictions_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    exec(blocks("python")[5], names)
    assert names["weights"].keys() == names["net"].state_dict().keys()
    assert names["report"].share == 1
    assert "lstm.weight_ih_l0" in capsys.readouterr().out
