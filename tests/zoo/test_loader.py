"""Batches of weights: whole, without repeats, of one topology, in an order that follows from the seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import zoo
from zoo import Zoo, ZooSpec
from zoo.batches import BucketBatches
from zoo.loading import WeightBatch

MakeSpec = Callable[..., ZooSpec]


def places(batches: list[WeightBatch]) -> list[tuple[int, int]]:
    """(network, state) of every row of the batches."""
    return [place for batch in batches for place in zip(batch.index.tolist(), batch.state.tolist(), strict=True)]


def loaded(z: Zoo, **options: Any) -> list[WeightBatch]:
    return list(z.loader(**options))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_state_is_there_once_with_its_own_weights_and_targets(
    small_zoo: Zoo, shuffle: bool, batch_size: int
) -> None:
    batches = loaded(small_zoo, batch_size=batch_size, shuffle=shuffle, target=["test_accuracy", "lr"])
    assert sorted(places(batches)) == small_zoo.samples()
    table = small_zoo.table.to_pylist()
    for batch in batches:
        assert len(batch) <= batch_size
        for index, state, weights, targets in zip(
            batch.index.tolist(), batch.state.tolist(), batch.weights, batch.targets, strict=True
        ):
            assert torch.equal(weights, small_zoo[index].flat(state))
            assert torch.equal(targets, torch.tensor([table[index]["test_accuracy"][state], table[index]["lr"]]))


def test_one_target_is_a_vector_and_a_list_of_one_a_column(small_zoo: Zoo) -> None:
    one, many = (next(iter(small_zoo.loader(2, target=target))) for target in ("lr", ["lr"]))
    assert one.targets.shape == (2,)
    assert many.targets.shape == (2, 1)
    assert torch.equal(one.targets, many.targets[:, 0])


def test_the_accuracy_on_one_class_is_a_target(small_zoo: Zoo) -> None:
    for batch in loaded(small_zoo, batch_size=5, target="test_class_accuracy/3"):
        members = [small_zoo[index] for index in batch.index.tolist()]
        stored = [m.metrics["test_class_accuracy"][t, 3] for m, t in zip(members, batch.state.tolist(), strict=True)]
        assert batch.targets.tolist() == pytest.approx(stored, nan_ok=True)
    for target, told in (
        ("test_class_accuracy", r"got 'test_class_accuracy', which holds \[.*give a metric such as"),
        ("test_class_accuracy/10", "a place below 10, got test_class_accuracy/10"),
        ("lr/3", "several values a state, got 'lr'; leave out /3"),
    ):
        with pytest.raises(ValueError, match=told):
            small_zoo.loader(5, target=target)


def test_a_batch_is_of_one_topology(small_zoo: Zoo) -> None:
    for batch in loaded(small_zoo, batch_size=100, shuffle=True):
        topologies = {small_zoo[index].topology.digest for index in batch.index.tolist()}
        assert len(topologies) == 1
    # Networks that differ in activation alone go together when asked to.
    mixed = loaded(small_zoo, batch_size=100, together="architecture")
    assert len(mixed) == len(set(small_zoo.table["architecture"].to_pylist()))
    assert any({small_zoo[i].row["activation"] for i in batch.index.tolist()} == {"relu", "tanh"} for batch in mixed)
    assert sorted(places(mixed)) == small_zoo.samples()


def test_the_order_follows_the_seed_and_changes_every_epoch(small_zoo: Zoo) -> None:
    def epochs(seed: int) -> list[list[tuple[int, int]]]:
        loader = small_zoo.loader(4, shuffle=True, seed=seed)
        return [places(list(loader)) for _ in range(3)]

    first, again, other = epochs(0), epochs(0), epochs(1)
    assert first == again
    assert first[0] != first[1] != first[2]
    assert first[0] != other[0]
    assert sorted(first[1]) == small_zoo.samples()


def test_an_epoch_can_be_begun_again(small_zoo: Zoo) -> None:
    loader = small_zoo.loader(4, shuffle=True, seed=3)
    orders = [places(list(loader)) for _ in range(3)]
    resumed = small_zoo.loader(4, shuffle=True, seed=3)
    resumed.sampler.epoch = 2  # pyright: ignore[reportAttributeAccessIssue]
    assert places(list(resumed)) == orders[2]


def test_drop_last_leaves_out_small_batches_only(small_zoo: Zoo) -> None:
    every, full = small_zoo.loader(3, shuffle=True), small_zoo.loader(3, shuffle=True, drop_last=True)
    sizes = [len(batch) for batch in full]
    assert set(sizes) == {3}
    assert len(sizes) == len(full) == sum(len(batch) == 3 for batch in every)
    with pytest.raises(ValueError, match=r"drop_last leaves no batch of 100: the largest bucket has \d+"):
        small_zoo.loader(100, drop_last=True)


def test_final_states_of_filtered_networks(small_zoo: Zoo) -> None:
    part = small_zoo.filter(family="cnn", activation="relu")
    batches = loaded(part, batch_size=2, states="final")
    assert sorted(places(batches)) == part.samples("final")
    for batch in batches:
        for index, weights in zip(batch.index.tolist(), batch.weights, strict=True):
            assert torch.equal(weights, part[index].flat())


def test_graphs_of_a_batch_lie_in_its_memory(small_zoo: Zoo) -> None:
    for batch in loaded(small_zoo, batch_size=4, shuffle=True):
        graphs = small_zoo.graphs(batch)
        assert graphs.num_graphs == len(batch)
        assert graphs.topology == small_zoo[int(batch.index[0])].topology
        for graph, weights in zip(graphs.graphs, batch.weights, strict=True):
            assert graph.flat().data_ptr() == weights.data_ptr()


def test_editing_a_batch_leaves_the_zoo(small_zoo: Zoo) -> None:
    batch = next(iter(small_zoo.loader(2)))
    before = batch.weights.clone()
    batch.weights.zero_()
    assert torch.equal(next(iter(small_zoo.loader(2))).weights, before)


def test_worker_processes_give_the_same_batches(small_zoo: Zoo) -> None:
    here, there = (loaded(small_zoo, batch_size=5, shuffle=True, workers=workers) for workers in (0, 2))
    assert places(here) == places(there)
    assert all(torch.equal(a.weights, b.weights) for a, b in zip(here, there, strict=True))


def test_an_unfinished_zoo_loads_what_is_safe(small_spec: MakeSpec, tmp_path: Path) -> None:
    z = zoo.build(small_spec(), tmp_path / "zoo", workers=0, progress=False)
    for name in ("table.arrow", "recipes.json"):
        (z.root / name).unlink()
    manifest = z.root / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    shards = [line for line in lines if b'"kind":"shard"' in line]
    lost = {*shards[2:], *(line for line in lines if b'"kind":"complete"' in line)}
    manifest.write_bytes(b"".join(line for line in lines if line not in lost))
    part = zoo.open(z.root)
    assert len(part) == 6
    assert sorted(places(loaded(part, batch_size=4))) == part.samples()


def test_it_is_a_data_loader(small_zoo: Zoo) -> None:
    loader = small_zoo.loader(4)
    assert isinstance(loader, DataLoader)
    assert len(loader) == len(list(loader))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_size": 0}, "batch_size: expected a count >= 1, got 0"),
        ({"states": "last"}, "states: expected one of all, final, got 'last'"),
        ({"target": "test_acuracy"}, "unknown column 'test_acuracy'; expected one of id, split"),
        ({"target": "activation"}, r"expected a numeric column, got 'activation', which holds '(relu|tanh)'"),
        ({"target": "label"}, "expected a numeric column, got 'label', which holds None"),
        ({"together": "family"}, "together: expected one of topology, architecture, got 'family'"),
    ],
)
def test_a_mistake_is_told(small_zoo: Zoo, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        small_zoo.loader(**options)


def test_nothing_left_by_a_filter_is_told(small_zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=rf"nothing of {small_zoo.root} is left; widen the filter"):
        small_zoo.filter(lr=-1.0).loader()


def test_buckets_of_odd_sizes() -> None:
    buckets = np.random.default_rng(0).integers(0, 5, 101)
    for size in (1, 2, 7, 50):
        batches = list(BucketBatches(buckets, size))
        assert sorted(i for batch in batches for i in batch) == list(range(101))
        assert all(len(set(buckets[batch])) == 1 for batch in batches)
        assert len(batches) == len(BucketBatches(buckets, size))
