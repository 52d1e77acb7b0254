"""The rates of every update against torch.optim.lr_scheduler, and training by steps."""

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from trainers import TRAINERS

from zoo.population import MemberSettings, TrainingJob, train
from zoo.population.settings import SCHEDULES
from zoo.sources import load

EACH, EPOCHS, LR = 7, 6, 0.3
UPDATES = EACH * EPOCHS


def of_torch(name: str) -> list[float]:
    """The rate before each update, as torch's own scheduler sets it."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    makers = {
        "constant": lambda: lr_scheduler.ConstantLR(optimiser, factor=1.0),
        "step": lambda: lr_scheduler.StepLR(optimiser, step_size=2 * EACH, gamma=0.5),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimiser, T_max=UPDATES),
        "one_cycle": lambda: lr_scheduler.OneCycleLR(optimiser, LR, total_steps=UPDATES, cycle_momentum=False),
    }
    scheduler, rates = makers[name](), []
    for _ in range(UPDATES):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rates_are_torchs(name):
    from zoo.population.schedules import learning_rates

    settings = MemberSettings(seed=0, lr=LR, schedule=name, step_size=2, gamma=0.5)
    assert np.allclose(learning_rates(settings, UPDATES, EACH), of_torch(name), rtol=1e-12, atol=1e-15)
    for few in (0, 1, 2, 3):
        assert np.isfinite(learning_rates(settings, few, each=1)).all()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_states_kept_by_updates(trainer):
    """Members that see 4 batches and 1 batch an epoch are kept after the same numbers of updates."""
    data = load("digits", limit=40)
    recipe = {"factory": "mlp", "arguments": {"hidden": [5]}}
    rows = tuple({"seed": i, "train_fraction": [1, 0.25][i % 2], "schedule": SCHEDULES[i]} for i in range(4))
    job = TrainingJob(recipe, rows, epochs=0, steps=9, batch_size=10, keep=(0, 3, 9))
    result, reference = train(job, data, trainer), train(job, data)
    assert result.states.shape[0] == 3
    assert torch.allclose(result.states, reference.states, rtol=1e-4, atol=1e-6)
    # The first three updates of a training with constant rate are those of one that ends there.
    short = train(TrainingJob(recipe, rows[:1], epochs=0, steps=3, batch_size=10, keep=(3,)), data, trainer)
    assert torch.allclose(short.states[0, 0], result.states[1, 0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_an_image_network_stops_at_its_psnr(trainer):
    data = load("digits", limit=4)
    recipe = {"factory": "siren", "arguments": {"hidden": [16, 16]}}
    rows = ({"seed": 0, "image": 0, "target_psnr": 25.0}, {"seed": 0, "image": 0})
    result = train(TrainingJob(recipe, rows, 400, 64, keep=tuple(range(0, 401, 50))), data, trainer)
    psnr = result.metrics["psnr"][:, 0]
    first = int((psnr >= 25).argmax())
    assert 0 < first < 8
    assert (psnr[first:] == psnr[first]).all()
    assert torch.equal(result.states[first, 0], result.states[-1, 0])
    assert not torch.equal(result.states[first, 1], result.states[-1, 1])


def test_unknown_schedules_list_the_choices():
    with pytest.raises(ValueError, match="unknown schedule 'linear'; choose one of constant, step, cosine, one_cycle"):
        MemberSettings(seed=0, schedule="linear")
