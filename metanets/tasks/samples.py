"""The states of a zoo as samples: parameter graphs with the test accuracies they reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch

from metanets.loading import Sample


@dataclass(frozen=True)
class Samples:
    """The usable states of one split of a zoo.

    Args:
        samples: one a state.
        networks: how many networks they are of.
        dropped: states left out because a weight, the accuracy or a loss is not finite (the network diverged).
        untraceable: networks left out because they have no graph.
        reason: why the first of those has none.
    """

    samples: list[Sample]
    networks: int
    dropped: int
    untraceable: int = 0
    reason: str = ""

    def __str__(self) -> str:
        note = f", {self.dropped} states of diverged networks left out" if self.dropped else ""
        note += f", {self.untraceable} networks without a graph left out" if self.untraceable else ""
        return f"{len(self.samples)} states of {self.networks} networks{note}"


def read_split(zoo: Any, split: str, states: str = "all", metric: str = "test_accuracy") -> Samples:
    """The states of the networks of ``split`` ("train", "val", "test", or "all" for every network), kept in memory.

    Args:
        zoo: an open zoo, or the path of one.
        states: "all", or "final" for the last state of each network alone.
        metric: which metric of the members is the target.
    """
    zoo = open_zoo(zoo)
    if states not in ("all", "final"):
        raise ValueError(f"unknown states {states!r}; choose from all, final")
    if split not in ("train", "val", "test", "all"):
        raise ValueError(f"unknown split {split!r}; choose from train, val, test, all")
    members = zoo if split == "all" else zoo.split(split)
    samples: list[Sample] = []
    reasons: list[str] = []
    networks = dropped = 0
    for index in range(len(members)):
        if reason := _untraceable(members[index]):
            reasons.append(reason)
            continue
        own, lost = _states(members[index], states, metric)
        samples += own
        networks, dropped = networks + bool(own), dropped + lost
    if not samples:
        why = f", {len(reasons)} without a graph: {reasons[0]}" if reasons else ""
        raise ValueError(
            f"the split {split!r} of this zoo holds no usable state ({len(members)} networks, {dropped} diverged "
            f"states{why}); build a larger zoo or name another split"
        )
    return Samples(samples, networks, dropped, len(reasons), reasons[0] if reasons else "")


def open_zoo(zoo: Any) -> Any:
    """An open zoo as it is; a path opened."""
    if not isinstance(zoo, str | Path):
        return zoo
    from zoo import open as open_folder

    return open_folder(zoo)


def shuffle_targets(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples with their targets dealt out at random: the control, on which nothing can be learned."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed)).tolist()
    return [replace(sample, target=samples[other].target) for sample, other in zip(samples, order, strict=True)]


def _untraceable(member: Any) -> str:
    """Why the network has no graph; empty where it has one."""
    try:
        member.topology  # noqa: B018 (read for its error)
    except ValueError as error:
        return str(error)
    return ""


def _targets(member: Any, metric: str) -> numpy.ndarray:
    """A metric at every state ``[T]``; ``test_class_accuracy/3`` is that of class 3."""
    from zoo.targets import value_name

    name, place = value_name(metric, list(member.metrics))
    if name not in member.metrics:
        raise ValueError(f"the zoo keeps no {metric!r} of its networks; it keeps {sorted(member.metrics)}")
    values = numpy.asarray(member.metrics[name], dtype=float)
    if (values.ndim > 1) != (place is not None) or (place is not None and place >= values.shape[1]):
        raise ValueError(f"expected a metric of one value a state, got {metric!r} of shape {list(values.shape)}")
    return values if place is None else values[:, place]


def _states(member: Any, states: str, metric: str) -> tuple[list[Sample], int]:
    targets = _targets(member, metric)
    finite = torch.isfinite(member.trajectory()).all(dim=1).numpy() & numpy.isfinite(targets)
    for loss in (values for figure, values in member.metrics.items() if figure.endswith("loss")):
        finite &= numpy.isfinite(numpy.asarray(loss, dtype=float))
    last = len(targets) - 1
    wanted = [last] if states == "final" else list(range(last + 1))
    name = member.row.get("id", "")
    samples = [
        Sample(member.graph(step=step), float(targets[step]), final=step == last, name=f"{name}@{step}")
        for step in wanted
        if finite[step]
    ]
    return samples, len(wanted) - len(samples)
