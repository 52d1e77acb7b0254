"""What tracing leaves alone, and what it must not take for granted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import Net
from torch import nn

import graphs
from graphs.assembling.grouping import _runs

X4 = (torch.randn(3, 4),)


def test_rows_never_read_are_pinned() -> None:
    """Positions 3.. of the table and its tokens must not look free."""
    net = Net(
        lambda n, x: n.o(n.e(x) + n.p(torch.arange(x.shape[1]))),
        e=nn.Embedding(9, 4),
        p=nn.Embedding(7, 4),
        o=nn.Linear(4, 2),
    )
    tokens = torch.randint(0, 9, (2, 3))
    longer = torch.randint(0, 9, (2, 7))
    certificate = graphs.certify(net, tokens, inputs=[(longer,)])
    assert certificate.max_error < 1e-12
    assert 10**certificate.log10_group_order == pytest.approx(24)  # the width only


def test_the_module_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    graphs.trace(net, torch.randn(4, 2))
    assert net.training
    assert all(m.training for m in net)
    assert not net[0]._forward_hooks
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_parameters_in_one_flat_vector_are_each_their_own() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    digest = graphs.trace(net, torch.zeros(1, 3)).digest
    flat = nn.utils.parameters_to_vector(net.parameters()).detach()
    nn.utils.vector_to_parameters(flat, net.parameters())
    assert graphs.trace(net, torch.zeros(1, 3)).digest == digest


def test_outputs_of_two_heads_are_one_output_group() -> None:
    net = Net(lambda n, x: n.o(n.a(x)) + n.q(n.a(x)), a=nn.Linear(4, 6), o=nn.Linear(6, 2), q=nn.Linear(6, 2))
    assert [g.kind for g in graphs.trace(net, *X4).groups] == ["input", "hidden", "output"]


def test_a_certificate_is_never_of_nothing() -> None:
    with pytest.raises(ValueError, match="floating output to compare, got none"):
        graphs.certify(Net(lambda n, x: n.a(x).argmax(-1), a=nn.Linear(4, 3)), *X4)
    with pytest.raises(ValueError, match="NaN or infinite"):
        graphs.certify(Net(lambda n, x: n.a(x) * torch.nan, a=nn.Linear(4, 3)), *X4)


@pytest.mark.parametrize("index", [[2, 3, 2, 3, 19, 20, 35, 36, 51, 52], [0, 1, 4, 5, 8, 9], [5], [3, 1, 7, 7]])
def test_runs_of_a_site_spell_its_entries(index: list[int]) -> None:
    runs = _runs(np.array([(0, 0, i) for i in index]))
    assert [run.first + run.step * i for run in runs for i in range(run.count)] == index
