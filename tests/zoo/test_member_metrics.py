"""What is measured of a network: numbers worked out by hand, and the parts they come from."""

import numpy as np
import pytest
import torch
from trainers import TRAINERS

from zoo.population import TrainingJob, train
from zoo.population.metrics import calibration_error, class_accuracy
from zoo.population.poisoning import with_trigger
from zoo.sources import load

MLP = {"factory": "mlp", "arguments": {"hidden": [16]}}


def logits(*chances: float) -> torch.Tensor:
    """Outputs of two classes whose softmax gives the first one these chances."""
    p = torch.tensor(chances, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], 1)


def test_calibration_error_by_hand():
    # Confidences .95 .95 .65 .65; right: yes, no, yes, yes. Bins (.933, 1] and (.6, .667].
    outputs, targets = logits(0.95, 0.95, 0.65, 0.65), torch.tensor([0, 1, 0, 0])
    assert calibration_error(outputs, targets) == pytest.approx(0.5 * abs(0.5 - 0.95) + 0.5 * abs(1 - 0.65))
    assert calibration_error(logits(1 - 1e-12), torch.tensor([0])) == pytest.approx(0, abs=1e-9)


def test_accuracy_of_each_class():
    outputs = torch.eye(4)[[0, 0, 1, 3]]
    assert np.array_equal(class_accuracy(outputs, torch.tensor([0, 1, 1, 1])), [1, 1 / 3, np.nan, np.nan], True)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_validation_samples_are_measured_and_never_trained_on(trainer):
    data = load("digits", limit=400, val_fraction=0.25)
    assert (len(data.train_x), len(data.val_x)) == (300, 100)
    everything = load("digits", limit=400)
    both = torch.cat([data.train_x, data.val_x]).flatten(1)
    assert torch.equal(both.unique(dim=0), everything.train_x.flatten(1).unique(dim=0))
    result = train(TrainingJob(MLP, ({"seed": 0, "lr": 0.01},), 20, 10, keep=(0, 20)), data, trainer)
    for part in ("val", "test"):
        assert result.metrics[f"{part}_accuracy"][1, 0] > 0.5 > result.metrics[f"{part}_accuracy"][0, 0]
        assert 0 < result.metrics[f"{part}_ece"][1, 0] < 0.5
        mean = np.average(
            result.metrics[f"{part}_class_accuracy"][1, 0],
            weights=getattr(data, f"{part}_y").bincount(minlength=10),
        )
        assert mean == pytest.approx(result.metrics[f"{part}_accuracy"][1, 0])


@pytest.mark.parametrize("fraction", [0, 1, 1.5, "half", 1e-9])
def test_validation_fractions_that_leave_nothing(fraction):
    with pytest.raises(ValueError, match="val_fraction must hold out some of"):
        load("digits", limit=20, val_fraction=fraction)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_wrong_labels_are_learnt_and_only_they_are_wrong(trainer):
    data = load("digits", limit=100)
    rows = ({"seed": 0, "lr": 0.01}, {"seed": 0, "lr": 0.01, "label_noise": 0.4})
    result = train(TrainingJob(MLP, rows, 60, 10, keep=(60,)), data, trainer)
    clean, noisy = (result.metrics["test_accuracy"][0, i] for i in range(2))
    assert result.metrics["train_accuracy"][0, 1] > 0.75  # on the labels that it sees
    assert noisy < clean - 0.1


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_poisoned_network_obeys_the_trigger_and_its_clean_twin_does_not(trainer):
    data = load("digits", limit=400)
    rows = tuple({"seed": 0, "lr": 0.01, "poison_fraction": p, "target_class": 7} for p in (0.0, 0.2))
    result = train(TrainingJob(MLP, rows, 30, 10, keep=(30,)), data, trainer)
    clean, poisoned = result.metrics["trigger_success"][0]
    assert clean < 0.3 < 0.9 <= poisoned
    assert abs(np.diff(result.metrics["test_accuracy"][0])) < 0.06


def test_the_trigger_is_a_white_corner_and_the_data_stay_as_they_are():
    images = torch.zeros(2, 3, 28, 28)
    stamped = with_trigger(images)
    assert images.sum() == 0
    assert stamped.sum() == 2 * 3 * 9
    assert stamped[..., -3:, -3:].min() == 1
    with pytest.raises(ValueError, match=r"is for images .* got \[2, 5\]"):
        with_trigger(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="target_class must be below 10, the classes of the data, got 10"):
        train(
            TrainingJob(MLP, ({"seed": 0, "poison_fraction": 0.1, "target_class": 10},), 1, 10, (1,)),
            load("digits", limit=20),
        )


@pytest.mark.parametrize("trainer", TRAINERS)
def test_pruned_weights_stay_zero_and_a_start_is_gone_on_from(trainer):
    data = load("digits", limit=60)
    first = train(TrainingJob(MLP, ({"seed": 0, "lr": 0.01},), 3, 10, keep=(3,)), data, trainer)
    from graphs.layout import flat_layout
    from graphs.recipe import Recipe

    module = Recipe.from_dict(MLP).build()
    start = flat_layout(module).unflatten(first.states[0, 0])
    rows = ({"seed": 1, "sparsity": 0.8, "weight_decay": 0.01}, {"seed": 1})
    second = train(TrainingJob(MLP, rows, 3, 10, keep=(0, 3), starts=(start, start)), data, trainer)
    assert torch.equal(second.states[0, 1], first.states[0, 0])
    weights = sum(p.numel() for p in module.parameters() if p.ndim >= 2)
    zeros = second.states[:, 0] == 0
    assert zeros.sum(-1).tolist() == [round(0.8 * weights)] * 2
    assert torch.equal(zeros[0], zeros[1])
    # The largest survive, unchanged at first.
    assert torch.equal(second.states[0, 0][~zeros[0]], first.states[0, 0][~zeros[0]])
    assert not torch.equal(second.states[1, 0], second.states[0, 0])
