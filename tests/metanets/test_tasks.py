"""Accuracy prediction: the loss, the figures, what is read of a zoo, the control, and the order of batches."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from graphs import ParameterGraph, Topology, trace
from metanets.loading import GraphLoader, Sample, collate_samples
from metanets.tasks import create_task
from metanets.tasks.samples import read_split, shuffle_targets


def make(width: int = 3) -> tuple[nn.Module, Topology]:
    module = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))
    return module, trace(module, torch.zeros(2, 2))


def samples_of(count: int) -> list[Sample]:
    nets = [make(3), make(4)]
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(count):
        module, topology = nets[index % 2]
        state = {k: torch.randn(v.shape, generator=generator) for k, v in module.state_dict().items()}
        target = float(torch.sigmoid(state["2.bias"].mean()))
        samples.append(Sample(topology.bind(state), target, final=index % 4 == 3, name=str(index)))
    return samples


class Constant(nn.Module):
    """One learned logit for every network."""

    def __init__(self, logit: float = 0.0, outputs: int = 1) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.full((outputs,), logit))

    def forward(self, graphs: Any) -> Tensor:
        return self.logit.expand(graphs.num_graphs, -1)


class Oracle:
    """Predicts by a function of the graph; no module."""

    def predict(self, graphs: list[ParameterGraph]) -> numpy.ndarray:
        return numpy.array([float(torch.sigmoid(graph.state_dict()["2.bias"].mean())) for graph in graphs])


@dataclass
class Member:
    """A stand-in for a member of a zoo."""

    states: Tensor
    accuracy: list[float]
    topology: Topology
    row: dict[str, Any] = field(default_factory=lambda: {"id": "a"})
    losses: dict[str, list[float]] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        return {"test_accuracy": self.accuracy, **self.losses}

    def trajectory(self) -> Tensor:
        return self.states

    def graph(self, step: int) -> ParameterGraph:
        return self.topology.bind_flat(self.states[step])


class Untraceable(Member):
    """A stand-in for a member without a graph."""

    def __getattribute__(self, name: str) -> Any:
        if name == "topology":
            raise ValueError("no graph: it calls torch.fft")
        return super().__getattribute__(name)


class Members(list[Member]):
    """A stand-in for a zoo with one split."""

    def split(self, name: str) -> "Members":
        return self if name == "test" else Members()


def test_loss_is_cross_entropy_on_accuracy() -> None:
    batch = collate_samples(samples_of(5))
    loss = create_task("accuracy").step(Constant(0.3), batch)["loss"]
    p = 1 / (1 + math.exp(-0.3))
    by_hand = [-(t * math.log(p) + (1 - t) * math.log(1 - p)) for t in batch.target.tolist()]
    assert loss.requires_grad
    assert loss.item() == pytest.approx(sum(by_hand) / 5, rel=1e-6)


def test_figures_over_all_and_over_final_states() -> None:
    loader = GraphLoader(samples_of(20), batch_size=6, shuffle=False)
    metrics = create_task("accuracy").evaluate(Oracle(), loader)
    assert metrics["tau"] == pytest.approx(1.0)
    assert metrics["final_tau"] == pytest.approx(1.0)
    assert metrics["mae"] == pytest.approx(0.0, abs=1e-7)
    assert metrics["states"] == 20.0
    constant = create_task("accuracy").evaluate(Constant(), loader)
    assert constant["tau"] == constant["final_tau"] == 0.0
    assert constant["r2"] <= 0.0


def test_final_figures_leave_the_other_states_out() -> None:
    task = create_task("accuracy")
    predicted, true = torch.tensor([0.1, 0.9, 0.2, 0.3]), torch.tensor([0.1, 0.0, 0.2, 0.3])
    metrics = task.score(predicted, true, torch.tensor([True, False, True, True]))
    assert metrics["final_tau"] == pytest.approx(1.0)
    assert metrics["tau"] < 0.5


def test_evaluation_leaves_the_mode_of_the_model() -> None:
    model = Constant().train()
    create_task("accuracy").evaluate(model, GraphLoader(samples_of(4), shuffle=False))
    assert model.training


def test_model_of_two_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \[4, 1\], got \[4, 2\]; create the model with out=1"):
        create_task("accuracy").step(Constant(outputs=2), collate_samples(samples_of(4)))


def test_unknown_task_lists_the_choices() -> None:
    with pytest.raises(ValueError, match="unknown task 'style'; choose from accuracy"):
        create_task("style")


def test_diverged_states_are_left_out_and_counted() -> None:
    _, topology = make()
    states = torch.randn(3, topology.num_parameters)
    broken = states.clone()
    broken[1:] = float("nan")
    zoo = Members([Member(states, [0.1, 0.5, 0.7], topology), Member(broken, [0.1, math.nan, math.nan], topology)])
    read = read_split(zoo, "test")
    assert (len(read.samples), read.networks, read.dropped) == (4, 2, 2)
    assert str(read) == "4 states of 2 networks, 2 states of diverged networks left out"
    assert [(s.target, s.final) for s in read.samples] == [(0.1, False), (0.5, False), (0.7, True), (0.1, False)]
    assert torch.equal(read.samples[2].graph.flat(), states[2])
    final = read_split(zoo, "test", states="final")
    assert [s.target for s in final.samples] == [0.7]
    assert final.dropped == 1


def test_states_with_a_loss_that_is_not_finite_are_left_out() -> None:
    _, topology = make()
    losses = {"train_loss": [1.0, 2.0, math.inf], "test_loss": [1.0, math.nan, 1.0]}
    zoo = Members([Member(torch.randn(3, topology.num_parameters), [0.1, 0.5, 0.7], topology, losses=losses)])
    read = read_split(zoo, "test")
    assert [s.target for s in read.samples] == [0.1]
    assert str(read) == "1 states of 1 networks, 2 states of diverged networks left out"


def test_networks_without_a_graph_are_left_out_and_counted() -> None:
    _, topology = make()
    states = torch.randn(1, topology.num_parameters)
    bad = [Untraceable(states, [0.2], topology), Untraceable(states, [0.3], topology)]
    read = read_split(Members([Member(states, [0.1], topology), *bad]), "test")
    assert [s.target for s in read.samples] == [0.1]
    assert str(read) == "1 states of 1 networks, 2 networks without a graph left out"
    assert read.reason == "no graph: it calls torch.fft"
    with pytest.raises(ValueError, match=r"no usable state \(2 networks, .*, 2 without a graph: no graph: it calls"):
        read_split(Members(bad), "test")


def test_a_val_split_too_small_for_r2_is_refused() -> None:
    task = create_task("accuracy")
    task.require([0.1, 0.2])
    with pytest.raises(ValueError, match="val split holds 1 states with 1 different accuracies, and R2"):
        task.require([0.1])
    with pytest.raises(ValueError, match="val split holds 3 states with 1 different accuracies"):
        task.require([0.5] * 3)


def test_reading_errors_list_the_choices() -> None:
    _, topology = make()
    zoo = Members([Member(torch.randn(1, topology.num_parameters), [0.5], topology)])
    with pytest.raises(ValueError, match="split 'train' of this zoo holds no usable state"):
        read_split(zoo, "train")
    with pytest.raises(ValueError, match="unknown split 'dev'; choose from train, val, test, all"):
        read_split(zoo, "dev")
    with pytest.raises(ValueError, match=r"no 'psnr' of its networks; it keeps \['test_accuracy'\]"):
        read_split(zoo, "test", metric="psnr")


def test_control_deals_the_same_targets_out_at_random() -> None:
    samples = samples_of(200)
    shuffled = shuffle_targets(samples, seed=1)
    before, after = [s.target for s in samples], [s.target for s in shuffled]
    assert sorted(before) == sorted(after)
    assert shuffle_targets(samples, seed=1) == shuffled
    assert abs(numpy.corrcoef(before, after)[0, 1]) < 0.2
    assert all(a.graph is b.graph for a, b in zip(samples, shuffled, strict=True))


def names_of(loader: GraphLoader) -> list[float]:
    return [target for batch in loader for target in batch.target.tolist()]


def test_each_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    samples = samples_of(11)
    loader = GraphLoader(samples, batch_size=4, seed=3)
    first, second = names_of(loader), names_of(loader)
    assert len(loader) == 3
    assert first != second
    expected = sorted(torch.tensor([s.target for s in samples]).tolist())
    assert sorted(first) == sorted(second) == expected
    assert names_of(GraphLoader(samples, batch_size=4, seed=3)) == first
    assert names_of(GraphLoader(samples, batch_size=4, seed=4)) != first


@pytest.mark.parametrize("seen", [2, 3, 5])
def test_loader_goes_on_where_it_was(seen: int) -> None:
    def stream(loader: GraphLoader):
        while True:
            yield from (batch.target.tolist() for batch in loader)

    samples = samples_of(11)
    loader = GraphLoader(samples, batch_size=4, seed=3)
    batches = stream(loader)
    for _ in range(seen):
        next(batches)
    resumed = GraphLoader(samples, batch_size=4, seed=3)
    resumed.load_state_dict(loader.state_dict())
    again = stream(resumed)
    assert [next(again) for _ in range(6)] == [next(batches) for _ in range(6)]


def test_a_loop_left_half_way_is_begun_again() -> None:
    loader = GraphLoader(samples_of(6), batch_size=2, shuffle=False)
    next(iter(loader))
    assert len(names_of(loader)) == 6


def test_empty_and_zero_sized_loaders() -> None:
    with pytest.raises(ValueError, match="there are no samples to load"):
        GraphLoader([])
    with pytest.raises(ValueError, match="expected batch_size >= 1, got 0"):
        GraphLoader(samples_of(2), batch_size=0)
