"""Predictions in files: what is written equals what is predicted, whole or not at all, and never much in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model
from torch import Tensor, nn

import hypernets
from hypernets.ghn.model import GHN
from hypernets.ghn.streaming import Slot, save_weights, write_safetensors


@pytest.fixture(scope="module")
def ghn() -> GHN:
    torch.manual_seed(0)
    return hypernets.create("ghn3", hidden=16, layers=1, heads=2, max_shape=(16, 16, 3, 3), trained_steps=1)


class Tied(nn.Module):
    """Tokens to tokens with one table, and a norm with statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(19, 8), nn.BatchNorm1d(8), nn.Linear(8, 19, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.embed(tokens).mean(1)))


TOKENS = torch.tensor([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_file_holds_what_is_predicted(ghn: GHN, tmp_path: Path, dtype: torch.dtype) -> None:
    net, path = Tied().to(dtype), tmp_path / "w.safetensors"
    report = hypernets.predict_to_file(ghn, net, (TOKENS,), path)
    weights, same = ghn.predict(net, TOKENS, within=None)
    found = load_file(path)
    assert found.keys() == weights.keys() - {"head.weight"}
    assert all(torch.equal(found[name], weights[name]) for name in found)
    assert report.rows == same.rows
    load_model(net, path)
    assert torch.equal(net.head.weight, weights["head.weight"])


@pytest.mark.parametrize("normalised", [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_spectral_norms_are_written_as_they_are_predicted(ghn: GHN, tmp_path: Path, normalised: Any) -> None:
    net, path = nn.Sequential(normalised(nn.Linear(8, 16)), nn.ReLU(), nn.Linear(16, 10)), tmp_path / "w.safetensors"
    hypernets.predict_to_file(ghn, net, (torch.ones(2, 8),), path)
    weights, found = ghn.predict(net, torch.ones(2, 8), within=None)[0], load_file(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in found)


def test_weights_are_saved_with_ties_once(ghn: GHN, tmp_path: Path) -> None:
    net = Tied()
    weights, _ = ghn.predict(net, TOKENS)
    save_weights(tmp_path / "w", net, weights)
    load_model(net, tmp_path / "w")
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


class Own(nn.Module):
    """Holds what its forward pass does not read, and what no rule initialises."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.unread = nn.Linear(4, 10), nn.Linear(2, 2)
        self.lost = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def test_meta_device(ghn: GHN, tmp_path: Path) -> None:
    with torch.device("meta"):
        net, x = Own(), torch.zeros(1, 4)
    report = hypernets.predict_to_file(ghn, net, (x,), tmp_path / "w")
    found = load_file(tmp_path / "w")
    assert found.keys() == {"layer.weight", "layer.bias", "unread.weight", "unread.bias"}
    assert found["unread.weight"].abs().max() > 0
    row = next(row for row in report.rows if row.name == "lost")
    assert row.reason.endswith("does not read it; left out of the file")
    assert "lost" in report.notes[-1]


def test_a_failure_leaves_nothing(ghn: GHN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Tensor:
        raise OSError("No space left on device")

    monkeypatch.setattr(ghn, "write_one", full)
    with pytest.raises(OSError, match="No space left"):
        hypernets.predict_to_file(ghn, nn.Linear(3, 10), (torch.zeros(1, 3),), tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_that_the_format_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a is torch.complex64, which safetensors does not hold"):
        write_safetensors(tmp_path / "w", [Slot("a", torch.complex64, (2,))], lambda _: torch.zeros(2))
    assert list(tmp_path.iterdir()) == []


BILLION = """
import json, resource, sys, torch
from torch import nn
import hypernets
from safetensors import safe_open
torch.set_num_threads(1)
ghn = hypernets.create("ghn2", trained_steps=1)
with torch.device("meta"):
    layers = [m for _ in range(15) for m in (nn.Linear(8192, 8192), nn.LayerNorm(8192), nn.ReLU())]
    net, x = nn.Sequential(*layers, nn.Linear(8192, 10)), torch.zeros(1, 8192)
report = hypernets.predict_to_file(ghn, net, (x,), sys.argv[1])
with safe_open(sys.argv[1], framework="pt") as file:
    shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    last = file.get_tensor("42.weight")[:8].std().item()
print(json.dumps({"parameters": report.parameters, "share": report.share, "last": last,
    "same": shapes == {n: list(t.shape) for n, t in net.state_dict().items()},
    "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""


@pytest.mark.slow
def test_a_billion_parameters_within_four_gigabytes(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", BILLION, str(tmp_path / "w")], capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    assert found["parameters"] > 10**9
    assert found["share"] == 1
    assert found["same"]
    assert found["last"] > 0
    assert found["gigabytes"] < 4
