"""Reading and writing positions by index, computed or constant, leaves neurons free: graphs, routed tokens, tables."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from nets import Net, assert_group, log10_factorials, table
from torch import Tensor, nn

import graphs

TOKENS = (torch.randn(2, 5, 4),)
EDGES = torch.tensor([[0, 1, 2, 3, 4, 4], [1, 2, 3, 4, 0, 2]])
GRAPH = (torch.randn(5, 4), EDGES)


def through(reading) -> Net:
    return Net(lambda n, x: n.o(torch.tanh(reading(n.i(x), x))), i=nn.Linear(4, 6), o=nn.Linear(6, 2))


READING = {
    "chosen tokens": lambda h, x: h[:, x[0, :, 0].argsort()[:3]],
    "a token of each sample": lambda h, x: h[torch.arange(2), x[..., 0].argmax(-1)],
    "tokens where a mask holds": lambda h, x: h[x[..., 0] > 0].sum(0),
    "index_select": lambda h, x: h.index_select(1, x[0, :, 0].argsort()),
    "a place for every neuron": lambda h, x: h.gather(1, h.argmax(1, keepdim=True)),
    "gather of fewer tokens": lambda h, x: h.gather(1, x[:, :2, :1].argsort(1).expand(-1, -1, 6)),
    "take_along_dim": lambda h, x: torch.take_along_dim(h, h.argsort(1), 1),
    "scatter": lambda h, x: torch.zeros(2, 9, 6).to(h).scatter(1, x[..., :1].argsort(1).expand(-1, -1, 6), h),
    "scatter_reduce": lambda h, x: h.scatter_reduce(1, x[..., :1].argsort(1).expand(-1, -1, 6), h, "amax"),
    "index_add": lambda h, x: torch.zeros_like(h).index_add(1, x[0, :, 0].argsort(), h),
    "index_copy": lambda h, x: torch.zeros_like(h).index_copy(1, x[0, :, 0].argsort(), h),
    "index_put": lambda h, x: h.index_put((torch.arange(2), x[..., 0].argmax(-1)), h[:, 0]),
    "masked_scatter": lambda h, x: h.masked_scatter((x[..., :1] > 0).expand_as(h), h.flip(1)),
    "slice_scatter": lambda h, x: torch.slice_scatter(torch.zeros_like(h), h[:, 1:], 1, 1),
    "select_scatter": lambda h, x: torch.select_scatter(torch.zeros_like(h), h[:, 1], 1, 2),
    "one_hot": lambda h, x: F.one_hot(x[..., 0].argsort(-1), 5).to(h) @ h,
}


@pytest.mark.parametrize("name", READING)
def test_reading_and_writing_tokens(name: str) -> None:
    assert_group(through(READING[name]), TOKENS, 6)


def convolved(n: Net, x: Tensor, edges: Tensor) -> Tensor:
    h = n.a(x)
    sent = h.index_select(-2, edges[0])
    return n.o(F.relu(torch.zeros_like(h).scatter_add(0, edges[1][:, None].expand(-1, 6), sent)))


def attended(n: Net, x: Tensor, edges: Tensor) -> Tensor:
    """Two heads of three, with a weight for each head and dimension."""
    h = n.a(x).view(-1, 2, 3)
    score = F.leaky_relu((h * n.s).sum(-1))[edges[0]]
    to = edges[1][:, None].expand(-1, 2)
    top = score.new_zeros(5, 2).scatter_reduce(0, to, score, "amax", include_self=False)
    score = (score - top[edges[1]]).exp()
    score = score / score.new_zeros(5, 2).scatter_add(0, to, score)[edges[1]]
    return n.o(h.new_zeros(5, 2, 3).index_add(0, edges[1], h[edges[0]] * score[..., None]).flatten(1))


def test_message_passing() -> None:
    assert_group(Net(convolved, a=nn.Linear(4, 6), o=nn.Linear(6, 2)), GRAPH, 6)
    assert_group(Net(attended, a=nn.Linear(4, 6), s=table(1, 2, 3), o=nn.Linear(6, 2)), GRAPH, 2, 3, 3)


def routed_in_a_loop(n: Net, x: Tensor) -> Tensor:
    h = n.i(x).view(-1, 6)
    weight, chosen = n.g(h).softmax(-1).topk(2, -1)
    out = torch.zeros_like(h)
    for e in range(3):
        token, slot = torch.where(chosen == e)
        out.index_add_(0, token, n.d[e](F.relu(n.u[e](h[token]))) * weight[token, slot, None])
    return n.o(out)


@pytest.mark.parametrize("tokens", [1, 6])
def test_experts_in_a_loop(tokens: int) -> None:
    """Also those that no token of the probe goes to."""
    torch.manual_seed(0)
    up, down = (nn.ModuleList([nn.Linear(*s) for _ in range(3)]) for s in [(6, 7), (7, 6)])
    net = Net(routed_in_a_loop, i=nn.Linear(4, 6), g=nn.Linear(6, 3), u=up, d=down, o=nn.Linear(6, 2))
    many = (torch.randn(2, 9, 4),)
    certificate = graphs.certify(net, torch.randn(1, tokens, 4), inputs=[many, many])
    assert certificate.max_error < 1e-10
    # the incoming and the outgoing stream and the neurons of three experts; the experts themselves are fixed by topk
    assert certificate.log10_group_order == pytest.approx(log10_factorials(6, 6, 7, 7, 7), abs=1e-9)


def test_experts_side_by_side() -> None:
    """All experts weighed by a gate: they permute with their rows of the gate."""

    def mixed(n: Net, x: Tensor) -> Tensor:
        hidden = F.relu(torch.einsum("btd,edf->btef", x, n.u))
        out = torch.einsum("btef,efd->bted", hidden, n.d)
        return n.o(torch.einsum("bted,bte->btd", out, n.g(x).softmax(-1)))

    net = Net(mixed, g=nn.Linear(4, 3), u=table(3, 4, 6), d=table(3, 6, 5), o=nn.Linear(5, 2))
    assert_group(net, TOKENS, 5, 3, 6, 6, 6)


def test_experts_in_one_product() -> None:
    """Grouped matrix products: the experts are fixed, their neurons permute alike."""

    def grouped(n: Net, x: Tensor) -> Tensor:
        h = n.i(x).view(-1, 8)
        weight, chosen = n.g(h).softmax(-1).topk(2, -1)
        order = chosen.reshape(-1).argsort(stable=True)
        expert, token = chosen.reshape(-1)[order], order // 2
        ends = F.one_hot(expert, 3).sum(0).cumsum(0).to(torch.int32)
        hidden = F.silu(torch._grouped_mm(h[token], n.u, ends) + n.b[expert])
        out = torch._grouped_mm(hidden, n.d.mT, ends) * weight.reshape(-1)[order, None]
        return n.o(torch.zeros_like(h).index_add(0, token, out))

    net = Net(grouped, i=nn.Linear(4, 8), g=nn.Linear(8, 3), u=table(3, 8, 12), b=table(3, 12), d=table(3, 8, 12))
    net.o = nn.Linear(8, 2)
    certificate = graphs.certify(net, *TOKENS)
    assert certificate.max_error < 1e-10
    assert certificate.coverage > 0.95
    assert certificate.log10_group_order == pytest.approx(log10_factorials(8, 8, 12), abs=1e-9)


def test_bags_of_words() -> None:
    for mode in ("sum", "mean", "max"):
        net = Net(lambda n, x: n.o(F.relu(n.e(x))), e=nn.EmbeddingBag(9, 6, mode=mode), o=nn.Linear(6, 2))
        assert_group(net, (torch.randint(0, 9, (3, 4)),), 6)


def test_an_index_of_neurons_fixes_them() -> None:
    net = Net(lambda n, x: n.o(n.i(x).gather(-1, x.argsort(-1)[..., :3])), i=nn.Linear(4, 6), o=nn.Linear(3, 2))
    assert assert_group(net, TOKENS, pinned=6).coverage == 0
