"""ModelZoos of Schuerholt et al., the preprocessed .pt data sets.

A file holds one pickled data set object, or {trainset, valset, testset} of them; their class is not needed: ``data_in``
are the states (state dicts, or one tensor of vectors), ``paths`` the trials, ``epochs`` and ``properties`` are lists
beside them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from zoo.importers.documents import number
from zoo.importers.modelzoos import METRICS, settings_of
from zoo.importers.modelzoos_networks import CNNS, weights_in_order, zoo_recipe
from zoo.importers.network import ForeignNetwork, in_order, layout_of, unknown
from zoo.importers.sources import Sources
from zoo.importers.torch_files import TorchFile
from zoo.importers.unpickling import Inert, PathText, TensorReference

if TYPE_CHECKING:
    from torch import Tensor

ALLOWED: dict[str, type] = {f"*.{name}": PathText for name in ("PosixPath", "WindowsPath", "PurePosixPath")}
ALLOWED |= {f"*.{name}": Inert for name in ("ModelDatasetBase", "ModelDatasetBaseEpochs", "ModelDataset")}
SPLITS = {"trainset": "train", "valset": "val", "testset": "test"}


@dataclass(frozen=True)
class State:
    """One state: its trial, epoch, properties and weights in order."""

    trial: str
    epoch: int
    properties: dict[str, Any]
    tensors: "list[Tensor]"


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of all files, the states of one trial together."""
    for path in sources.find("*.pt"):
        file = TorchFile(sources(path), ALLOWED)
        for split, dataset in _datasets(file):
            trials: dict[str, list[State]] = {}
            for state in _states(file, dataset):
                trials.setdefault(state.trial, []).append(state)
            for trial, states in trials.items():
                yield _network(f"{sources.name(path)}: {trial}", sorted(states, key=lambda s: s.epoch), split)


def _datasets(file: TorchFile) -> list[tuple[str | None, dict[str, Any]]]:
    """(split, attributes) of every data set object of a file."""
    content = file.content
    named = isinstance(content, dict) and not isinstance(content, Inert)
    parts = [(SPLITS[key], content[key]) for key in SPLITS if key in content] if named else [(None, content)]
    if not parts:
        raise ValueError(f"{file.path}: expected {', '.join(SPLITS)}, got {', '.join(map(str, content))[:200]}")
    return [(split, _attributes(part, file)) for split, part in parts]


def _attributes(part: Any, file: TorchFile) -> dict[str, Any]:
    if not isinstance(part, Inert) or not isinstance(part.state, dict):
        raise ValueError(f"{file.path}: expected data set objects of ModelZoos, got {type(part).__name__}")
    return part.state


def _states(file: TorchFile, dataset: dict[str, Any]) -> Iterator[State]:
    data, paths, epochs = (dataset.get(name) for name in ("data_in", "paths", "epochs"))
    properties = dataset.get("properties") or {}
    weights = _vectors(file, data) if isinstance(data, TensorReference) else _state_dicts(file, data)
    lists = [paths, epochs, *(properties.values() if isinstance(properties, dict) else [None])]
    if any(not isinstance(column, list) or len(column) != len(weights) for column in lists):
        raise ValueError(f"{file.path}: expected a path, an epoch and properties for each of {len(weights)} states")
    for i, (trial, epoch) in enumerate(zip(paths or [], epochs or [], strict=True)):
        if type(epoch) is not int or not 0 <= epoch < 2**31:
            raise ValueError(f"{file.path}: expected a whole number as epoch, got {str(epoch)[:80]!r}")
        yield State(str(trial), epoch, {k: v[i] for k, v in properties.items()}, weights[i])


def _state_dicts(file: TorchFile, data: Any) -> "_Lazy":
    if not isinstance(data, list) or not data:
        raise ValueError(f"{file.path}: expected states in data_in, got {type(data).__name__}")
    return _Lazy(len(data), lambda i: weights_in_order(file.state_dict(data[i]), str(file.path)))


def _vectors(file: TorchFile, data: TensorReference) -> "_Lazy":
    """The rows of ``[states, P]``, cut into the tensors of the one known network of P weights."""
    rows = file.tensor(data)
    shapes = _shapes(rows.shape[-1]) if rows.dim() == 2 else None
    if shapes is None:
        raise ValueError(f"{file.path}: expected vectors of a network of ModelZoos, got shape {tuple(rows.shape)}")
    sizes = [math.prod(shape) for shape in shapes]
    return _Lazy(len(rows), lambda i: [p.view(s) for p, s in zip(rows[i].split(sizes), shapes, strict=True)])


class _Lazy:
    """Weights of one state at a time."""

    def __init__(self, length: int, get: Any):
        self._length, self._get = length, get

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> "list[Tensor]":
        return self._get(index)


@lru_cache
def _shapes(count: int) -> list[tuple[int, ...]] | None:
    """The shapes of the known network with this many weights."""
    linears: dict[tuple[int, ...], int] = {(8, 6, 4): 36, (6, 9, 6): 54, (16, 32, 15): 60}
    for channels, (kernels, _, _) in CNNS.items():
        for colours in (1, 3):
            ins = [colours, *channels[:-1]]
            shapes = [(o, i, k, k) for o, i, k in zip(channels, ins, kernels, strict=True)]
            shapes = [*shapes, (20, linears[channels]), (10, 20)]
            both = [s for shape in shapes for s in (shape, shape[:1])]
            if sum(map(math.prod, both)) == count:
                return both
    return None


def _network(source: str, states: list[State], split: str | None) -> ForeignNetwork:
    import torch

    epochs = tuple(state.epoch for state in states)
    if len(set(epochs)) != len(epochs):
        raise ValueError(f"{source}: expected states of different epochs, got {list(epochs)}")
    first = states[0]
    config = {k: v for k, v in first.properties.items() if "::" in k or k == "seed"}
    made = _recipe(config, first.tensors, source)
    metrics = {ours: [number(s.properties.get(theirs)) for s in states] for theirs, ours in METRICS.items()}
    layout = layout_of(made) if made["factory"] in ("cnn", "mlp") else _plain_layout(first.tensors)
    return ForeignNetwork(
        source=source,
        recipe=made,
        layout=layout,
        epochs=epochs,
        states=torch.stack([in_order(layout, state.tensors, source) for state in states]),
        metrics={name: values for name, values in metrics.items() if any(value == value for value in values)},
        settings=settings_of(config),
        columns=config | {"split_published": split},
    )


def _recipe(config: dict[str, Any], tensors: "list[Tensor]", source: str) -> dict[str, Any]:
    if "model::nlin" in config:
        return zoo_recipe(config, tensors, source)
    return unknown(_named(tensors), "the file has no property model::nlin, the activation")


def _named(tensors: "list[Tensor]") -> "dict[str, Tensor]":
    kinds = ("weight", "bias")
    return {f"layers.{i // 2}.{kinds[i % 2]}": tensor for i, tensor in enumerate(tensors)}


def _plain_layout(tensors: "list[Tensor]") -> Any:
    from graphs.layout import flat_layout

    # Copies: vectors of one tensor share its memory, which a layout would take for ties.
    return flat_layout({name: tensor.clone() for name, tensor in _named(tensors).items()})
