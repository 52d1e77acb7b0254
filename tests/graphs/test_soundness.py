"""Awkward modules are certified: rules that are easily unsound, operations without a rule, tied and reused weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from nets import Net, table
from torch import Tensor, nn

import graphs


def rotate_half(net: Net, x: Tensor) -> Tensor:
    """Rotary pairs: the same axis meets itself in another order."""
    angle = torch.arange(x.shape[1]).to(x)[:, None]

    def turn(t: Tensor) -> Tensor:
        return t * angle.cos() + torch.cat([-t[..., 4:], t[..., :4]], -1) * angle.sin()

    return net.o((turn(net.q(x)) @ turn(net.k(x)).mT).softmax(-1) @ net.v(x))


def chunks(net: Net, x: Tensor) -> Tensor:
    """Two halves of one parameter axis meet (SwiGLU)."""
    gate, value = net.w(x).chunk(2, -1)
    return net.d(F.silu(gate) * value)


def constant_by_position(net: Net, x: Tensor) -> Tensor:
    """A constant with equal values at different places must be told by place."""
    mixing = torch.tensor([[1.0, 2, 2, 1], [2, 1, 1, 2], [1, 1, 2, 2], [2, 2, 1, 1]]).to(x)
    return net.b(torch.tanh(net.a(x)) @ mixing)


def heads_in_batch(net: Net, x: Tensor) -> Tensor:
    """Heads folded into the batch axis of a convolution."""
    h = net.a(x).view(x.shape[0] * 2, 3, *x.shape[2:])
    return net.b(net.c(h).view(x.shape[0], 6, *x.shape[2:])).mean((2, 3))


def padded_channels(net: Net, x: Tensor) -> Tensor:
    return net.b(F.pad(net.a(x), (0, 2)))


def routed(net: Net, x: Tensor) -> Tensor:
    """The index of a maximum selects an expert."""
    return (net.experts[net.gate(x).argmax(-1)] @ net.a(x)[..., None])[..., 0]


def max_with_index(net: Net, x: Tensor) -> Tensor:
    value, place = net.a(x).max(-1, keepdim=True)
    return net.b(F.relu(net.a(x))) * value + place


def sliced_writes(net: Net, x: Tensor) -> Tensor:
    h = net.a(x)
    out = torch.zeros(len(x), 12).to(x)
    out[:, :6] = h
    out[:, 6:] = F.relu(h)
    return net.b(out)


def partial_activation(net: Net, x: Tensor) -> Tensor:
    h = net.a(x)
    h[:, :3].relu_()
    return net.b(h.mul_(2.0))


def one_neuron(net: Net, x: Tensor) -> Tensor:
    """A neuron that is used alone is no longer like the others."""
    h = net.a(x)
    return net.b(h.tanh()) * h[:, 2, None]


def some_neurons(net: Net, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.b(h.tanh()) * h[:, :3].relu().sum(1, keepdim=True)


def chosen_neurons(net: Net, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.b(h.tanh()) * h[:, torch.tensor([1, 4, 4])].mean(1, keepdim=True)


def leaves_torch(net: Net, x: Tensor) -> Tensor:
    """Values that go through Python or numpy cannot be followed."""
    h = net.a(x)
    return net.b(h.tanh()) * h[0, 2].item() + h.detach().numpy()[0, 1] + h[0].tolist()[0]


def class_token(net: Net, x: Tensor) -> Tensor:
    """Two neuron axes that nothing unites are read as one."""
    h = torch.cat([net.c.expand(2, 1, 6), net.a(x)], 1)
    return net.b(torch.cat([h, torch.sin(h)], -1))


def learned_tokens(net: Net, x: Tensor) -> Tensor:
    """Learned tokens stand after those of the input: their first slot is not the first entry of the site."""
    h = torch.cat([net.a(x), net.t.expand(len(x), -1, -1)], 1)
    return net.b(torch.tanh(h[:, 5:].mT)).mean(1)


def gates_of_heads(net: Net, x: Tensor) -> Tensor:
    """A product within each head with a bias that every head has of its own."""
    h = net.a(x)
    heads = h.reshape(len(x), 3, 4).permute(1, 0, 2)
    gate = torch.baddbmm(net.c[:, None], heads, net.w).transpose(0, 1).reshape(h.shape)
    return net.b(h * torch.sigmoid(gate))


def raw_reshape(net: Net, x: Tensor) -> Tensor:
    """A reshape that mixes neurons and positions."""
    return net.b(F.relu(net.a(x)).reshape(2, 6, 5).mT)


def stacked_layers(net: Net, x: Tensor) -> Tensor:
    h = torch.tanh(F.linear(net.i(x), net.w[0]))
    return net.o(torch.tanh(F.linear(h, net.w[1])))


def group_scale(net: Net, x: Tensor) -> Tensor:
    return net.b((net.a(x).view(3, 2, 3) * net.s[:, None]).flatten(1))


def with_own_transpose(net: Net, x: Tensor) -> Tensor:
    return net.b(net.a(x) @ (net.w + net.w.T))


def empty_cache(net: Net, x: Tensor) -> Tensor:
    """A cache that is still empty has one dimension, whatever it is joined to."""
    keys = torch.cat([torch.tensor([]), net.k(x)], -2)
    return net.o(net.q(x) @ keys.mT @ keys)


def same_twice(net: Net, x: Tensor) -> Tensor:
    h = net.a(x)
    return net.b(torch.cat([h, F.relu(h)], -1))


def low_rank(net: Net, x: Tensor) -> Tensor:
    return net.o(F.relu(x @ (net.A @ net.B)))


def sliced_product_of_parameters(net: Net, x: Tensor) -> Tensor:
    """Slices of what parameters alone make (the hidden part of a GRU's gates) stand at the same neurons."""
    gates = (net.h @ net.w.mT).chunk(3, -1)
    return net.o(net.a(x) * gates[0] + gates[1].tanh() * gates[2])


def tied_autoencoder(net: Net, x: Tensor) -> Tensor:
    return F.linear(F.relu(F.linear(x, net.w)), net.w.t())


def reused(net: Net, x: Tensor) -> Tensor:
    return net.o(torch.tanh(net.h(torch.tanh(net.h(torch.tanh(net.i(x)))))))


def squeeze_excite(net: Net, x: Tensor) -> Tensor:
    h = net.c(x)
    return net.o((h * torch.sigmoid(net.u(F.relu(net.d(h.mean((2, 3))))))[..., None, None]).mean((2, 3)))


def mixer(net: Net, x: Tensor) -> Tensor:
    h = net.e(x)
    return net.o((h + net.t2(F.gelu(net.t1(h.mT))).mT).mean(1))


def linear_attention(net: Net, x: Tensor) -> Tensor:
    return net.o(F.relu(net.q(x)) @ (F.relu(net.k(x)).mT @ net.v(x)))


def residual_attention(net: Net, x: Tensor) -> Tensor:
    h = net.i(x)
    return net.o(h + net.a(net.n(h), net.n(h), net.n(h), need_weights=False)[0])


X4, X54, IMAGE = (torch.randn(3, 4),), (torch.randn(2, 5, 4),), (torch.randn(2, 3, 8, 8),)


def diagonal_of_two(net: Net, x: Tensor) -> Tensor:
    """A diagonal pairs neurons of two layers that have met nowhere else."""
    return net.b((net.a(x).mT @ net.c(x)).diagonal(dim1=1, dim2=2))


def filled_index(net: Net, x: Tensor) -> Tensor:
    """What a tensor was filled with decides which neuron is read."""
    index = torch.zeros(2, dtype=torch.long).fill_(net.a(x).sum(0).argmax())
    return net.b(net.c(x).tanh()) + net.c(x).index_select(1, index)


CASES: dict[str, tuple[nn.Module, tuple]] = {
    "rotate half": (Net(rotate_half, q=nn.Linear(4, 8), k=nn.Linear(4, 8), v=nn.Linear(4, 8), o=nn.Linear(8, 2)), X54),
    "diagonal of two": (Net(diagonal_of_two, a=nn.Linear(4, 5), c=nn.Linear(4, 5), b=nn.Linear(5, 2)), X54),
    "filled index": (Net(filled_index, a=nn.Linear(4, 6), c=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "chunks": (Net(chunks, w=nn.Linear(4, 16), d=nn.Linear(8, 3)), X54),
    "constant by position": (Net(constant_by_position, a=nn.Linear(4, 4), b=nn.Linear(4, 2)), X4),
    "heads in batch": (Net(heads_in_batch, a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 2, 1), c=nn.Conv2d(3, 3, 1)), IMAGE),
    "padded channels": (Net(padded_channels, a=nn.Linear(4, 8), b=nn.Linear(10, 2)), X4),
    "routed": (Net(routed, gate=nn.Linear(4, 3), experts=table(3, 2, 6), a=nn.Linear(4, 6)), X4),
    "max with index": (Net(max_with_index, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "sliced writes": (Net(sliced_writes, a=nn.Linear(4, 6), b=nn.Linear(12, 2)), X4),
    "partial activation": (Net(partial_activation, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "one neuron": (Net(one_neuron, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "some neurons": (Net(some_neurons, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "chosen neurons": (Net(chosen_neurons, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "leaves torch": (Net(leaves_torch, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X4),
    "class token": (Net(class_token, a=nn.Linear(4, 6), c=table(1, 1, 6), b=nn.Linear(12, 2)), X54),
    "learned tokens": (Net(learned_tokens, a=nn.Linear(4, 6), t=table(1, 4, 6), b=nn.Linear(4, 2)), X54),
    "raw reshape": (Net(raw_reshape, a=nn.Linear(4, 6), b=nn.Linear(6, 2)), X54),
    "stacked layers": (Net(stacked_layers, i=nn.Linear(4, 6), w=table(2, 6, 6), o=nn.Linear(6, 2)), X4),
    "group scale": (Net(group_scale, a=nn.Linear(4, 6), s=table(2), b=nn.Linear(6, 2)), X4),
    "own transpose": (Net(with_own_transpose, a=nn.Linear(4, 6), w=table(6, 6), b=nn.Linear(6, 2)), X4),
    "rolled and flattened": (
        Net(lambda net, x: net.b(net.a(x).roll(1, -1).flatten(1)), a=nn.Linear(4, 6), b=nn.Linear(30, 2)),
        X54,
    ),
    "flipped kernel": (
        Net(
            lambda net, x: net.o(F.relu(F.conv2d(x, net.w.flip(0))).mean((2, 3))),
            w=table(5, 3, 3, 3),
            o=nn.Linear(5, 2),
        ),
        IMAGE,
    ),
    "spectral norm": (
        nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2)),
        X4,
    ),
    "outer product": (
        Net(lambda net, x: net.b(x @ torch.outer(net.u, net.v)), u=table(4), v=table(6), b=nn.Linear(6, 2)),
        X4,
    ),
    "empty cache": (Net(empty_cache, q=nn.Linear(4, 6), k=nn.Linear(4, 6), o=nn.Linear(6, 2)), X54),
    "same twice": (Net(same_twice, a=nn.Linear(4, 6), b=nn.Linear(12, 2)), X4),
    "low rank": (Net(low_rank, A=table(4, 3), B=table(3, 8), o=nn.Linear(8, 2)), X4),
    "tied autoencoder": (Net(tied_autoencoder, w=table(8, 4)), X4),
    "sliced_product_of_parameters": (
        Net(sliced_product_of_parameters, h=table(1, 8), w=table(24, 8), a=nn.Linear(4, 8), o=nn.Linear(8, 2)),
        X4,
    ),
    "gates of heads": (
        Net(gates_of_heads, c=table(3, 4), w=table(3, 4, 4), a=nn.Linear(4, 12), b=nn.Linear(12, 2)),
        X4,
    ),
    "reused": (Net(reused, i=nn.Linear(4, 8), h=nn.Linear(8, 8), o=nn.Linear(8, 2)), X4),
    "squeeze excite": (
        Net(squeeze_excite, c=nn.Conv2d(3, 8, 3), d=nn.Linear(8, 4), u=nn.Linear(4, 8), o=nn.Linear(8, 2)),
        IMAGE,
    ),
    "mixer": (Net(mixer, e=nn.Linear(4, 8), t1=nn.Linear(5, 6), t2=nn.Linear(6, 5), o=nn.Linear(8, 2)), X54),
    "linear attention": (
        Net(linear_attention, q=nn.Linear(4, 8), k=nn.Linear(4, 8), v=nn.Linear(4, 6), o=nn.Linear(6, 2)),
        X54,
    ),
    "multi-head attention": (
        Net(
            residual_attention,
            i=nn.Linear(4, 8),
            n=nn.LayerNorm(8),
            a=nn.MultiheadAttention(8, 2, batch_first=True),
            o=nn.Linear(8, 2),
        ),
        X54,
    ),
    "transformer layer": (
        nn.Sequential(nn.Linear(4, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 3)),
        X54,
    ),
    "grouped convolution": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.Conv2d(12, 2, 1)),
        IMAGE,
    ),
    "group norm": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)),
        IMAGE,
    ),
    "weight norm": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 2)),
        X4,
    ),
    "lstm": (Net(lambda net, x: net.o(net.r(x)[0]), r=nn.LSTM(4, 5, batch_first=True), o=nn.Linear(5, 2)), X54),
    "no rule: cumsum": (nn.Sequential(nn.Linear(4, 8), Net(lambda net, x: x.cumsum(-1)), nn.Linear(8, 2)), X4),
    "no rule: sort": (nn.Sequential(nn.Linear(4, 8), Net(lambda net, x: x.sort(-1)[0]), nn.Linear(8, 2)), X4),
    "no rule: fft": (nn.Sequential(nn.Linear(4, 8), Net(lambda net, x: torch.fft.fft(x).real), nn.Linear(8, 2)), X4),
    "no rule: transposed": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 5, 3), nn.Conv2d(5, 2, 1)), IMAGE),
    "one dimension": (
        nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2)),
        (torch.randn(2, 4, 5),),
    ),
    "three dimensions": (
        nn.Sequential(nn.Conv3d(2, 4, 2), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(32, 2)),
        (torch.randn(2, 2, 5, 5, 5),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_certified(name: str) -> None:
    module, inputs = CASES[name]
    assert graphs.certify(module, *inputs, trials=4).max_error < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_state_dict_and_data_round_trips(name: str) -> None:
    """Through flat weights and through PyG data, bit for bit, reused and tied parameters included."""
    module, inputs = CASES[name]
    state = module.state_dict()
    topology = graphs.trace(module, *inputs)
    graph = topology.bind(state)
    flat = topology.bind_flat(graph.flat(), graph.other).state_dict()
    data = graphs.ParameterGraph.from_data(graph.to_data(), topology).state_dict()
    for name_, tensor in state.items():
        assert torch.equal(flat[name_], tensor)
        assert torch.equal(data[name_], tensor)


def test_a_reused_parameter_keeps_minus_zero_and_infinity_in_data() -> None:
    module, inputs = CASES["reused"]
    topology, state = graphs.trace(module, *inputs), {k: v.clone() for k, v in module.state_dict().items()}
    state["h.weight"][0, :3] = torch.tensor([-0.0, float("inf"), float("nan")])
    data = graphs.ParameterGraph.from_data(topology.bind(state).to_data(), topology).state_dict()
    assert torch.equal(data["h.weight"].view(torch.int32), state["h.weight"].view(torch.int32))


def test_known_groups() -> None:
    """Symmetries that must be found, by hand: no rule gives up more than it has to."""

    def order(name: str) -> float:
        module, inputs = CASES[name]
        return 10 ** graphs.trace(module, *inputs).log10_group_order

    factorial = {2: 2, 3: 6, 4: 24, 5: 120, 8: 40320}
    assert order("flipped kernel") == pytest.approx(120)
    assert order("one neuron") == pytest.approx(120)
    assert order("some neurons") == pytest.approx(factorial[3] ** 2)
    assert order("chosen neurons") == pytest.approx(factorial[4])
    assert order("chunks") == pytest.approx(factorial[8])
    assert order("reused") == pytest.approx(factorial[8])
    assert order("low rank") == pytest.approx(factorial[8] * factorial[3] * 1)
    assert order("grouped convolution") == pytest.approx(factorial[4] * factorial[2] ** 4 * factorial[3] ** 4)
    assert order("multi-head attention") == pytest.approx(factorial[8] * factorial[2] * factorial[4] ** 4)
    assert order("empty cache") == pytest.approx(720)
    assert order("lstm") == pytest.approx(factorial[5])


def test_an_unknown_operation_pins_and_says_so() -> None:
    topology = graphs.trace(*CASES["no rule: cumsum"][0:1], *X4)
    assert topology.pinned == {"cumsum in 1": 8}
    assert topology.log10_group_order == 0


@pytest.mark.parametrize("name", CASES)
def test_graphs_of_moved_weights_are_isomorphic(name: str) -> None:
    """A symmetry moves edges and node values with their nodes: what a model sees is the same graph, relabelled."""
    module, inputs = CASES[name]
    graph = graphs.trace(module, *inputs).bind(module.state_dict())
    symmetry = graph.topology.random_symmetry(torch.Generator().manual_seed(5))
    before, after = graphs.collate([graph]), graphs.collate([graph.apply(symmetry)])
    first, image = 0, []
    for site in range(len(graph.topology.sites)):
        image.append(torch.from_numpy(symmetry.site_image(site)) + first)
        first += graph.topology.sites[site].size
    to = torch.cat(image)

    def rows(*columns: Tensor) -> list[tuple]:
        return sorted(zip(*(c.tolist() for c in columns), strict=True))

    def edges(batch: graphs.GraphBatch, names: Tensor) -> list[list[tuple]]:
        source, target = names[batch.table.source()], names[batch.table.target()]
        spans = [slice(s.first, s.first + s.count) for s in batch.edge_sets]
        return [rows(source[p], target[p], s.values) for p, s in zip(spans, batch.edge_sets, strict=True)]

    def nodes(batch: graphs.GraphBatch, names: Tensor) -> list[list[tuple]]:
        return [rows(names[s.index], s.values) for s in batch.node_sets]

    same = torch.arange(before.num_nodes)
    assert edges(before, to) == edges(after, same)
    assert nodes(before, to) == nodes(after, same)
    assert torch.equal(before.rank[to], before.rank)


def test_layers_are_in_order_of_computation() -> None:
    """A low-rank weight is two layers; the sites of a topology follow the computation."""
    module, inputs = CASES["low rank"]
    topology = graphs.trace(module, *inputs)
    assert [(s.size, s.layer) for s in topology.sites] == [(4, 0), (3, 1), (8, 2), (2, 3)]
