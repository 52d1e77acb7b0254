"""The parameter graph of GMN, against the figures of the paper."""

import pytest
import torch
from torch import Tensor, nn

import graphs
from graphs import collate
from metanets.parameter_edges import EDGE_TYPES, NODE_TYPES, parameter_edges, parameter_graph_sizes


class BasicBlock(nn.Module):
    """The residual block of Lim et al. 2023, with a 1x1 convolution where the channels change."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)
        change = nn.Sequential(nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b))
        self.shortcut = nn.Identity() if a == b else change

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def batch(module: nn.Module, *shape: int) -> graphs.GraphBatch:
    return collate([graphs.trace(module, torch.zeros(1, *shape)).bind(module.state_dict())])


@pytest.mark.parametrize(("channels", "nodes", "edges", "parameters"), [((1, 1), 7, 23, 22), ((1, 2), 13, 70, 68)])
def test_the_basic_block_has_the_published_size(channels: tuple, nodes: int, edges: int, parameters: int) -> None:
    block = BasicBlock(*channels)
    assert sum(p.numel() for p in block.parameters()) == parameters
    assert parameter_graph_sizes(batch(block, channels[0], 4, 4)) == [(nodes, edges)]


def test_running_statistics_are_edges_only_when_asked_for() -> None:
    block = batch(BasicBlock(1, 1), 1, 4, 4)
    assert parameter_graph_sizes(block, buffers=True) == [(7 + 4, 23 + 4)]


def test_every_weight_is_one_edge_at_its_place() -> None:
    conv, dense = nn.Conv2d(2, 3, (2, 3)), nn.Linear(6, 2)
    module = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense)
    edges = parameter_edges(batch(module, 2, 3, 3))
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert torch.equal(edges.weight[:, 0].sort().values, weights.sort().values)
    found = {}
    for name, row, tap in zip(edges.edge_type.tolist(), edges.weight[:, 0].tolist(), edges.tap.tolist(), strict=True):
        found[row] = (EDGE_TYPES[name], edges.taps[tap].tolist())
    assert found[conv.weight[2, 1, 1, 2].item()] == ("conv", [1, 2, -1])
    assert found[dense.weight[1, 3].item()] == ("linear", [1, -1, -1])
    assert found[dense.bias[0].item()] == ("bias", [-1, -1, -1])


def test_a_bias_comes_from_the_node_of_its_layer() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    edges = parameter_edges(batch(module, 2))
    bias = (edges.edge_type == EDGE_TYPES.index("bias")).nonzero()[:, 0]
    sources, targets = edges.table.source()[bias], edges.table.target()[bias]
    assert [NODE_TYPES[i] for i in edges.node_type[sources].tolist()] == ["bias"] * 4
    assert edges.layer[sources].tolist() == edges.layer[targets].tolist() == [1, 1, 1, 2]
    assert sources.tolist() == [6, 6, 6, 7]
    assert edges.rank.tolist() == [0, 1, -1, -1, -1, 0, -1, -1]
