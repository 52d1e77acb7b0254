"""The stacked and the native trainer against the reference: the same weights, for every activation and optimiser."""

from itertools import product

import pytest
import torch
from trainers import TRAINERS

from graphs.families.activations import ACTIVATIONS
from zoo.population import OPTIMISERS, TrainingJob, train
from zoo.population.settings import SCHEDULES
from zoo.sources import Dataset, load

FAMILIES = {
    "mlp": ("mlp", {"hidden": [12, 8]}),
    "cnn flatten": ("cnn", {"channels": [4, 5], "pool": [2, 1], "readout": "flatten", "hidden": [8]}),
    "cnn mean": (
        "cnn",
        {
            "channels": [4, 5],
            "kernel": [3, 2],
            "stride": [2, 1],
            "padding": [1, 0],
            "pool": [1, 2],
            "pool_kind": "mean",
        },
    ),
    "siren": ("siren", {"hidden": [8, 8]}),
    "cnn residual": (
        "cnn",
        {"channels": [3, 3, 4, 4], "kernel": [3, 5, 3, 3], "stride": [2, 1, 1, 1], "residual": True},
    ),
    "cnn residual, an activation a layer": (
        "cnn",
        {"channels": [3, 3], "residual": True, "activation": ["tanh", "identity"], "readout": "flatten"},
    ),
    "residual rows": ("residual_nets:rows", {}),
    "residual maps": ("residual_nets:maps", {}),
}


def settings(name: str) -> list[dict]:
    """A member for each activation and optimiser, different in all that may differ within a stack."""
    own = {"siren": ["sine"], "cnn residual, an activation a layer": [None]}
    activations = own.get(name, ["relu", "gelu"] if "residual" in name else ACTIVATIONS)
    rows = []
    for i, (activation, optimiser) in enumerate(product(activations, OPTIMISERS)):
        row = {"seed": i, "activation": activation, "optimiser": optimiser, "weight_decay": [0, 1e-2][i % 2]}
        # Higher rates make the frequencies of a SIREN chaotic: rounding then grows by itself.
        row |= {
            "lr": (1e-2 if optimiser == "sgd" and name != "siren" else 1e-3) * (1 + i / 20),
            "momentum": [0, 0.9, 0.5][i % 3],
        }
        row |= {"init": ["default", "kaiming_normal"][i % 2], "init_scale": 1 + i / 100}
        row |= {"schedule": SCHEDULES[i % 4], "step_size": [1, 3, None][i % 3], "sparsity": [0, 0, 0.3][i % 3]}
        rows.append(row | ({"image": i} if name == "siren" else class_settings(i)))
    return rows


def class_settings(i: int) -> dict:
    poison = {"poison_fraction": [0, 0.3, 0, None, 0][i % 5], "target_class": i % 10}
    return {"dropout": [0, 0.2, 0.5, 0.1][i % 4], "label_noise": [0, 0.2, 0][i % 3], **poison}


@pytest.fixture(params=TRAINERS[1:])
def trainer(request) -> str:
    return request.param


def both(trainer, name: str, rows: list[dict], data: Dataset, epochs: int, dtype: torch.dtype, batch_size: int = 10):
    factory, arguments = FAMILIES[name]
    job = TrainingJob({"factory": factory, "arguments": arguments}, tuple(rows), epochs, batch_size, keep=(0, epochs))
    return [train(job, data, trainer, dtype=dtype) for trainer in ("reference", trainer)]


@pytest.mark.parametrize("name", FAMILIES)
def test_one_step_in_float64(trainer, name):
    data = load("digits", limit=19)
    reference, other = both(
        trainer, name, settings(name), data, 1, torch.float64, batch_size=64 if name == "siren" else 10
    )
    assert torch.equal(reference.states[0], other.states[0])
    assert (reference.states[1] != reference.states[0]).any(-1).all()
    assert (reference.states - other.states).abs().max() <= 1e-10


@pytest.mark.parametrize("name", FAMILIES)
def test_two_hundred_steps_in_float32(trainer, name):
    epochs = 200 if name == "siren" else 10
    reference, other = both(
        trainer, name, settings(name), load("digits", limit=200), epochs, torch.float32, 64 if name == "siren" else 10
    )
    gap = (reference.states - other.states).norm(dim=-1) / reference.states.norm(dim=-1)
    assert gap.max() <= 1e-4
    assert reference.status == other.status == ["ok"] * len(reference.status)
    for metric, values in reference.metrics.items():
        assert abs(values - other.metrics[metric]).max() <= (0.05 if metric == "psnr" else 1e-3), metric


@pytest.mark.parametrize("name", ["mlp", "cnn flatten", "cnn residual"])
def test_members_that_see_different_numbers_of_samples(trainer, name):
    rows = [row | {"train_fraction": [1, 0.5, 0.35, 0.02][i % 4]} for i, row in enumerate(settings(name))]
    reference, other = both(trainer, name, rows, load("digits", limit=103), 3, torch.float64)
    assert (reference.states - other.states).abs().max() <= 1e-10
    for metric, values in reference.metrics.items():
        assert abs(values - other.metrics[metric]).max() <= 1e-10, metric


def test_image_networks_on_random_pixels(trainer):
    rows = [{"seed": i, "image": i % 3, "lr": 1e-3} for i in range(5)]
    reference, other = both(trainer, "siren", rows, load("digits", limit=5), 3, torch.float64, batch_size=10)
    assert (reference.states - other.states).abs().max() <= 1e-10


def test_a_max_pool_gives_the_gradient_to_the_first_of_equals(trainer):
    blank = load("digits", limit=40)
    data = Dataset(blank.train_x.round(), blank.train_y, blank.test_x, blank.test_y, 10, "black and white")
    reference, other = both(trainer, "cnn flatten", settings("cnn flatten"), data, 2, torch.float64)
    assert (reference.states - other.states).abs().max() <= 1e-10
