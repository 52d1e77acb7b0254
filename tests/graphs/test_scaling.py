"""Scale and sign symmetries against what is known of each architecture, in float64."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphs
from graphs import Recipe, Scale, Topology
from graphs.execution.probes import Probe
from graphs.scaling.search import find_scales, with_scales
from graphs.scaling.subject import Subject
from graphs.scaling.trials import Trials


class Readout(nn.Module):
    """A recurrent network and a linear layer, so that its states are hidden."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0])


class Llama(nn.Module):
    """One block: grouped queries, a gated MLP, root mean square norms."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(8), nn.RMSNorm(8)
        self.q, self.k, self.v = (nn.Linear(8, n, bias=False) for n in (4 * heads, 8, 8))
        self.o = nn.Linear(4 * heads, 8, bias=False)
        self.gate, self.up = nn.Linear(8, 6, bias=False), nn.Linear(8, 6, bias=False)
        self.down, self.head = nn.Linear(6, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        y = self.norm1(x)
        q, k, v = (p(y).view(batch, tokens, -1, 4).transpose(1, 2) for p in (self.q, self.k, self.v))
        k, v = (
            t[:, :, None].expand(-1, -1, self.heads // 2, -1, -1).reshape(batch, self.heads, tokens, 4) for t in (k, v)
        )
        mixed = (_rotate(q) @ _rotate(k).mT).softmax(-1) @ v
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        y = self.norm2(x)
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


def _rotate(x: Tensor) -> Tensor:
    """Rotary positions: dimensions i and i + 2 of a head turn together."""
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * torch.tensor([1.0, 0.1], dtype=x.dtype).repeat(2)
    half = torch.cat([-x[..., 2:], x[..., :2]], -1)
    return x * angle.cos() + half * angle.sin()


def mlp(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), *between, nn.Linear(4, 2))


def conv(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 2), *between, nn.Flatten(), nn.Linear(16, 2))


def named(topology: Topology, scale: Scale) -> dict[str, int]:
    """Exponents by state_dict entry, with the end where a parameter occurs at both."""
    names = [topology.entries[s.parameter].name for s in scale.slices]
    ranks = [f"[{s.rank}]" if s.rank else "" for s in scale.slices]
    columns = [" column" if s.end == "source" else "" for s in scale.slices]
    return {n + c + r: e for n, c, r, e in zip(names, columns, ranks, scale.exponents, strict=True)}


def found(module: nn.Module, *inputs: Tensor) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """Scales and signs."""
    torch.manual_seed(0)
    topology = graphs.trace(module, *inputs)
    scales = find_scales(topology, module, *inputs)
    both = [[named(topology, s) for s in scales if s.continuous == kind] for kind in (True, False)]
    return both[0], both[1]


VECTOR, IMAGE, SEQUENCE = torch.zeros(2, 3), torch.zeros(2, 3, 3, 3), torch.zeros(2, 3, 3)
IN_OUT = {"0.weight": 1, "0.bias": 1, "2.weight column": -1}
FLIP = {name: abs(e) for name, e in IN_OUT.items()}
STATISTICS = {"0.weight": 1, "0.bias": 1, "1.weight": -1, "1.running_mean": 1}
AFTER_NORM = {"1.weight": 1, "1.bias": 1, "3.weight column": -1}
AFTER_NORM_FLIP = {name: abs(e) for name, e in AFTER_NORM.items()}
STATISTICS_FLIP = {name: abs(e) for name, e in STATISTICS.items()}
# The candidate of an LSTM, and of a GRU: it is odd in its inputs, and so is what the state becomes.
CANDIDATE_FLIP = {
    f"recurrent.{name}": 1 for name in ("weight_ih_l0[2]", "bias_ih_l0[2]", "weight_hh_l0[2]", "bias_hh_l0[2]")
} | {"recurrent.weight_hh_l0 column": 1, "head.weight column": 1}

# name -> (network, input, scales of a neuron, signs of a neuron); each is generators of the symmetries.
TABLE: dict[str, tuple[Callable[[], nn.Module], Tensor, Sequence[dict], Sequence[dict]]] = {
    "relu": (lambda: mlp(nn.ReLU()), VECTOR, [IN_OUT], []),
    "leaky_relu": (lambda: mlp(nn.LeakyReLU()), VECTOR, [IN_OUT], []),
    "identity": (lambda: mlp(nn.Identity()), VECTOR, [IN_OUT], [FLIP]),
    "tanh": (lambda: mlp(nn.Tanh()), VECTOR, [], [FLIP]),
    "siren": (
        lambda: Recipe("siren", {"inputs": 3, "hidden": [4]}).build(),
        VECTOR,
        [],
        [{"linear0.weight": 1, "linear0.bias": 1, "head.weight column": 1}],
    ),
    "gelu": (lambda: mlp(nn.GELU()), VECTOR, [], []),
    "silu": (lambda: mlp(nn.SiLU()), VECTOR, [], []),
    "sigmoid": (lambda: mlp(nn.Sigmoid()), VECTOR, [], []),
    # Linear as far as the probes see.
    "relu6": (lambda: mlp(nn.ReLU6()), VECTOR, [], []),
    "threshold far away": (lambda: mlp(nn.Hardtanh(0.0, 1e6)), VECTOR, [], []),
    "odd and bounded": (lambda: mlp(nn.Hardtanh(-1e6, 1e6)), VECTOR, [], [FLIP]),
    "batch norm, relu": (
        lambda: mlp(nn.BatchNorm1d(4), nn.ReLU()), VECTOR, [STATISTICS, AFTER_NORM], [STATISTICS_FLIP],
    ),
    "batch norm, tanh": (
        lambda: mlp(nn.BatchNorm1d(4), nn.Tanh()), VECTOR, [STATISTICS], [STATISTICS_FLIP, AFTER_NORM_FLIP],
    ),
    "layer norm, relu": (lambda: mlp(nn.LayerNorm(4), nn.ReLU()), VECTOR, [AFTER_NORM], []),
    "layer norm, gelu": (lambda: mlp(nn.LayerNorm(4), nn.GELU()), VECTOR, [], []),
    "rms norm, relu": (
        lambda: mlp(nn.RMSNorm(4), nn.ReLU()), VECTOR, [{"1.weight": 1, "3.weight column": -1}],
        [{"0.weight": 1, "0.bias": 1, "1.weight": 1}],
    ),
    "conv, relu": (
        lambda: conv(nn.ReLU()), IMAGE, [{"0.weight": 1, "0.bias": 1, "3.weight column": -1}], [],
    ),
    "conv, max pool": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)), IMAGE,
        [{"0.weight": 1, "0.bias": 1, "3.weight column": -1}], [],
    ),
    "lstm": (lambda: Readout(nn.LSTM(3, 4, batch_first=True)), SEQUENCE, [], [CANDIDATE_FLIP]),
    "gru": (lambda: Readout(nn.GRU(3, 4, batch_first=True)), SEQUENCE, [], [CANDIDATE_FLIP]),
    "rnn": (
        lambda: Readout(nn.RNN(3, 4, batch_first=True)), SEQUENCE, [],
        [{name.replace("[2]", ""): 1 for name in CANDIDATE_FLIP}],
    ),
}  # fmt: skip


def as_sets(rows: Sequence[dict]) -> set[frozenset]:
    return {frozenset(row.items()) for row in rows}


@pytest.mark.parametrize("name", TABLE)
def test_table(name: str) -> None:
    make, example, scales, signs = TABLE[name]
    torch.manual_seed(0)
    got_scales, got_signs = found(make(), example)
    assert as_sets(got_scales) == as_sets(scales)
    assert as_sets(got_signs) == as_sets(signs)


@pytest.mark.parametrize("name", TABLE)
def test_certified(name: str) -> None:
    make, example, scales, signs = TABLE[name]
    torch.manual_seed(0)
    certificate = graphs.certify(make(), example, scale=True)
    assert certificate.max_error < 1e-12
    assert (certificate.scales, certificate.signs) == (4 * len(scales), 4 * len(signs))


def test_gpt() -> None:
    """v -> c_proj and q, k of every dimension of a head have a scale and a sign; the GELU neurons have none. Every
    LayerNorm's weight and bias may go to what reads them, but for the last one, whose reader is the tied embedding."""
    recipe = Recipe("gpt", {"vocabulary": 12, "context": 6, "width": 8, "depth": 1})
    scales, signs = found(recipe.build(), *recipe.example_input())
    qkv, bias = "blocks.0.attention.qkv.weight", "blocks.0.attention.qkv.bias"
    values = {qkv: 1, bias: 1, "blocks.0.attention.out.weight column": -1}
    keys = {qkv: 1, bias: 1, f"{qkv}[1]": -1, f"{bias}[1]": -1}
    norms = [
        {f"blocks.0.{norm}.weight": 1, f"blocks.0.{norm}.bias": 1, f"blocks.0.{reader} column": -1}
        for norm, reader in [("norm1", "attention.qkv.weight"), ("norm2", "mlp.0.weight")]
    ]
    assert as_sets(scales) == as_sets([values, keys, *norms])
    # The bias of the keys has no effect under softmax, so that its sign is free.
    free = {f"{bias}[1]": 1}
    flips = [{n: 1 for n in row} for row in [values, keys, *norms]]
    assert as_sets(signs) == as_sets([*flips, free])


@pytest.mark.parametrize("heads", [2, 4])
def test_llama(heads: int) -> None:
    """up -> down and v -> o have a scale and a sign, the gate none; so have the two dimensions of q and k that rotary
    positions turn together, in all query heads (1 or 2) that share a key head."""
    torch.manual_seed(0)
    module = Llama(heads)
    topology = with_scales(graphs.trace(module, torch.zeros(2, 3, 8)), module, torch.zeros(2, 3, 8))
    gated, values = {("up.weight", 1): 1, ("down.weight", -1): 1}, {("v.weight", 1): 1, ("o.weight", -1): 1}
    rotated = {("q.weight", 1): 2, ("k.weight", -1): 2}
    scales = [counted(topology, s) for s in topology.scales or () if s.continuous]
    signs = [counted(topology, s) for s in topology.scales or () if not s.continuous]
    assert as_sets(scales) == as_sets([gated, values, rotated])
    assert as_sets(signs) == as_sets(
        [{(n, 1): count for (n, _), count in row.items()} for row in [gated, values, rotated]]
    )
    assert [scales.count(rotated), len(scales), len(signs)] == [2, 4, 4]
    assert Topology.from_json(topology.to_json()).scales == topology.scales
    certificate = graphs.certify(module, torch.zeros(2, 3, 8), scale=True)
    assert certificate.max_error < 1e-12
    assert certificate.scales == certificate.signs == 6 + 8 + 2 * 2


def counted(topology: Topology, scale: Scale) -> dict[tuple[str, int], int]:
    """How many slices of each entry there are with each exponent; of q the exponent is positive."""
    names = [topology.entries[s.parameter].name for s in scale.slices]
    flip = -1 if any(n.startswith("q.") and e < 0 for n, e in zip(names, scale.exponents, strict=True)) else 1
    return dict(Counter((n, flip * e) for n, e in zip(names, scale.exponents, strict=True)))


@pytest.mark.parametrize(
    ("recipe", "scales", "signs"),
    [
        (Recipe("cnn", {"channels": [4, 3], "hidden": [5]}), 4 + 3 + 5, 0),
        # Every batch norm two scales and a sign a channel, but those before a sum of a residual stream one for all.
        (Recipe("resnet", {"widths": [4, 6], "blocks": [1, 1]}), 4 * (2 + 1) + 4 * 2 + 6 * 2 + 6 * 3, 4 * 3 + 6 * 3),
        (Recipe("mobilenet", {"stem": 4, "widths": [4], "strides": [1]}), 4 * 3 + 8 * 4, 4 * 2 + 8 * 2),
        (Recipe("vgg", {"stages": [[4], [5]], "hidden": 6}), 4 + 5 + 6, 0),
    ],
    ids=lambda value: value.factory if isinstance(value, Recipe) else str(value),
)
def test_families(recipe: Recipe, scales: int, signs: int) -> None:
    torch.manual_seed(0)
    certificate = graphs.certify(recipe.build(), *recipe.example_input(), scale=True)
    assert certificate.max_error < 1e-11
    assert (certificate.scales, certificate.signs) == (scales, signs)


@pytest.mark.parametrize(("activation", "scales"), [(nn.ReLU(), [IN_OUT]), (nn.GELU(), [])])
def test_dead_units_are_no_evidence(activation: nn.Module, scales: list[dict]) -> None:
    """Neurons without gradient would satisfy any exponents."""
    net = mlp(activation)
    with torch.no_grad():
        net[0].bias[:3] = -1e4
    assert found(net, VECTOR) == (scales, [])
    with torch.no_grad():
        net[0].bias[:] = -1e4
    assert found(net, VECTOR) == ([], [])


class Routed(nn.Module):
    """A sum over the experts of the tokens that a router sends there; ``few`` leaves the last expert without any."""

    def __init__(self, few: bool) -> None:
        super().__init__()
        self.norm, self.few = nn.LayerNorm(3), few
        self.experts = nn.ModuleList(nn.Linear(4, 2, bias=False) for _ in range(2))
        self.inner = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(x).relu()
        chosen = (x[:, 0] > (1e9 if self.few else 0.0)).to(x.dtype)[:, None]
        return self.experts[0](hidden) * (1 - chosen) + self.experts[1](hidden) * chosen


def test_a_parameter_without_influence_leaves_its_neurons_out() -> None:
    """Nothing tells how the reader of a neuron must change that no input reached."""
    scales, _ = found(Routed(few=False), torch.zeros(8, 3))
    exponents = {"inner.weight": 1, "inner.bias": 1, "experts.0.weight column": -1, "experts.1.weight column": -1}
    assert scales == [exponents]
    assert found(Routed(few=True), torch.zeros(8, 3)) == ([], [])


class Tied(nn.Module):
    """An autoencoder with one matrix."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.activation = (
            nn.Parameter(torch.randn(3, 4)),
            nn.Parameter(torch.randn(4)),
            activation,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x @ self.weight + self.bias) @ self.weight.T


def test_tied_weights_are_scaled_once() -> None:
    assert found(Tied(nn.Tanh()), VECTOR) == ([], [{"weight": 1, "bias": 1}])
    assert found(Tied(nn.ReLU()), VECTOR) == ([], [])
    assert graphs.certify(Tied(nn.Tanh()), VECTOR, scale=True).max_error < 1e-12


def test_wrong_exponents_are_rejected() -> None:
    net = mlp(nn.ReLU())
    topology = graphs.trace(net, VECTOR)
    [right] = find_scales(topology, net, VECTOR)
    generator = torch.Generator().manual_seed(0)
    probe = Probe((VECTOR,), {}).double().like(generator)

    def accepted(exponents: tuple[int, ...], continuous: bool = True) -> bool:
        scale = Scale(right.group, right.slices, exponents, continuous)
        return Trials(topology, Subject(topology, net), [probe], generator).accept(scale)

    assert accepted(right.exponents)
    assert not accepted((1, 1, -2))
    assert not accepted((1, 0, -1))
    assert not accepted((1, 1, 1))
    assert not accepted((1, 1, 1), continuous=False)


def test_outputs_without_derivatives_are_refused() -> None:
    class Detached(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).detach()

    net = mlp(Detached(4, 4))
    net.append(Detached(2, 2))
    with pytest.raises(ValueError, match="no output of Sequential can be differentiated"):
        find_scales(graphs.trace(net, VECTOR), net, VECTOR)


def test_modules_that_are_not_the_traced_one_are_refused() -> None:
    net = mlp(nn.ReLU())
    topology = graphs.trace(net, VECTOR)
    assert topology.module is not None
    with pytest.raises(ValueError, match="expected a Sequential with weights, got one on the device meta"):
        find_scales(topology, topology.module, VECTOR)
    with pytest.raises(ValueError, match=r"missing entries \['2.bias'\]"):
        find_scales(topology, nn.Sequential(net[0], nn.ReLU(), nn.Linear(4, 2, bias=False)), VECTOR)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_modules_are_searched_in_double(dtype: torch.dtype) -> None:
    net = mlp(nn.ReLU()).to(dtype)
    assert found(net, VECTOR.to(dtype)) == ([IN_OUT], [])
    assert net[0].weight.dtype == dtype


def test_in_place_operations_on_what_the_derivative_needs() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.tanh().mul_(2.0)

    assert found(mlp(InPlace()), VECTOR) == ([], [FLIP])


def test_the_module_is_left_as_it_was() -> None:
    net = mlp(nn.BatchNorm1d(4), nn.ReLU()).train()
    state = copy.deepcopy(net.state_dict())
    flags = [p.requires_grad for p in net.parameters()]
    find_scales(graphs.trace(net, VECTOR), net, VECTOR)
    assert net.training
    assert flags == [p.requires_grad for p in net.parameters()]
    assert all(torch.equal(state[n], t) for n, t in net.state_dict().items())
