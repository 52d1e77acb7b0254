"""Predicted parameters of a user's module: complete, at a sane scale, and each accounted for."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphs
import hypernets
from hypernets.ghn.batch_statistics import estimate_statistics, use_batch_statistics
from hypernets.ghn.describing import describe
from hypernets.ghn.model import GHN
from hypernets.ghn.report import OWN, PREDICTED


@pytest.fixture(scope="module")
def ghn() -> GHN:
    torch.manual_seed(0)
    return hypernets.create("ghn2", hidden=16, max_shape=(16, 16, 5, 5), trained_steps=1)


class Net(nn.Module):
    """Every ending that a parameter can have."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 40, 7, padding=3), nn.BatchNorm2d(40), nn.ReLU())
        self.up = nn.ConvTranspose2d(40, 8, 2, stride=2)
        self.head, self.unread = nn.Linear(8, classes), nn.Linear(3, 2)
        self.again = nn.Conv2d(8, 8, 1)
        self.tied = self.again

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.stem(x))
        return self.head(self.tied(self.again(x).relu()).mean((2, 3)))


X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_weights_load_and_the_report_has_a_row_for_every_parameter(ghn: GHN) -> None:
    torch.manual_seed(0)
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    weights, report = ghn.predict(net, X)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert [row.name for row in report.rows] == [name for name, _ in net.named_parameters()]
    assert {row.name for row in report.rows if row.by == OWN} == {"unread.weight", "unread.bias"}
    assert torch.equal(weights["unread.weight"], before["unread.weight"])
    assert all("does not read" in row.reason for row in report.rows if row.by == OWN)
    assert not any(torch.equal(weights[row.name], before[row.name]) for row in report.rows if row.by == PREDICTED)
    assert weights["tied.weight"] is weights["again.weight"]
    net.load_state_dict(weights)
    assert net.eval()(X).isfinite().all()
    total = sum(p.numel() for p in net.parameters())
    assert (report.parameters, report.predicted) == (total, total - 8)


def test_the_report_says_what_was_tiled_and_reads_well(ghn: GHN) -> None:
    report = ghn.predict(Net(), X)[1]
    rows = {row.name: row for row in report.rows}
    assert rows["stem.0.weight"].tiled == (3, 1, 2, 2)
    assert rows["again.weight"].tiled == (1, 1, 1, 1)
    lines = str(report).splitlines()
    assert lines[0].split() == ["parameter", "shape", "by", "decoder", "remark"]
    assert any(
        line.startswith("stem.0.weight  40x3x7x7  predicted  weight") and "tiled 3 x 1 x 2 x 2" in line
        for line in lines
    )
    assert "norms with running statistics: 1" in lines[-1]
    found = json.loads(report.to_json())
    assert found["share"] == report.share
    assert len(found["rows"]) == len(report.rows)


def test_without_a_bound_the_parameters_are_those_of_the_hypernetwork(ghn: GHN) -> None:
    net = Net()
    weights, report = ghn.predict(net, X, within=None)
    written = ghn([describe(net, X)])[0]
    assert all(torch.allclose(weights[name], value) for name, value in written.items())
    assert all(row.rescaled == 1 for row in report.rows)


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def plain(depth: int) -> nn.Module:
    """A deep network without norms, whose own rule lets activations shrink."""
    layers = [m for _ in range(depth) for m in (nn.Linear(32, 32), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(32, 10))


class Residual(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32)) for _ in range(depth)])
        for block in self.blocks:
            nn.init.normal_(block[1].weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


@pytest.mark.parametrize("net", [plain(24), Residual(48)], ids=["plain", "residual"])
@pytest.mark.parametrize("loud", [1.0, 30.0], ids=["as is", "loud"])
def test_activations_stay_near_those_of_the_own_rule(ghn: GHN, net: nn.Module, loud: float) -> None:
    torch.manual_seed(0)
    other = hypernets.create("ghn2", **{**ghn.config, "trained_steps": 1})
    with torch.no_grad():
        other.decoder.last.weight.mul_(loud)
    x = torch.randn(16, 32)
    own = rms(net(x))
    weights, report = other.predict(net, x)
    now = rms(torch.func.functional_call(net, weights, x))
    assert 0.1 < now / own < 10
    if loud > 1:
        wild = rms(torch.func.functional_call(net, other.predict(net, x, within=None)[0], x))
        assert not 0.1 < wild / own < 10 or isinstance(net, nn.Sequential)
        assert any("rescaled by" in row.remark for row in report.rows)


def test_a_reported_factor_is_the_one_applied(ghn: GHN) -> None:
    torch.manual_seed(0)
    net, x = plain(6), torch.randn(16, 32)
    steady, report = ghn.predict(net, x, within=1.0)
    raw = ghn.predict(net, x, within=None)[0]
    assert all(torch.allclose(steady[r.name], raw[r.name] * r.rescaled) for r in report.rows)
    assert all(r.rescaled != 1 for r in report.rows if r.name.endswith("weight"))


def test_batch_statistics(ghn: GHN) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    weights, report = ghn.predict(net, X, batches=[X])
    assert "those of 1 batches" in report.notes[-1]
    features = torch.func.functional_call(net[0], {n[2:]: weights[n] for n in ("0.weight", "0.bias")}, X)
    assert torch.allclose(weights["1.running_mean"], features.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(weights["1.running_var"], features.var((0, 2, 3)), atol=1e-5)
    assert net[1].running_mean.abs().max() == 0
    assert net[1].momentum == 0.1
    net.load_state_dict(weights)
    by_file = net.eval()(X)
    assert torch.allclose(use_batch_statistics(net).eval()(X), by_file, rtol=2e-2, atol=1e-3)


def test_statistics_are_the_mean_over_batches() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2))
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    assert estimate_statistics(net, weights, [torch.zeros(3, 2), (torch.full((3, 2), 4.0),)]) == 2
    assert weights["0.running_mean"].tolist() == [2, 2]


def test_another_number_of_classes_is_written_and_told(ghn: GHN) -> None:
    weights, report = ghn.predict(Net(classes=37), X)
    assert weights["head.weight"].shape == (37, 8)
    assert any("37 classes" in note and "trained for 10" in note for note in report.notes)
    row = next(row for row in report.rows if row.name == "head.weight")
    assert (row.by, row.decoder, row.tiled) == (PREDICTED, "weight", (3, 1, 1, 1))


def test_other_input_channels_are_written(ghn: GHN) -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(288, 10))
    assert ghn.predict(net, X[:, :1])[1].share == 1


def test_an_untrained_hypernetwork_says_so(ghn: GHN) -> None:
    with pytest.warns(UserWarning, match="the hypernetwork is untrained"):
        report = hypernets.create("mlp", hidden=8, max_shape=(8, 8, 3, 3)).predict(nn.Linear(3, 10), torch.ones(1, 3))[
            1
        ]
    assert any("untrained" in note for note in report.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any("untrained" in note for note in ghn.predict(nn.Linear(3, 10), torch.ones(1, 3))[1].notes)


def test_values_that_are_not_finite_are_not_passed_on(ghn: GHN, monkeypatch: pytest.MonkeyPatch) -> None:
    net, whole = Net(), ghn.write_one

    def broken(embeddings: Tensor, target: Any) -> Tensor:
        written = whole(embeddings, target)
        return written * torch.nan if target.name == "up.weight" else written

    monkeypatch.setattr(ghn, "write_one", broken)
    weights, report = ghn.predict(net, X)
    assert torch.equal(weights["up.weight"], net.up.weight)
    row = next(row for row in report.rows if row.name == "up.weight")
    assert (row.by, row.reason) == (OWN, "the hypernetwork wrote values that are not finite")


def test_dtype_and_meta_device(ghn: GHN) -> None:
    assert {
        t.dtype for t in ghn.predict(nn.Linear(3, 10).half(), torch.ones(1, 3).half(), within=None)[0].values()
    } == {torch.float16}
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 10))
    weights, report = ghn.predict(net, X.to("meta"))
    assert weights.keys() == net.state_dict().keys()
    assert not any(t.is_meta for t in weights.values())
    assert torch.equal(weights["1.running_var"], torch.ones(8))
    assert report.share == 1


def test_bad_input_says_what_to_do(ghn: GHN) -> None:
    with pytest.raises(graphs.UntraceableError, match=r"expected input\[4, 3, 8, 8\] to have 1 channels"):
        ghn.predict(nn.Sequential(nn.Conv2d(1, 8, 3)), X)
    with pytest.raises(graphs.UntraceableError, match=r"is a LazyLinear.*run it once on an input"):
        ghn.predict(nn.LazyLinear(3), X)
    with pytest.raises(ValueError, match=r"within >= 1.*got 0.5"):
        ghn.predict(Net(), X, within=0.5)


class Counting(nn.Module):
    """Writes in place into all that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 4, max_norm=0.1), nn.Linear(4, 3)
        self.register_buffer("passes", torch.zeros(1))
        self.register_buffer("unsaved", torch.zeros(1), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        self.passes += 1
        self.unsaved += 1
        return self.head(self.embed(tokens))


def test_what_the_forward_pass_writes_in_place_is_undone(ghn: GHN) -> None:
    torch.manual_seed(0)
    net = Counting()
    table = net.embed.weight.detach().clone()
    weights, _ = ghn.predict(net, torch.arange(3)[None])
    assert torch.equal(net.embed.weight, table)
    assert (net.passes.item(), net.unsaved.item(), weights["passes"].item()) == (0, 0, 0)


def test_a_batch_of_one_is_enough_for_batch_norms(ghn: GHN) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
    weights, report = ghn.predict(net, torch.randn(1, 4))
    net.load_state_dict(weights)
    assert report.share == 1
    assert net.training
    assert not net[1]._forward_pre_hooks
    assert net[1].track_running_stats


SPECTRAL = [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm]


@pytest.mark.parametrize("normalised", SPECTRAL, ids=["parametrised", "hooked"])
def test_spectral_norms_divide_by_the_norm_of_the_predicted_weight(ghn: GHN, normalised: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(normalised(nn.Linear(32, 32)), nn.ReLU(), normalised(nn.Conv1d(1, 8, 3))).eval()
    x = torch.randn(16, 1, 32)
    own = rms(net(x))
    weights, _ = ghn.predict(net, x)
    net.load_state_dict(weights)
    assert 0.1 < rms(net(x)) / own < 10
    assert torch.linalg.matrix_norm(net[0].weight, 2).item() == pytest.approx(1, rel=0.02)


def test_what_has_no_values_on_the_meta_device_is_named(ghn: GHN) -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(4, 10))
        net.register_buffer("mask", torch.ones(2))
    weights, report = ghn.predict(net, torch.zeros(1, 4, device="meta"))
    assert net.state_dict().keys() - weights.keys() == {"mask"}
    assert any("mask" in note for note in report.notes)


def test_the_random_numbers_of_the_caller_are_not_touched(ghn: GHN) -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 10))
    before = torch.get_rng_state()
    ghn.predict(net, torch.ones(2, 4))
    assert torch.equal(torch.get_rng_state(), before)
