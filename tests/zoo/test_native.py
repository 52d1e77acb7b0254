"""The native trainer: its functions against the C library, its choice, its masks."""

import numpy as np
import pytest
import torch
from torch import nn
from trainers import NATIVE

from graphs.families.activations import Sine
from graphs.families.siren import Shift
from zoo.population import MemberSettings, TrainingJob, native_masks, train
from zoo.population.native_network import Network
from zoo.population.native_program import why_not_native, write_program
from zoo.sources import load

pytestmark = pytest.mark.parametrize("trainer", [NATIVE])
ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), Sine(30.0)]


def network(module: nn.Module, shape: tuple[int, ...], loss: str = "mse", **settings) -> Network:
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    program = write_program(module.float(), shape)
    return Network(program, loss, weights, MemberSettings(seed=0, **settings))


def one_step(net: Network, x: torch.Tensor, y: torch.Tensor, rate: float = 1.0, count: int = 1) -> None:
    net.train(x, y, torch.arange(len(x)).repeat(count, 1), np.full(count, rate))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_activations_over_the_whole_range(trainer, activation):
    """Within a few roundings of float64 values, from tiny to saturated arguments."""
    x = torch.cat([torch.linspace(-30, 30, 20001), torch.logspace(-20, 1, 500), -torch.logspace(-20, 1, 500)])[:, None]
    one = nn.Linear(1, 1, bias=False)
    nn.init.ones_(one.weight)
    net = network(nn.Sequential(one, activation), (1,))
    # The argument of the sine is itself rounded: 900 has a rounding error of 3e-5.
    exact = (activation.float()(x) if isinstance(activation, Sine) else activation.double()(x.double())).double()
    gap = (net.predict(x, torch.arange(len(x))).double() - exact).abs()
    assert (gap / (exact.abs() + 1)).max() < 3e-7


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_derivatives_in_float32(trainer, activation):
    """One step of plain descent at rate 1 is the gradient."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 17), activation.float(), nn.Linear(17, 2), Shift(0.5))
    x, y = torch.randn(53, 3), torch.randn(53, 2)
    net = network(module, (3,), optimiser="sgd", momentum=0.0)
    before = net.weights()
    one_step(net, x, y)
    module.double()
    loss = nn.functional.mse_loss(module(x.double()), y.double())
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])
    assert (before - net.weights() - gradient).norm() <= 2e-6 * gradient.norm()


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 15, 16, 17, 65, 130])
@pytest.mark.parametrize("inputs", [1, 7, 16, 33])
def test_odd_sizes(trainer, inputs, outputs):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs, bias=outputs % 2 == 1)).double()
    x, y = torch.randn(50, inputs, dtype=torch.float64), torch.randn(50, outputs, dtype=torch.float64)
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    program = write_program(module.float(), (inputs,))
    net = Network(program, "mse", weights, MemberSettings(seed=0, optimiser="sgd", momentum=0.0))
    one_step(net, x, y)
    module.double()
    with torch.no_grad():
        nn.utils.vector_to_parameters(weights, module.parameters())
    loss = nn.functional.mse_loss(module(x), y)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])
    assert (weights - net.weights() - gradient).abs().max() <= 1e-13


def test_a_lost_network_is_nan_from_then_on(trainer):
    net = network(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), (2,), optimiser="sgd")
    x = torch.randn(10, 2)
    one_step(net, x, torch.randn(10, 1), rate=1e30, count=20)
    assert net.lost
    assert net.weights().isnan().all()
    assert net.predict(x, torch.arange(10)).isnan().all()


@pytest.mark.parametrize(
    ("module", "loss", "reason"),
    [
        (nn.Sequential(nn.Linear(2, 2)), "mse", None),
        (nn.Sequential(nn.Linear(2, 2)), "own:loss", "the loss own:loss is not one of"),
        (nn.Sequential(nn.Linear(2, 2), nn.GELU("tanh")), "mse", "GELU"),
        (nn.Sequential(nn.Conv2d(1, 1, (3, 1))), "mse", "is not square"),
        (nn.Linear(2, 2), "mse", "Linear is not an nn.Sequential"),
    ],
)
def test_what_is_not_taken_says_why(trainer, module, loss, reason):
    answer = why_not_native(module, loss)
    assert answer is None if reason is None else reason in str(answer)


@pytest.mark.parametrize("before", [0, 1, 623, 624, 625, 1000])
def test_masks_are_those_that_torch_draws_and_leave_its_generator_where_torch_does(trainer, before):
    if not native_masks.draws_as_torch():
        pytest.skip("torch draws in another way on this processor, and so does the native trainer")
    chances, counts = (0.5, 0.8, 1.0, 0.37), (313, 1, 5, 624)
    found = []
    for draw in (native_masks._draw_by_torch, native_masks._draw_compiled):
        with torch.random.fork_rng():
            torch.manual_seed(before)
            torch.randint(2, (before,))
            found.append((draw(chances, counts, 5), torch.rand(3)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_where_torch_draws_otherwise_the_masks_are_torchs(trainer, monkeypatch):
    data = load("digits", limit=40)
    job = TrainingJob({"factory": "mlp"}, ({"seed": 0, "dropout": 0.3},), 3, 10, keep=(3,))
    compiled = train(job, data, "native").states
    monkeypatch.setattr(native_masks, "draws_as_torch", lambda: False)
    assert torch.equal(train(job, data, "native").states, compiled)
