"""A zoo as a PyG OnDiskDataset: graphs whose weights are bit for bit those that were trained, in PyG's own loader."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader

import zoo
from graphs import ParameterGraph
from zoo import Zoo
from zoo.exporting.pyg import ZooDataset


@pytest.fixture(scope="module")
def traced(varied_zoo: Zoo) -> Zoo:
    return varied_zoo.filter(family=["mlp", "resnet", "tied_nets:Tied"])


@pytest.fixture(scope="module")
def exported(traced: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.export(traced, "pyg", tmp_path_factory.mktemp("pyg") / "out", progress=False)


def test_every_item_is_a_state_bit_for_bit(exported: Path, traced: Zoo, same_bits: Callable[..., bool]) -> None:
    data = ZooDataset(exported)
    assert len(data) == 2 * len(traced)
    for number, (place, state) in enumerate(traced.samples()):
        member, item = traced[place], data[number]
        assert (item.id, item.state) == (member.id, state)
        assert same_bits(data.graph(number).state_dict(), member.state_dict(state))
        if member.row["status"] == "ok":
            again = ParameterGraph.from_data(item, member.topology)
            assert same_bits(again.state_dict(), member.state_dict(state))
            assert item.y.tolist() == pytest.approx([member.metrics["test_accuracy"][state]])
        assert data.row(number)["lr"] == member.row["lr"]


def test_the_loader_of_pyg_goes_over_it_once_an_epoch(exported: Path, traced: Zoo) -> None:
    data = ZooDataset(exported, target=["test_class_accuracy/3", "lr"])
    batches = data.batches(batch_size=4, seed=1)
    orders = []
    for _ in range(2):
        order = []
        for batch in DataLoader(data, batch_sampler=batches):
            assert batch.y.shape == (len(batch.id), 2)
            assert batch.num_graphs == len(batch.id)
            topologies = {traced.find(member_id).topology.digest for member_id in batch.id}
            assert len(topologies) == 1
            order += list(zip(batch.id, batch.state.tolist(), strict=True))
        orders.append(order)
    assert sorted(orders[0]) == sorted(orders[1]) == sorted((m.id, t) for m in traced for t in range(2))
    assert orders[0] != orders[1]


def test_a_batch_holds_the_weights_of_its_networks(exported: Path, traced: Zoo) -> None:
    one = traced.filter(family="resnet", activation=traced.filter(family="resnet")[0].row["activation"])
    data = ZooDataset(exported)
    wanted = [i for i in range(len(data)) if data.row(i)["id"] in {member.id for member in one}]
    batch = next(iter(DataLoader(data[wanted], batch_size=len(wanted))))
    flats = torch.cat([one.find(batch.id[i]).flat(int(batch.state[i])) for i in range(len(wanted))])
    assert torch.equal(batch["rest"].flat, flats)


def test_a_part_of_it_is_loaded_as_that_part(exported: Path) -> None:
    part = ZooDataset(exported)[10:20]
    expected = sorted((item.id, item.state) for item in part)
    seen = []
    for batch in DataLoader(part, batch_sampler=part.batches(3)):
        seen += list(zip(batch.id, batch.state.tolist(), strict=True))
    assert len(seen) == 10
    assert sorted(seen) == expected


def test_worker_processes_read_it(exported: Path) -> None:
    data = ZooDataset(exported)
    here = [batch.id for batch in DataLoader(data, batch_sampler=data.batches(4, seed=2))]
    data = ZooDataset(exported)
    data.close()
    there = [
        batch.id for batch in DataLoader(ZooDataset(exported), batch_sampler=data.batches(4, seed=2), num_workers=2)
    ]
    assert here == there


def test_a_transform_sees_every_item(exported: Path) -> None:
    def mark(data):
        data.marked = True
        return data

    assert ZooDataset(exported, transform=mark)[0].marked


def test_a_network_without_a_graph_is_told_with_what_to_do(small_zoo: Zoo, tmp_path: Path, monkeypatch) -> None:
    def untraceable(store: object, text: str) -> None:
        raise ValueError("the network of recipe mlp has no graph: sort")

    monkeypatch.setattr("zoo.store.Store.topology", untraceable)
    with pytest.raises(ValueError, match="has no graph: sort; leave it out with a filter, such as --where"):
        zoo.export(small_zoo, "pyg", tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_told(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=rf"expected a folder that `zoo export OUT --to pyg DEST` wrote, got {tmp_path}"
    ):
        ZooDataset(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"target: expected a number, but 'activation' of \w+ is '(relu|tanh)'"):
        ZooDataset(exported, target="activation")[0]
