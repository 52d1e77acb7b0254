"""Networks of any module in stacks: the same weights and counters as one by one, or a reason why not."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from graphs import Recipe
from zoo.population import OPTIMISERS, PopulationResult, TrainingJob, stacked_trial, train, why_not_stackable
from zoo.population.stacked_ways import _seeded
from zoo.sources import load

SMALL = {"input_shape": [1, 8, 8]}
FAMILIES = {
    "resnet": {"factory": "resnet", "arguments": {**SMALL, "widths": [4, 6], "blocks": [1, 1]}},
    "vgg": {"factory": "vgg", "arguments": SMALL},
    "mobilenet": {"factory": "mobilenet", "arguments": {**SMALL, "stem": 4, "widths": [4, 4], "strides": [2, 1]}},
    "vit": {"factory": "vit", "arguments": {**SMALL, "width": 8}},
    "gpt": {"factory": "own_networks:PixelGPT"},
    "own": {"factory": "own_networks:Plain"},
}


def rows(**changes: Any) -> list[dict[str, Any]]:
    """A member for each optimiser and two activations, different in all that may differ."""
    return [
        {
            "seed": i,
            "activation": activation,
            "optimiser": optimiser,
            "lr": (1e-2 if optimiser == "sgd" else 1e-3) * (1 + i / 20),
            "weight_decay": [0, 1e-2][i % 2],
            "momentum": [0, 0.9, 0.5][i % 3],
            "sparsity": [0, 0, 0.3][i % 3],
            **changes,
        }
        for i, (activation, optimiser) in enumerate(product(["gelu", "relu"], OPTIMISERS))
    ]


def run(name: str, members: list[dict[str, Any]], epochs: int, limit: int, *how: Any, **more: Any) -> PopulationResult:
    job = TrainingJob(FAMILIES[name], tuple(members), epochs, 10, keep=(0, epochs))
    return train(job, load("digits", limit=limit), *how, **more)


def gap(a: PopulationResult, b: PopulationResult) -> torch.Tensor:
    """The relative distance of each member's last weights."""
    one, other = a.states[-1].double(), b.states[-1].double()
    return (one - other).norm(dim=-1) / other.norm(dim=-1)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_step_in_float64(name: str) -> None:
    one, stacked = (run(name, rows(), 1, 19, trainer, dtype=torch.float64) for trainer in ("reference", "stacked"))
    assert torch.equal(one.states[0], stacked.states[0])
    assert (one.states[1] != one.states[0]).any(-1).all()
    assert (one.states - stacked.states).abs().max() <= 1e-10
    assert one.other.keys() == stacked.other.keys()
    assert all(torch.equal(values, stacked.other[key]) for key, values in one.other.items())
    for metric, values in one.metrics.items():
        assert np.nanmax(abs(values - stacked.metrics[metric])) <= 1e-10, metric


@pytest.mark.parametrize("name", ["resnet", "vit", "gpt"])
def test_two_hundred_steps_in_float32(name: str) -> None:
    # Adam takes gradients that are zero but for rounding (keys have a bias of no effect) for full ones, so that it is
    # measured at a low rate.
    members = [{**row, "lr": 1e-2 if row["optimiser"] == "sgd" else 1e-5} for row in rows()[:3]]
    one, stacked = (run(name, members, 10, 200, trainer) for trainer in ("reference", "stacked"))
    assert gap(stacked, one).max() <= 1e-4
    assert one.status == stacked.status == ["ok"] * len(members)
    assert all(torch.equal(values, stacked.other[key]) for key, values in one.other.items())
    for metric in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        assert abs(one.metrics[metric] - stacked.metrics[metric]).max() <= 1e-3, metric


@pytest.mark.parametrize("name", ["resnet", "vit", "gpt"])
def test_at_usual_rates_rounding_alone_sets_them_apart(name: str) -> None:
    # As far from the exact weights as the reference in single precision is itself.
    exact = run(name, rows(), 5, 200, "reference", dtype=torch.float64)
    one, stacked = (gap(run(name, rows(), 5, 200, trainer), exact).max() for trainer in ("reference", "stacked"))
    assert stacked <= max(1e-4, 5 * one)


def test_language_models_on_a_text() -> None:
    recipe = {"factory": "gpt", "arguments": {"vocabulary": 256, "context": 8, "width": 8}}
    members = tuple({**row, "activation": None, "train_fraction": [1, 0.4][i % 2]} for i, row in enumerate(rows()))
    job, data = TrainingJob(recipe, members, 1, 10, keep=(0, 1)), load("text", limit=40, context=8)
    one, stacked = (train(job, data, trainer, dtype=torch.float64) for trainer in ("reference", "stacked"))
    assert (one.states - stacked.states).abs().max() <= 1e-9
    assert (
        one.metrics.keys()
        == stacked.metrics.keys()
        == {f"{part}_{metric}" for part in ("train", "test") for metric in ("loss", "accuracy")}
    )
    for metric, values in one.metrics.items():
        assert abs(values - stacked.metrics[metric]).max() <= 1e-9, metric


@pytest.mark.parametrize("name", ["resnet", "gpt"])
def test_members_that_see_different_numbers_of_samples(name: str) -> None:
    members = [row | {"train_fraction": [1, 0.5, 0.35][i % 3]} for i, row in enumerate(rows())]
    one, stacked = (run(name, members, 2, 103, trainer, dtype=torch.float64) for trainer in ("reference", "stacked"))
    assert (one.states - stacked.states).abs().max() <= 1e-9
    assert all(torch.equal(values, stacked.other[key]) for key, values in one.other.items())


def test_a_lost_member_leaves_its_stack_mates_alone() -> None:
    members = [{"seed": i, "optimiser": "sgd", "lr": [0.01, 1e30, 0.02][i]} for i in range(3)]
    one, stacked = (run("resnet", members, 1, 60, trainer, dtype=torch.float64) for trainer in ("reference", "stacked"))
    assert one.status == stacked.status == ["ok", "diverged", "ok"]
    assert (one.states - stacked.states)[:, [0, 2]].abs().max() <= 1e-10


def test_any_size_of_the_stack_gives_the_same_networks() -> None:
    few, many = (run("resnet", rows(), 1, 60, "stacked", dtype=torch.float64, stack=n) for n in (1, 3))
    assert gap(few, many).max() <= 1e-10
    assert torch.equal(few.other["norm.num_batches_tracked"], many.other["norm.num_batches_tracked"])


@pytest.mark.parametrize("family", ["mlp", "cnn", "siren", "resnet", "vgg", "mobilenet", "vit", "gpt"])
def test_every_family_can_be_stacked(family: str) -> None:
    assert why_not_stackable({"factory": family}) is None


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("Dropping", "called random operation"),
        ("Branching", "data-dependent control flow"),
        ("Counting", "a training step of two networks together differs from that of each alone in batches"),
        ("Hiding", "a training step of two networks together differs from that of each alone in outputs"),
        ("Unused", "its output does not depend on its weights second.bias, norm.weight, norm.bias, head.weight"),
        ("Frozen", "some of its weights do not train"),
    ],
)
def test_what_cannot_be_stacked_is_refused_with_the_reason(network: str, reason: str) -> None:
    recipe = {"factory": f"own_networks:{network}", "input_shape": [1, 8, 8]}
    assert reason in str(why_not_stackable(recipe))
    job = TrainingJob(recipe, ({"seed": 0},), 1, 10, keep=(1,))
    with pytest.raises(ValueError, match=f"{network}.*{reason}.*use trainer='reference'"):
        train(job, load("digits", limit=20), "stacked")


def test_rounding_alone_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it turns a maximum or a relu: far apart in float32, and not in float64."""
    monkeypatch.setattr(stacked_trial, "TOLERANCE", dict.fromkeys((torch.float32, torch.float64), 1e-12))
    recipe = Recipe("resnet", {**SMALL, "widths": [8, 16], "blocks": [2, 2]})
    x = recipe.example_input(64)[0]
    assert stacked_trial._difference(_seeded(recipe), x, torch.float32) is not None
    assert stacked_trial._difference(_seeded(recipe), x.double(), torch.float64) is None
    assert why_not_stackable(recipe.to_dict(), x) is None


def test_a_small_mistake_is_not_taken_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    together, mistakes = stacked_trial._together, {torch.float32: 2e-3, torch.float64: 5e-4}

    def wrong(modules: Any, x: torch.Tensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        return {name: value * (1 + mistakes[dtype]) for name, value in together(modules, x, dtype).items()}

    monkeypatch.setattr(stacked_trial, "_together", wrong)
    assert "differs from that of each alone" in str(stacked_trial.why_not_vmapped(_linear, torch.ones(4, 3)))


def _linear(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 2)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a device that torch can use here, got 'warp'"):
        run("own", rows(), 1, 19, "stacked", device="warp")
    with pytest.raises(ValueError, match="the reference trainer trains on the cpu, got device 'cuda'"):
        run("own", rows(), 1, 19, "reference", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", FAMILIES)
def test_one_step_on_a_gpu(name: str) -> None:
    one, stacked = (run(name, rows(), 1, 19, "stacked", dtype=torch.float64, device=d) for d in ("cpu", "cuda"))
    assert stacked.states.device.type == "cpu"
    assert gap(stacked, one).max() <= 1e-8
