"""All pairs of nodes of each graph: which edge is which pair, and what of a batch goes where."""

from __future__ import annotations

import pytest
import torch

import graphs
from graphs.kernels import BlockTable, Pairs


def test_every_pair_of_a_graph_and_no_other() -> None:
    on = Pairs(torch.tensor([0, 3, 3, 5])).table
    joined = list(zip(on.target().tolist(), on.source().tolist(), strict=True))
    assert joined == [(i, j) for nodes in (range(3), range(3, 5)) for i in nodes for j in nodes]
    assert on.degree.tolist() == [3, 3, 3, 2, 2]


def test_weights_of_a_batch_among_its_pairs() -> None:
    modules = [torch.nn.Sequential(torch.nn.Linear(2, n), torch.nn.ReLU(), torch.nn.Linear(n, 1)) for n in (3, 5)]
    batch = graphs.collate([graphs.trace(m, torch.zeros(1, 2)).bind(m.state_dict()) for m in modules])
    pairs = Pairs(batch.ptr)
    values = batch.edge_sets[0].values
    dense = torch.zeros(pairs.table.num_edges, 1).index_add(0, pairs.of_edges(batch.table), values).flatten()
    first = dense[:36].reshape(6, 6)  # the first network has 6 nodes: rows are destinations
    assert torch.equal(first[2:5, :2], modules[0][0].weight)
    assert torch.equal(first[5:, 2:5], modules[0][2].weight)
    assert (first != 0).sum() == 9
    assert torch.equal(dense[36:].reshape(8, 8)[7:, 2:7], modules[1][2].weight)
    assert torch.equal(dense[pairs.transposed()][:36].reshape(6, 6), first.T)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"rising from 0, got \[0, 3, 2\]"):
        Pairs(torch.tensor([0, 3, 2]))
    across = BlockTable.from_rows([[0, 0, 2, 0]], num_nodes=3)
    with pytest.raises(ValueError, match="edge 1 from node 1 to 0"):
        Pairs(torch.tensor([0, 1, 3])).of_edges(across)
