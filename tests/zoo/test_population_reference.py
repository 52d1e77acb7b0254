"""What every trainer promises: determinism, independence, divergence, the user's own network and loss."""

import math

import numpy as np
import pytest
import torch
from trainers import TRAINERS

from graphs.layout import flat_layout
from graphs.recipe import Recipe
from zoo.population import MemberSettings, TrainingJob, train
from zoo.population.batches import BatchOrder
from zoo.population.initialising import initialise
from zoo.sources import load

MLP = {"factory": "mlp", "arguments": {"hidden": [8]}}


@pytest.fixture(scope="module")
def data():
    return load("digits", limit=60)


def job(rows, recipe=MLP, **changes) -> TrainingJob:
    return TrainingJob(
        **{"recipe": recipe, "members": tuple(rows), "epochs": 2, "batch_size": 10, "keep": (0, 1, 2), **changes}
    )


def rows(count: int) -> list[dict]:
    return [{"seed": i, "lr": 0.01 * (i + 1), "dropout": 0.1 * (i % 3)} for i in range(count)]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_equal_jobs_give_equal_bytes(trainer, data):
    a, b = (train(job(rows(5)), data, trainer) for _ in range(2))
    assert torch.equal(a.states, b.states)
    assert all(np.array_equal(a.metrics[name], b.metrics[name]) for name in a.metrics)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_callers_random_numbers_are_left_alone(trainer, data):
    before = torch.get_rng_state()
    train(job(rows(2)), data, trainer)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_reference_member_depends_on_its_own_row_alone(data):
    together = train(job(rows(4)), data)
    alone = train(job([rows(4)[2]]), data)
    assert torch.equal(together.states[:, 2], alone.states[:, 0])


@pytest.mark.parametrize("trainer", TRAINERS)
def test_shapes_layout_and_progress(trainer, data):
    finished = []
    result = train(job(rows(3)), data, trainer, progress=finished.append)
    module = Recipe.from_dict(MLP).build()
    assert result.states.shape == (3, 3, flat_layout(module).num_parameters)
    assert result.states.dtype == torch.float32
    of_classes = result.metrics.pop("test_class_accuracy")
    assert of_classes.shape == (3, 3, 10)
    assert set(result.metrics) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_ece"}
    assert all(values.shape == (3, 3) for values in result.metrics.values())
    assert sum(finished) == 3
    assert result.other == {}
    # The metrics are those of the network that the state makes.
    module.load_state_dict(flat_layout(module).unflatten(result.states[2, 1]))
    accuracy = (module.eval()(data.test_x).argmax(-1) == data.test_y).double().mean().item()
    assert result.metrics["test_accuracy"][2, 1] == accuracy


@pytest.mark.parametrize("trainer", TRAINERS)
def test_training_learns(trainer, data):
    result = train(job([{"seed": 0, "lr": 0.02}], epochs=20, keep=(0, 20)), data, trainer)
    assert result.metrics["train_accuracy"][1, 0] > 0.9 > 0.5 > result.metrics["train_accuracy"][0, 0]


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_diverging_member_is_flagged_and_disturbs_nobody(trainer, data):
    calm = [{"seed": i, "optimiser": "sgd", "lr": 0.01} for i in range(3)]
    wild = [*calm[:1], {"seed": 9, "optimiser": "sgd", "lr": 1e30}, *calm[1:]]
    with_wild, without = train(job(wild), data, trainer), train(job(calm), data, trainer)
    assert with_wild.status == ["ok", "diverged", "ok", "ok"]
    assert with_wild.states[0, 1].isfinite().all()
    assert with_wild.states[1:, 1].isnan().all()
    assert np.isnan(with_wild.metrics["test_loss"][1:, 1]).all()
    assert torch.allclose(with_wild.states[:, [0, 2, 3]], without.states, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_image_networks_report_psnr_of_their_own_image(trainer, data):
    members = [{"seed": 0, "image": i, "lr": 1e-3} for i in (3, 4)]
    recipe = {"factory": "siren", "arguments": {"hidden": [16, 16]}}
    result = train(job(members, recipe, epochs=150, batch_size=64, keep=(0, 150)), data, trainer)
    assert set(result.metrics) == {"loss", "psnr"}
    assert (result.metrics["psnr"][1] > result.metrics["psnr"][0] + 10).all()
    assert np.allclose(result.metrics["psnr"], -10 * np.log10(result.metrics["loss"]), atol=1e-6)
    with pytest.raises(ValueError, match="image must be between 0 and 59, got 60"):
        train(job([{"seed": 0, "image": 60}], recipe), data, trainer)


@pytest.mark.parametrize("trainer", TRAINERS[:2])
def test_batch_norm_with_its_counters(trainer, data):
    recipe = {"factory": "resnet", "arguments": {"input_shape": [1, 8, 8], "widths": [4], "blocks": [1]}}
    result = train(job([{"seed": 0}, {"seed": 1}], recipe), data, trainer)
    counters = result.other["norm.num_batches_tracked"]
    assert counters.tolist() == [[0, 0], [6, 6], [12, 12]]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's file with a network and a loss."""
    (tmp_path / "own_work_of_test_population.py").write_text(
        "from torch import nn\nfrom torch.nn import functional as F\n"
        "def net(width, activation='tanh'):\n"
        "    act = {'tanh': nn.Tanh, 'relu': nn.ReLU}[activation]\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), act(), nn.Linear(width, 10))\n"
        "def loss(outputs, targets): return F.multi_margin_loss(outputs, targets)\n"
    )
    monkeypatch.chdir(tmp_path)
    return "own_work_of_test_population"


def test_own_network_and_loss_in_both_trainers(own, data):
    recipe = {"factory": f"{own}:net", "arguments": {"width": 6}}
    work = job(
        [{"seed": i, "activation": a, "lr": 0.01} for i, a in enumerate(["tanh", "relu"])], recipe, loss=f"{own}:loss"
    )
    a, b = (train(work, data, trainer, dtype=torch.float64) for trainer in ("reference", "stacked"))
    assert (a.states - b.states).abs().max() <= 1e-10
    # A hinge loss of ten classes that starts near 0.9 and falls; the cross-entropy would start at 2.3.
    assert (a.metrics["train_loss"][0] < 1.2).all()
    assert (a.metrics["train_loss"][2] < a.metrics["train_loss"][0]).all()


def test_activation_and_dropout_of_a_member_take_the_place_of_the_recipes():
    module = initialise(MLP, MemberSettings(seed=0, activation="tanh", dropout=0.25))
    assert str(module.activation0) == "Tanh()"
    assert module.dropout0.p == 0.25
    siren = {"factory": "siren"}
    initialise(siren, MemberSettings(seed=0, dropout=0.0))
    with pytest.raises(ValueError, match="'siren' takes no 'dropout', but a member sets it"):
        initialise(siren, MemberSettings(seed=0, dropout=0.5))


def test_init_schemes_redraw_weights_and_scale_them():
    def weight(**changes) -> torch.Tensor:
        return initialise({"factory": "mlp"}, MemberSettings(seed=0, **changes)).linear0.weight

    assert torch.equal(weight(init_scale=2.0), 2 * weight())
    assert weight(init="normal").std().item() == pytest.approx(0.1, rel=0.1)
    assert 0.099 < weight(init="uniform").abs().max().item() <= 0.1
    assert weight(init="kaiming_normal").std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.1)
    assert initialise({"factory": "mlp"}, MemberSettings(seed=0, init="normal")).linear0.bias.abs().max() == 0


def test_batches_are_of_the_chosen_samples_each_once_an_epoch():
    order = BatchOrder(MemberSettings(seed=1, train_fraction=0.5), samples=40, batch_size=10)
    assert len(order.chosen) == 20
    first, second = order.epoch(), order.epoch()
    assert sorted(first.flatten().tolist()) == order.chosen.tolist()
    assert not torch.equal(first, second)
    few = BatchOrder(MemberSettings(seed=1, train_fraction=0.1), samples=40, batch_size=10)
    assert few.epoch().shape == (1, 10)
    assert set(few.epoch().flatten().tolist()) == set(few.chosen.tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": "adma"}, "unknown optimiser 'adma'; choose one of sgd, adam, adamw"),
        ({"init": "zeros"}, "unknown init 'zeros'; choose one of default"),
        ({"activation": "relo"}, "unknown activation 'relo'; choose one of relu"),
        ({"lr": -1.0}, "lr must be at least 0, got -1.0"),
        ({"dropout": 1.5}, r"dropout must be in \[0, 1\), got 1.5"),
        ({"train_fraction": 0.0}, r"train_fraction must be in \(0, 1\], got 0.0"),
    ],
)
def test_settings_out_of_range(change, message, data):
    with pytest.raises(ValueError, match=message):
        train(job([{"seed": 0, **change}]), data)


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 65}, r"does not take inputs of shape \[1, 8, 8\]"),
        ({"outputs": 9}, r"10 classes, the network 'mlp' \[9\]"),
    ],
)
def test_networks_that_do_not_fit_the_data(trainer, arguments, message, data):
    with pytest.raises(ValueError, match=message):
        train(job([{"seed": 0}], {"factory": "mlp", "arguments": arguments}), data, trainer)


def test_jobs_that_contradict_themselves(data):
    with pytest.raises(ValueError, match=r"keep must be ascending epochs between 0 and 2, got \[3\]"):
        job(rows(1), keep=(3,))
    with pytest.raises(ValueError, match="unknown trainer 'fast'; choose one of reference, stacked"):
        train(job(rows(1)), data, "fast")
    with pytest.raises(ValueError, match="unknown loss 'hinge'; choose one of cross_entropy, mse"):
        train(job(rows(1), loss="hinge"), data)
    with pytest.raises(ValueError, match="some members fit an image and some do not"):
        job([{"seed": 0}, {"seed": 1, "image": 0}])
