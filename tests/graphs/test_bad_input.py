"""Modules and inputs that cannot be traced, or only with care: each error says what arrived and what to do."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphs


class Net(nn.Module):
    """A forward function over named parts, buffers and attributes."""

    def __init__(self, forward: Callable, buffers: dict[str, Tensor] | None = None, **parts: Any) -> None:
        super().__init__()
        self.function = forward
        for name, buffer in (buffers or {}).items():
            self.register_buffer(name, buffer)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


def around(function: Callable[[Tensor], Tensor]) -> nn.Sequential:
    """A function of the hidden neurons of a perceptron."""
    return nn.Sequential(nn.Linear(4, 6), Net(lambda net, x: function(x)), nn.Linear(6, 2))


def fails(error: Exception) -> Net:
    def forward(net: Net, x: Tensor) -> Tensor:
        raise error

    return Net(forward)


class Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self(x)


def nested(depth: int) -> nn.Module:
    """Modules within modules, each of which runs the next."""
    net: nn.Module = nn.Identity()
    for _ in range(depth):
        net = Net(lambda net, x: net.inner(torch.tanh(net.own(x))), own=nn.Linear(4, 4), inner=net)
    return net


X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def sparse() -> nn.Parameter:
    return nn.Parameter(torch.eye(6, 4).to_sparse_csr())


def quantised() -> Tensor:
    return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


REFUSED: dict[str, tuple[Callable[[], Any], tuple, str]] = {
    "shapes": (
        lambda: nn.Sequential(nn.Linear(5, 2)),
        (X,),
        r"'0' at the operation addmm .*float32\[3, 4\].*\(3x4 and 5x2\)",
    ),
    "its own error": (lambda: fails(KeyError("mask")), (X,), r"Net failed in its forward pass .* KeyError: 'mask'"),
    "assertion": (lambda: fails(AssertionError("too long")), (X,), "AssertionError: too long"),
    "number of inputs": (
        mlp,
        (X, X),
        r"\(float32\[3, 4\], float32\[3, 4\], {}\): TypeError: .* takes 2 positional arg",
    ),
    "type of inputs": (mlp, ("text",), r"on the example inputs \('text', {}\): TypeError: .*must be Tensor, not str"),
    "no inputs": (lambda: Net(lambda net: net.a.weight, a=nn.Linear(2, 2)), (), "no output depends on the inputs"),
    "device of the inputs": (mlp, (X.to("meta"),), "the module is on cpu, the inputs on meta: move one of them"),
    "endless recursion": (Endless, (X,), "RecursionError"),
    "depth of nesting": (lambda: nested(400), (X,), r"failed in 'inner\.inner.*\.\.\.' .*RecursionError"),
    "lazy shapes": (
        lambda: nn.Sequential(nn.LazyLinear(3)),
        (X,),
        "'0' is a LazyLinear, whose shapes are not known yet",
    ),
    "compiled to TorchScript": (lambda: torch.jit.script(mlp()), (X,), "trace the module that it was scripted from"),
    "no module": (lambda: F.relu, (X,), "expected a torch.nn.Module, got builtin_function_or_method|got function"),
    "sparse parameter": (
        lambda: Net(lambda n, x: n.w @ x.T, w=sparse()),
        (X,),
        "'w' is of torch.sparse_csr",
    ),
    "quantised parameter": (
        lambda: Net(lambda net, x: x, {"q": quantised()}),
        (X,),
        "'q' is of torch.qint8, expected a dense tensor",
    ),
    "sparse on the way": (lambda: around(lambda h: h.to_sparse().to_dense()), (X,), "keep the forward pass in torch"),
}


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:torch.quantize", "ignore:.*deprecated")
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("what", [graphs.trace, graphs.certify])
def test_refused_with_a_reason(name: str, what: Callable) -> None:
    make, inputs, message = REFUSED[name]
    with pytest.raises(graphs.UntraceableError, match=message.replace("float32", "float(32|64)")):
        what(make(), *inputs)


def test_the_error_of_the_network_is_chained() -> None:
    error = KeyError("mask")
    with pytest.raises(graphs.UntraceableError) as caught:
        graphs.trace(fails(error), X)
    assert caught.value.__cause__ is error


# ---- networks that are traced as they are


class Uncopyable(nn.Module):
    """It holds a lock, a generator, and tensors that are no parameters, and refuses to be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.lock, self.count = (
            nn.Linear(4, 6),
            nn.Linear(6, 2),
            threading.Lock(),
            (i for i in range(3)),
        )
        self.scale, self.held = torch.tensor(2.0), {"lock": self.lock, "shift": torch.tensor(1.0)}
        self.register_buffer("gain", torch.tensor(3.0), persistent=False)

    def __deepcopy__(self, memo: dict) -> nn.Module:
        raise RuntimeError("not to be copied")

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return self.b(torch.tanh(self.a(x) * self.scale + self.held["shift"]) * self.gain)


def after_a_run(old_style: Callable) -> nn.Module:
    """Old-style parametrisations hold a weight computed from others, which deepcopy refuses."""
    layer = old_style(nn.Linear(4, 6))
    layer(X)
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(6, 2))


def doubled_by_a_hook() -> nn.Module:
    net = mlp()
    net[0].register_forward_hook(lambda module, inputs, output: output * 2)
    return net


new_style, old_style = nn.utils.parametrizations, nn.utils
TRACED: dict[str, tuple[Callable[[], nn.Module], tuple]] = {
    "uncopyable": (Uncopyable, (X,)),
    "hooks": (doubled_by_a_hook, (X,)),
    "compiled": (lambda: torch.compile(mlp()), (X,)),
    "a compiled part": (lambda: nn.Sequential(torch.compile(mlp()), nn.Identity()), (X,)),
    "data parallel": (lambda: nn.DataParallel(mlp()), (X,)),
    "weight norm": (lambda: nn.Sequential(new_style.weight_norm(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 2)), (X,)),
    "old weight norm": (lambda: after_a_run(old_style.weight_norm), (X,)),
    "float16": (lambda: mlp().half(), (X.half(),)),
    "bfloat16": (lambda: mlp().bfloat16(), (X.bfloat16(),)),
    "mixed precision": (
        lambda: nn.Sequential(nn.Linear(4, 6).half(), Net(lambda net, x: x.float().tanh()), nn.Linear(6, 2)),
        (X.half(),),
    ),
    "sparse input": (
        lambda: Net(lambda net, a, x: net.b(torch.tanh(a @ net.a(x))), a=nn.Linear(4, 6), b=nn.Linear(6, 2)),
        (torch.eye(3).to_sparse_csr(), X),
    ),
    "sparse input, torch.sparse.mm": (
        lambda: Net(lambda net, a, x: net.b(torch.sparse.mm(a, net.a(x))), a=nn.Linear(4, 6), b=nn.Linear(6, 2)),
        (torch.eye(3).to_sparse(), X),
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:.*weight_norm")
@pytest.mark.parametrize("name", TRACED)
def test_unusual_modules_are_certified(name: str) -> None:
    """Each has the 6! symmetries of its hidden layer; the module and its dtypes stay as they are."""
    make, inputs = TRACED[name]
    net = make()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    certificate = graphs.certify(net, *inputs)
    assert certificate.max_error < 1e-12
    assert 10**certificate.log10_group_order == pytest.approx(720)
    graph = graphs.trace(net, *inputs).bind(net.state_dict())
    for state in (net.state_dict(), graph.state_dict()):
        assert all(torch.equal(state[k], v) and state[k].dtype == v.dtype for k, v in before.items())


@pytest.mark.parametrize("norm", [new_style.spectral_norm, new_style.orthogonal, lambda m: old_style.spectral_norm(m)])
@pytest.mark.filterwarnings("ignore:.*spectral_norm")
def test_parametrisations_by_decompositions_are_certified(norm: Callable) -> None:
    net = nn.Sequential(norm(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 2))
    net(X)
    assert graphs.certify(net, X).max_error < 1e-10


def test_no_parameters() -> None:
    certificate = graphs.certify(nn.ReLU(), X)
    assert (certificate.max_error, certificate.coverage, certificate.log10_group_order) == (0, 0, 0)
    assert graphs.trace(nn.ReLU(), X).bind({}).state_dict() == {}


def test_complex_parameters_stay_beside_the_graph() -> None:
    values = torch.randn(6, dtype=torch.complex64)
    net = Net(
        lambda n, x: n.b((n.a(x) * n.c).real), a=nn.Linear(4, 6), b=nn.Linear(6, 2), c=nn.Parameter(values.clone())
    )
    assert graphs.certify(net, X).max_error < 1e-12
    graph = graphs.trace(net, X).bind(net.state_dict())
    assert torch.equal(graph.topology.bind_flat(graph.flat(), graph.other).state_dict()["c"], values)


def test_two_thousand_layers() -> None:
    net = nn.Sequential(*(layer for _ in range(1000) for layer in (nn.Linear(1, 1), nn.Tanh())))
    topology = graphs.trace(net, torch.zeros(2, 1))
    assert sum(block.num_edges for block in topology.blocks if block.kind == "linear") == 1000
    assert topology.sites[-1].layer == 1000


def test_a_hundred_modules_within_each_other() -> None:
    assert len(graphs.trace(nested(100), X).blocks) == 200


# ---- networks that change themselves


def writes_a_buffer(net: Net, x: Tensor) -> Tensor:
    net.count.add_(1)
    return net.b(torch.tanh(net.a(x))) * net.count


def writes_a_parameter(net: Net, x: Tensor) -> Tensor:
    net.a.weight.mul_(0.5)
    return net.b(torch.tanh(net.a(x)))


def replaces_data(net: Net, x: Tensor) -> Tensor:
    net.a.weight.data = net.a.weight.data * 0.5
    return net.b(torch.tanh(net.a(x)))


def replaces_attributes(net: Net, x: Tensor) -> Tensor:
    net.count = net.count + 1
    net.seen = net.a(x)
    return net.b(torch.tanh(net.seen))


def normalises_by_the_batch(net: Net, x: Tensor) -> Tensor:
    return net.b(F.batch_norm(net.a(x), net.n.running_mean, net.n.running_var, training=True))


SELF_CHANGING = {
    writes_a_buffer: "writes its own count as it runs",
    writes_a_parameter: "writes its own a.weight as it runs",
    replaces_data: None,
    replaces_attributes: None,
    normalises_by_the_batch: "writes its own n.running_mean, n.running_var",
}


@pytest.mark.parametrize("forward", SELF_CHANGING)
def test_networks_that_change_themselves_are_put_back(forward: Callable, recwarn: pytest.WarningsRecorder) -> None:
    net = Net(forward, {"count": torch.ones(1)}, a=nn.Linear(4, 6), b=nn.Linear(6, 2), n=nn.BatchNorm1d(6))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    graphs.trace(net, X)
    told = SELF_CHANGING[forward]
    assert [str(w.message) for w in recwarn if told and told in str(w.message)] or not told
    assert graphs.certify(net, X).max_error < 1e-12
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not hasattr(net, "seen")


# ---- chance


def test_dropout_in_training_mode_is_switched_off() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 2)).train()
    certificate = graphs.certify(net, X)
    assert certificate.passed
    assert not certificate.random
    assert net.training
    assert 10**certificate.log10_group_order == pytest.approx(720)


@pytest.mark.parametrize(
    ("function", "operation", "order"),
    [
        (lambda x: F.dropout(x, 0.5, training=True), "bernoulli_ in 1", 1),
        (lambda x: x + torch.rand_like(x), "rand_like in 1", 1),
        (lambda x: x + torch.randn(len(x), 1), "randn in 1", 720),
        (lambda x: x + torch.zeros_like(x).normal_(), "normal_ in 1", 1),
    ],
)
def test_random_numbers_are_recorded_and_stand_where_they_are_drawn(
    function: Callable, operation: str, order: int
) -> None:
    certificate = graphs.certify(around(function), X)
    assert certificate.max_error < 1e-12
    assert certificate.random == (operation,)
    assert 10**certificate.log10_group_order == pytest.approx(order)
    assert f"random: {operation}" in str(certificate)


def test_random_numbers_from_elsewhere_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"Sequential is not deterministic: two runs .* differ by [0-9.e+-]+; it keeps a"
    ):
        graphs.certify(around(lambda x: x * random.random()), X)


# ---- the device meta


@pytest.mark.parametrize("family", ["mlp", "vgg", "resnet", "mobilenet", "vit", "gpt", "siren"])
def test_structure_on_the_device_meta(family: str) -> None:
    recipe = graphs.Recipe(family, {"context": 6, "vocabulary": 12, "width": 8, "depth": 1} if family == "gpt" else {})
    with torch.device("meta"):
        net = recipe.build()
    inputs = recipe.example_input()
    topology = graphs.trace(net, *(t.to("meta") for t in inputs))
    assert topology.digest == graphs.trace(recipe.build(), *inputs).digest
    assert all(t.is_meta for t in net.parameters())


def test_the_device_meta_has_no_values() -> None:
    net = mlp().to("meta")
    with pytest.raises(graphs.UntraceableError, match="the module is on meta, the inputs on cpu: move one of them"):
        graphs.trace(net, X)
    with pytest.raises(ValueError, match=r"got one on the device meta; .* build it on the CPU"):
        graphs.certify(net, X.to("meta"))
    picky = Net(lambda n, x: n.a(x) if x.sum() > 0 else x, a=nn.Linear(4, 4).to("meta"))
    with pytest.raises(graphs.UntraceableError, match="on the device meta there are no values to branch on"):
        graphs.trace(picky, X.to("meta"))


# ---- weights that do not fit


def test_state_dicts_of_other_shapes_are_refused() -> None:
    net = mlp()
    topology, state = graphs.trace(net, X), net.state_dict()
    with pytest.raises(ValueError, match=r"missing entries \['2.bias'\], unexpected entries \[\]"):
        topology.bind({k: v for k, v in state.items() if k != "2.bias"})
    with pytest.raises(ValueError, match=r"missing entries \[\], unexpected entries \['more'\]"):
        topology.bind({**state, "more": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'0.weight': expected shape \(6, 4\), got \(4, 6\)"):
        topology.bind({**state, "0.weight": state["0.weight"].T})


def test_nan_is_bound_bit_for_bit_and_certified_with_other_weights() -> None:
    net = mlp()
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nan
    graph = graphs.trace(net, X).bind(net.state_dict())
    flat = graph.topology.bind_flat(graph.flat()).state_dict()
    assert torch.equal(flat["0.weight"].view(torch.int32), net[0].weight.detach().view(torch.int32))
    assert graphs.certify(net, X).max_error < 1e-12


@pytest.mark.parametrize("view", [lambda w: w.T, lambda w: w[:2], lambda w: w[1:3, 1:3]])
def test_parameters_that_share_some_memory_are_refused(view: Callable) -> None:
    net = Net(lambda net, x: x @ net.a, a=nn.Parameter(torch.randn(4, 4)))
    net.b = nn.Parameter(view(net.a.data))
    with pytest.raises(
        graphs.UntraceableError, match="entries 'a' and 'b' share some memory but are not the same tensor"
    ):
        graphs.trace(net, X)


def test_parameters_that_lie_side_by_side_are_not_tied() -> None:
    memory = torch.randn(8, 6)
    net = Net(lambda net, x: net.b(torch.tanh(net.a(x))), a=nn.Linear(4, 6), b=nn.Linear(6, 2))
    net.a.weight, net.b.weight = nn.Parameter(memory[:, :4][:6]), nn.Parameter(memory[6:])
    assert graphs.certify(net, X).max_error < 1e-12
    graph = graphs.trace(net, X).bind(net.state_dict())
    moved = graph.apply(graph.topology.random_symmetry(torch.Generator().manual_seed(0))).state_dict()
    assert torch.allclose(torch.func.functional_call(net, moved, (X,)), net(X), atol=1e-5)
