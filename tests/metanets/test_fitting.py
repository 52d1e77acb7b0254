"""The training loop: it learns, stops, resumes bit for bit, and says what went wrong."""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from metanets.callbacks import JsonlLog, TensorBoard, read_log
from metanets.checkpointing import NAME
from metanets.fit_settings import FitSettings, check_settings
from metanets.fitting import NonFiniteError, fit
from metanets.optimiser import adamw
from metanets.schedule import Budget, warmup_cosine


class Regression:
    """Mean squared error of ``(x, y)`` batches."""

    monitor = "-mse"

    def step(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"loss": (model(batch[0]) - batch[1]).square().mean()}

    def evaluate(self, model: nn.Module, loader: Iterable[Any]) -> dict[str, float]:
        with torch.no_grad():
            return {"mse": float(torch.stack([self.step(model, batch)["loss"] for batch in loader]).mean())}


class Loader:
    """Batches in an order of its own, with a place to resume from."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.batches, self.epoch, self.at, self.start = batches, 0, 0, 0

    def __iter__(self):
        order = torch.randperm(len(self.batches), generator=torch.Generator().manual_seed(self.epoch)).tolist()
        self.at, self.start = self.start, 0
        while self.at < len(order):
            self.at += 1
            yield self.batches[order[self.at - 1]]
        self.epoch, self.at = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.start = state["epoch"], state["at"]


def make(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))


def data(count: int = 7) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 8, 4, generator=generator)
    return [(x, x.sum(1, keepdim=True)) for x in inputs]


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def stop_at(step: int):
    def callback(record: Any) -> None:
        if record["event"] == "train" and record["step"] >= step:
            raise KeyboardInterrupt

    return callback


def test_learns_and_returns_the_best_weights() -> None:
    model = make(dropout=0.0)
    val = data(9)[7:]
    before = Regression().evaluate(model, val)["mse"]
    result = fit(model, Regression(), data(), val, steps=200, lr=1e-2, progress=False)
    after = Regression().evaluate(model, val)["mse"]
    assert after < 0.1 * before
    assert after == pytest.approx(result.metrics["mse"])
    assert result.steps == 200
    assert result.stopped == "budget"


@pytest.mark.parametrize("loader", [Loader, list], ids=["stateful", "plain list"])
@pytest.mark.parametrize("stop", [10, 20], ids=str)
def test_interrupted_and_resumed_equals_uninterrupted(loader: Any, stop: int, tmp_path: Path) -> None:
    common: Any = {"steps": 35, "lr": 1e-2, "evaluations": 5, "progress": False}
    whole = make()
    torch.manual_seed(5)
    expected = fit(whole, Regression(), loader(data()), data(), **common)

    common |= {"checkpoint": tmp_path, "checkpoint_minutes": 0.0}
    interrupted = make()
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, Regression(), loader(data()), data(), callbacks=[stop_at(stop)], **common)
    resumed = make()
    torch.manual_seed(99)
    result = fit(resumed, Regression(), loader(data()), data(), resume=True, **common)
    assert torch.equal(weights(resumed), weights(whole))
    assert result.metrics == expected.metrics
    assert result.best_step == expected.best_step


def test_early_stopping_restores_the_best() -> None:
    class Scripted(Regression):
        def __init__(self) -> None:
            self.scores, self.seen = iter([3.0, 1.0, 2.0, 4.0, 0.0]), []

        def evaluate(self, model: nn.Module, loader: Iterable[Any]) -> dict[str, float]:
            self.seen.append(weights(model))
            return {"mse": next(self.scores)}

    task, model = Scripted(), make()
    result = fit(model, task, data(), data(), steps=50, evaluations=50, patience=2, progress=False)
    assert (result.stopped, result.steps, result.best_step, result.metrics) == ("early stopping", 4, 2, {"mse": 1.0})
    assert torch.equal(weights(model), task.seen[1])


@pytest.mark.parametrize(("scores", "best"), [([math.nan] * 4, 4), ([math.nan, 2.0, math.nan, 3.0], 2)], ids=str)
def test_newest_weights_are_kept_while_the_score_is_nan(scores: list[float], best: int) -> None:
    seen: list[Tensor] = []

    class Scripted(Regression):
        def evaluate(self, model: nn.Module, loader: Iterable[Any]) -> dict[str, float]:
            seen.append(weights(model))
            return {"mse": scores[len(seen) - 1]}

    model = make()
    result = fit(model, Scripted(), data(), data(), steps=4, evaluations=4, progress=False)
    assert result.best_step == best
    assert torch.equal(weights(model), seen[best - 1])


def test_nan_loss_names_the_step_and_leaves_the_weights() -> None:
    batches = data()
    batches[3] = (batches[3][0], torch.full_like(batches[3][1], float("nan")))
    model = make(dropout=0.0)
    with pytest.raises(NonFiniteError, match=r"the loss became nan at step 4.*Lower lr \(now 0.001\)"):
        fit(model, Regression(), batches, steps=20, progress=False)
    assert torch.isfinite(weights(model)).all()


def test_bf16_trains_float32_weights() -> None:
    model = make(dropout=0.0)
    result = fit(model, Regression(), data(), data(), steps=100, lr=1e-2, precision="bf16", progress=False)
    assert result.metrics["mse"] < 1.0
    assert weights(model).dtype == torch.float32


def test_minutes_end_a_run() -> None:
    result = fit(make(), Regression(), data(), data(), minutes=0.005, progress=False)
    assert 0.3 <= result.seconds < 2.0
    assert result.steps > 10


def test_a_run_that_is_made_longer_is_evaluated_to_its_end(tmp_path: Path) -> None:
    common: Any = {"checkpoint": tmp_path, "evaluations": 2, "progress": False}
    first = fit(make(), Regression(), data(), data(), steps=4, **common)
    longer = fit(make(), Regression(), data(), data(), steps=40, resume=True, **common)
    assert (first.best_step, longer.best_step) == (4, 40)
    assert longer.metrics["mse"] < first.metrics["mse"]


def test_a_checkpoint_of_an_earlier_version_has_the_defaults_of_what_it_does_not_tell(tmp_path: Path) -> None:
    earlier = {name: value for name, value in vars(FitSettings()).items() if name not in ("accumulate", "rates")}
    check_settings(earlier, vars(FitSettings()), tmp_path)
    with pytest.raises(ValueError, match="accumulate was 1, is 2"):
        check_settings(earlier, vars(FitSettings(accumulate=2)), tmp_path)


def test_log_is_rewound_on_resume(tmp_path: Path) -> None:
    common: Any = {"steps": 40, "checkpoint": tmp_path, "checkpoint_minutes": 0.0, "progress": False}
    log = JsonlLog(tmp_path / "log.jsonl")
    with pytest.raises(KeyboardInterrupt):
        fit(make(), Regression(), data(), callbacks=[log, stop_at(20)], **common)
    (tmp_path / "log.jsonl").open("a").write('{"event": "tr')
    fit(make(), Regression(), data(), callbacks=[log], resume=True, **common)
    rows = read_log(log.path)
    trained = [row["step"] for row in rows if row["event"] == "train"]
    assert trained == sorted(set(trained))
    assert trained[-1] == 40
    assert rows[-1]["event"] == "end"


def test_checkpoint_is_one_safe_file_of_another_model_refused(tmp_path: Path) -> None:
    fit(make(), Regression(), data(), steps=3, checkpoint=tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(), nn.Linear(3, 1))
    with pytest.raises(ValueError, match=r"of another model: entry '0.bias' has shape \(16,\) there and \(3,\)"):
        fit(model, Regression(), data(), steps=3, checkpoint=tmp_path, resume=True, progress=False)
    with pytest.raises(ValueError, match=r"lr was 0\.001, is 0\.5"):
        fit(make(), Regression(), data(), steps=3, lr=0.5, checkpoint=tmp_path, resume=True, progress=False)
    save_file({"a": torch.zeros(1)}, tmp_path / NAME, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"is no training checkpoint: expected 'run' in its header, got \['format'\]"):
        fit(make(), Regression(), data(), steps=3, checkpoint=tmp_path, resume=True, progress=False)
    (tmp_path / NAME).write_bytes(b"cut")
    with pytest.raises(ValueError, match="no checkpoint of a run that can be read"):
        fit(make(), Regression(), data(), steps=3, checkpoint=tmp_path, resume=True, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give steps=..., minutes=..., or both"),
        ({"steps": 0}, "expected steps > 0, got 0"),
        ({"steps": 5, "precision": "fp8"}, "unknown precision 'fp8'; choose from fp32, bf16"),
        ({"steps": 5, "warmup": 1.5}, "got 1.5"),
        ({"steps": 5, "optimiser": "sgd"}, "unknown optimiser 'sgd'; choose from adamw, adam"),
        ({"steps": 5, "schedule": "flat"}, "unknown schedule 'flat'; choose from cosine, steps"),
        ({"steps": 5, "accumulate": 0}, "expected >= 1, got 0"),
        ({"steps": 5, "resume": True}, "needs checkpoint=FOLDER"),
    ],
)
def test_settings_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(make(), Regression(), data(), progress=False, **arguments)


def test_empty_loader_and_missing_figure() -> None:
    with pytest.raises(ValueError, match="train_loader gave no batch"):
        fit(make(), Regression(), [], steps=5, progress=False)
    task = Regression()
    task.monitor = "tau"
    with pytest.raises(ValueError, match=r"monitors 'tau'.*it gives \['mse'\]"):
        fit(make(), task, data(), data(), steps=5, progress=False)


def test_accumulated_batches_make_the_step_of_all_of_them() -> None:
    batches = data(2)
    parted, whole = make(dropout=0.0), make(dropout=0.0)
    fit(parted, Regression(), batches, steps=1, accumulate=2, progress=False)
    both = (torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    fit(whole, Regression(), [both], steps=1, progress=False)
    torch.testing.assert_close(weights(parted), weights(whole))


def test_adam_takes_the_step_of_torch() -> None:
    model, twin = make(dropout=0.0), make(dropout=0.0)
    fit(model, Regression(), data(1), steps=1, lr=0.1, warmup=0.0, optimiser="adam", clip=None, weight_decay=0.0,
        progress=False)  # fmt: skip
    optimiser = torch.optim.Adam(twin.parameters(), lr=0.1)
    Regression().step(twin, data(1)[0])["loss"].backward()
    optimiser.step()
    assert torch.equal(weights(model), weights(twin))


def test_rates_are_factors_by_name() -> None:
    slow, plain = make(dropout=0.0), make(dropout=0.0)
    common: Any = {"steps": 1, "lr": 0.1, "warmup": 0.0, "weight_decay": 0.0, "clip": None, "progress": False}
    start = weights(plain)
    fit(slow, Regression(), data(1), rates={"0.": 0.5, "weight": 0.0}, **common)
    fit(plain, Regression(), data(1), **common)
    first = 4 * 16 + 16
    torch.testing.assert_close(weights(slow)[:first] - start[:first], 0.5 * (weights(plain) - start)[:first])
    assert torch.equal(weights(slow)[first : first + 16], start[first : first + 16])
    assert torch.equal(weights(slow)[-1], weights(plain)[-1])
    with pytest.raises(ValueError, match="no trained parameter has 'decoder' in its name"):
        fit(make(), Regression(), data(), rates={"decoder": 2.0}, **common)


def test_amounts_are_logged_a_second() -> None:
    class Counting(Regression):
        counts = ("rows",)

        def step(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            return {**super().step(model, batch), "rows": torch.tensor(len(batch[0])), "half": torch.tensor(0.5)}

    records: list[Any] = []
    fit(make(), Counting(), data(), steps=20, callbacks=[records.append], progress=False)
    row = next(r for r in records if r["event"] == "train")
    assert row["rows_per_second"] == pytest.approx(8 * row["steps_per_second"])
    assert row["half"] == 0.5


def test_only_matrices_are_decayed() -> None:
    groups = adamw(make(), 1e-3, 0.1).param_groups
    assert [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in groups] == [(0.1, [2, 2]), (0.0, [1, 1])]


def test_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [warmup_cosine(Budget(steps=100).fraction(step, 0.0)) for step in range(101)]
    assert max(rates) == 1.0
    assert rates.index(1.0) == 5
    assert rates[0] == rates[100] == 0.0
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_records_reach_callbacks_as_json(tmp_path: Path) -> None:
    log = JsonlLog(tmp_path / "log.jsonl")
    fit(make(), Regression(), data(), data(), steps=20, evaluations=2, callbacks=[log], progress=False)
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [row["event"] for row in rows] == ["start", "train", "val", "train", "val", "end"]
    assert rows[1]["loss"] > 0
    assert rows[1]["steps_per_second"] > 0
    assert "mse" in rows[2]


def test_tensorboard_says_which_extra_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'metazoo\[tb\]'"):
        TensorBoard(tmp_path)
