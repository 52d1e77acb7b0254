"""The Small CNN Zoo of Unterthiner et al. (https://arxiv.org/abs/2002.11448).

``weights.npy [rows, P]`` holds a state a row, in the order of TensorFlow; ``layout.csv`` says where each variable lies;
``metrics.csv.gz`` has a row for every row of weights: ``config.*``, modeldir, step, accuracies and losses. Files named
``*split*.csv`` are the orders of NFN (https://arxiv.org/abs/2302.14040): the last half of the final states is its test.
"""

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.array_files import open_npy
from zoo.importers.documents import number, read_csv, read_lines
from zoo.importers.network import ForeignNetwork, in_order, layout_of, recipe
from zoo.importers.sources import Sources

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

METRICS = ("train_accuracy", "train_loss", "test_accuracy", "test_loss")
ACTIVATIONS = ("relu", "tanh", "sigmoid")
# Columns of config.* that mean what ours do; optimisers by another name keep theirs.
SETTINGS = {"dropout": "dropout", "learning_rate": "lr", "train_fraction": "train_fraction", "activation": "activation"}
FINAL_STEP = 86


@dataclass(frozen=True)
class Variable:
    """A variable of a row: its columns and its shape in TensorFlow's order."""

    first: int
    last: int
    shape: tuple[int, ...]

    def tensor(self, row: "np.ndarray") -> "Tensor":
        """The variable in torch's order."""
        import torch

        value = torch.from_numpy(row[self.first : self.last].reshape(self.shape))
        orders = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
        return value.permute(orders[len(self.shape)]).contiguous()


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of the zoo, one a modeldir, their steps as epochs."""
    weights = open_npy(sources(sources.root / "weights.npy"))
    layers = _layers(sources(sources.root / "layout.csv"), weights.shape[1])
    path = sources(sources.root / "metrics.csv.gz")
    runs = _runs(path, len(weights))
    splits = {p.stem: nfn_split(sources(p), runs, len(weights)) for p in sources.find("*split*.csv")}
    for name, rows in runs.items():
        yield _network(name, rows, weights, layers, {s: found.get(name) for s, found in splits.items()}, path)


def _layers(path: Path, columns: int) -> list[tuple[Variable, Variable]]:
    """(kernel, bias) of every layer in order."""
    found: dict[str, dict[str, Variable]] = {}
    end = 0
    rows = read_csv(path, ("varname", "start_idx", "end_idx", "shape"))
    for row in sorted(rows, key=lambda row: number(row["start_idx"])):
        layer, _, kind = str(row["varname"]).rpartition("/")
        variable = Variable(row["start_idx"], row["end_idx"], _shape(row["shape"], path))
        fits = variable.first == end and variable.last == end + math.prod(variable.shape)
        if kind not in ("kernel:0", "bias:0") or not fits or kind in found.get(layer, {}):
            raise ValueError(f"{path}: expected a kernel:0 or bias:0 once, from column {end} on, got {row}")
        found.setdefault(layer, {})[kind], end = variable, variable.last
    if end != columns or any(len(pair) != 2 for pair in found.values()):
        raise ValueError(f"{path}: expected kernels and biases of {columns} columns, got {end} in {sorted(found)}")
    return [(pair["kernel:0"], pair["bias:0"]) for pair in found.values()]


def _shape(text: Any, path: Path) -> tuple[int, ...]:
    sizes = str(text) if re.fullmatch(r"\(?\s*\d{1,9}(\s*,\s*\d{1,9})*\s*,?\s*\)?", str(text)) else ""
    shape = tuple(int(size) for size in re.findall(r"\d+", sizes))
    if len(shape) not in (1, 2, 4):
        raise ValueError(f"{path}: expected a shape such as (3, 3, 1, 16), got {str(text)[:80]!r}")
    return shape


def _runs(path: Path, count: int) -> dict[str, list[dict[str, Any]]]:
    """The rows of every modeldir, by step, each with its number of the weights."""
    runs: dict[str, dict[int, dict[str, Any]]] = {}
    place = -1
    for place, row in enumerate(read_csv(path, ("modeldir", "step", *METRICS))):
        if place >= count or type(row["step"]) is not int or row["step"] < 0 or row["modeldir"] is None:
            raise ValueError(f"{path}: expected {count} rows with a modeldir and a step, got row {place}: {row}")
        states = runs.setdefault(str(row["modeldir"]), {})
        if row["step"] in states:
            raise ValueError(f"{path}: row {place} repeats step {row['step']} of {row['modeldir']}")
        states[row["step"]] = row | {"row": place}
    if place + 1 != count:
        raise ValueError(f"{path}: expected a row for each of the {count} rows of weights.npy, got {place + 1}")
    return {name: [states[step] for step in sorted(states)] for name, states in runs.items()}


def _network(
    name: str,
    rows: list[dict[str, Any]],
    weights: "np.ndarray",
    layers: Sequence[tuple[Variable, Variable]],
    splits: dict[str, str | None],
    path: Path,
) -> ForeignNetwork:
    import numpy as np
    import torch

    config = {k.removeprefix("config."): v for k, v in rows[0].items() if k.startswith("config.")}
    made = _recipe(config, layers, path)
    layout = layout_of(made)
    states = [_state(np.array(weights[row["row"]]), layers) for row in rows]
    settings = {ours: config[theirs] for theirs, ours in SETTINGS.items() if theirs in config}
    return ForeignNetwork(
        source=f"weights.npy: {name}",
        recipe=made,
        layout=layout,
        epochs=tuple(row["step"] for row in rows),
        states=torch.stack([in_order(layout, state, f"{path}: {name}") for state in states]),
        metrics={metric: [number(row[metric]) for row in rows] for metric in METRICS},
        settings=settings,
        columns={f"config.{k}": v for k, v in config.items()} | {"modeldir": name} | splits,
    )


def _state(row: "np.ndarray", layers: Sequence[tuple[Variable, Variable]]) -> "list[Tensor]":
    """Weight and bias of every layer."""
    return [variable.tensor(row) for pair in layers for variable in pair]


def _recipe(config: dict[str, Any], layers: Sequence[tuple[Variable, Variable]], path: Path) -> dict[str, Any]:
    """Convolutions without padding, the mean of the map, a linear layer."""
    kernels = [kernel.shape for kernel, _ in layers]
    activation, stride = config.get("activation", "relu"), config.get("cnn_stride", 2)
    if [len(shape) for shape in kernels] != [4] * (len(kernels) - 1) + [2] or len(kernels) < 2:
        raise ValueError(f"{path.parent}: expected convolutions and a dense layer, got kernels of shapes {kernels}")
    if activation not in ACTIVATIONS or type(stride) is not int or not 1 <= stride <= 8:
        raise ValueError(f"{path}: expected an activation of {', '.join(ACTIVATIONS)}, got {activation!r}, {stride!r}")
    colour = kernels[0][2]
    side = 32 if re.search("cifar|svhn", f"{config.get('dataset')} {path.parent.resolve().name}") else 28
    return recipe(
        "cnn",
        input_shape=[colour, side, side],
        channels=[shape[3] for shape in kernels[:-1]],
        kernel=[shape[0] for shape in kernels[:-1]],
        stride=stride,
        padding=0,
        readout="mean",
        outputs=kernels[-1][1],
        activation=activation,
    )


def nfn_split(path: Path, runs: dict[str, list[dict[str, Any]]], count: int) -> dict[str, str]:
    """The split of every network whose final state an NFN file orders.

    The first line of the published files is a stray "0", the header of a nameless column: taken as a row, it would put
    row 0 first and shift the halves.
    """
    lines = [line.strip() for line in read_lines(path)]
    order = [int(line) if re.fullmatch(r"\d{1,12}", line) else -1 for line in lines if line]
    if len(order) == count + 1 and order[0] == 0:
        order = order[1:]
    if sorted(order) != list(range(count)):
        raise ValueError(f"{path}: expected the rows 0 to {count - 1} in some order, got {len(order)} lines")
    final = {row["row"]: name for name, rows in runs.items() for row in rows if row["step"] == FINAL_STEP}
    names = [final[row] for row in order if row in final]
    half = len(names) // 2
    first = list(range(half))
    random.Random(0).shuffle(first)
    train = int(0.8 * half)
    parts = {"train": first[:train], "val": first[train:], "test": range(half, len(names))}
    return {names[i]: split for split, places in parts.items() for i in places}
