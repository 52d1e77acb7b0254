"""How the edges are dealt to the programs of a GPU: every edge once, partial results in a fixed place."""

from __future__ import annotations

import gc

import pytest
import torch

from graphs.kernels import BlockTable
from graphs.kernels.sweep import gpu_plan
from graphs.kernels.sweep.gpu_plan import Plan, by_destination, by_source

COUNTS = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 25, 31, 32, 33, 64, 784, 3000]


def table_of(counts: list[int], nodes: list[int], col: bool = False) -> BlockTable:
    count = torch.tensor(counts)
    first = count.cumsum(0) - count
    rows = torch.stack([first, torch.zeros_like(first), count, torch.tensor(nodes)], dim=1)
    E = int(count.sum())
    return BlockTable.from_rows(rows, num_nodes=max(3000, *counts), col=torch.randint(0, 9, (E,)) if col else None)


TABLES = {
    "every fan-in": table_of(COUNTS, list(range(len(COUNTS)))),
    "rows of one node apart": table_of(COUNTS * 2, list(range(len(COUNTS)))[::-1] * 2),
    "blocks": table_of([64] * 40 + [3] * 10, list(range(50))),
    "single edges": table_of([1] * 90, [4, 2, 8] * 30),
    "explicit sources": table_of(COUNTS, list(range(len(COUNTS))), col=True),
}


def edges_of(plan: Plan, table: BlockTable) -> list[tuple[int, int, int]]:
    """Edge, node where it is reduced and far end, as the kernels find them."""
    found = []
    for pieces in plan.pieces:
        for k in range(len(pieces.count)):
            for t in range(int(pieces.count[k])):
                at, other = int(pieces.first[k]), int(pieces.other[k]) + t
                edge = at + t * int(pieces.stride[k]) if plan.edges is None else int(plan.edges[other])
                end = other if plan.ends is None else int(plan.ends[edge if plan.order == "rows" else other])
                found.append((edge, int(pieces.node[k]), end))
    return sorted(found)


@pytest.mark.parametrize("name", TABLES)
def test_every_edge_once_into_its_destination(name: str) -> None:
    table = TABLES[name]
    expected = zip(range(table.num_edges), table.target().tolist(), table.source().tolist(), strict=True)
    assert edges_of(by_destination(table.rows, table.col, table.num_nodes), table) == list(expected)


@pytest.mark.parametrize("name", TABLES)
def test_every_edge_once_into_its_source(name: str) -> None:
    table = TABLES[name]
    expected = zip(range(table.num_edges), table.source().tolist(), table.target().tolist(), strict=True)
    assert edges_of(by_source(table.rows, table.col, table.sources), table) == list(expected)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("by", [by_destination, by_source])
def test_every_node_has_one_result(by, name: str) -> None:
    table = TABLES[name]
    plan = by(table.rows, table.col, table.num_nodes)
    written, level = [], plan
    while level is not None:
        slots = torch.cat([pieces.slot for pieces in level.pieces])
        assert sorted(slots[slots >= 0].tolist()) == list(range(level.slots))
        written += torch.cat([pieces.node[pieces.slot < 0] for pieces in level.pieces]).tolist()
        level = level.rest
    assert sorted(written) == list(range(table.num_nodes))


def test_dense_blocks_need_no_list_of_edges() -> None:
    table = TABLES["blocks"]
    assert by_source(table.rows, None, table.num_nodes).order == "columns"
    assert by_source(table.rows, None, table.num_nodes).edges is None


@pytest.mark.parametrize(("fan_in", "filled"), [(2, 1.0), (9, 0.9), (27, 0.8), (784, 1.0)])
def test_tiles_are_filled(fan_in: int, filled: float) -> None:
    table = table_of([fan_in] * 64, list(range(64)))
    pieces = [p for p in by_destination(table.rows, None, 64).pieces if len(p.count)]
    assert table.num_edges / sum(len(p.count) * p.width for p in pieces) >= filled


def test_a_plan_is_made_once_and_dies_with_its_rows() -> None:
    table = table_of([40, 2], [1, 0])
    plan = by_destination(table.rows, None, 3000)
    assert by_destination(table.rows, None, 3000) is plan
    assert by_destination(table.rows, None, 3001) is not plan
    before = len(gpu_plan._PLANS)
    del table
    gc.collect()
    assert len(gpu_plan._PLANS) == before - 1


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fewer than 2\^31 nodes, got 2147483648"):
        by_destination(torch.zeros(0, 4, dtype=torch.int64), None, 2**31)
