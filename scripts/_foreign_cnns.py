"""The Small CNN Zoo and ModelZoos in their published layouts, a few networks each."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from _foreign_known import AbsentModule, Known, draw, save_csv, write_csv
from torch import Tensor, nn


def small_cnn_zoo(folder: Path, rng: np.random.Generator) -> list[Known]:
    """Three runs of three steps, their rows shuffled; TensorFlow's order, bias before kernel."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, fan_in in enumerate((1, 16, 16)):
        layer = f"sequential/conv2d{f'_{i}' if i else ''}"
        shapes |= {f"{layer}/bias:0": (16,), f"{layer}/kernel:0": (3, 3, fan_in, 16)}
    shapes |= {"sequential/dense/bias:0": (10,), "sequential/dense/kernel:0": (16, 10)}
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    ends = np.cumsum(sizes).tolist()
    rows = [(run, step) for run in range(3) for step in (0, 40, 86)]
    order = rng.permutation(len(rows))
    weights = draw(rng, len(rows), ends[-1])
    np.save(folder / "weights.npy", weights)
    spans = zip(shapes.items(), ends, sizes, strict=True)
    save_csv(
        folder / "layout.csv", [{"varname": n, "start_idx": e - k, "end_idx": e, "shape": s} for (n, s), e, k in spans]
    )
    table = []
    for place in order:
        run, step = rows[place]
        config = {"config.activation": ("relu", "tanh")[run % 2], "config.learning_rate": 0.01 * (run + 1)}
        config |= {"config.l2reg": 1e-5, "config.optimizer": "rmsprop", "config.dropout": 0.1}
        found = {"test_accuracy": 0.1 * run + 0.001 * step, "test_loss": 2.0, "train_accuracy": 0.5, "train_loss": 1.5}
        table.append(config | {"modeldir": f"gs://zoo/{run}", "step": step} | found)
    data = io.StringIO()
    write_csv(data, table)
    with gzip.open(folder / "metrics.csv.gz", "wt") as file:
        file.write(data.getvalue())
    # The published orders begin with a stray line "0".
    (folder / "mnist_split.csv").write_text("\n".join(["0", *map(str, rng.permutation(len(rows)))]) + "\n")
    x = draw(rng, 2, 28, 28, 1)
    found = []
    for run in range(3):
        places = [next(i for i, p in enumerate(order) if rows[p] == (run, step)) for step in (0, 40, 86)]
        outputs = [_keras(x, weights[i], shapes, (_relu, np.tanh)[run % 2]) for i in places]
        columns = {"lr": 0.01 * (run + 1), "config.optimizer": "rmsprop", "dropout": 0.1}
        inputs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
        found.append(Known(f"gs://zoo/{run}", inputs, outputs, [0, 40, 86], columns))
    return found


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _keras(x: np.ndarray, row: np.ndarray, shapes: dict[str, tuple[int, ...]], activation: Callable) -> Tensor:
    """The network as Keras runs it: ``[batch, height, width, channels]``, kernels ``[height, width, in, out]``."""
    parts = np.split(row, np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1])
    arrays = [part.reshape(shape) for part, shape in zip(parts, shapes.values(), strict=True)]
    for bias, kernel in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
        side = (x.shape[1] - 3) // 2 + 1
        out = np.zeros((len(x), side, side, kernel.shape[3]), np.float64)
        for i in range(side):
            for j in range(side):
                out[:, i, j] = np.einsum("bhwc,hwco->bo", x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel) + bias
        x = activation(out)
    return torch.from_numpy(x.mean((1, 2)) @ arrays[-1] + arrays[-2])


NLINS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class CnnS(nn.Module):
    """CNN-s of ModelZoos as published: one list of modules, in which dropout shifts the numbers."""

    def __init__(self, nlin: str, dropout: float):
        super().__init__()
        drop = [nn.Dropout(dropout)] if dropout > 0 else []
        made = NLINS[nlin]
        layers = [nn.Conv2d(1, 8, 5), nn.MaxPool2d(2, 2), made(), *drop, nn.Conv2d(8, 6, 5), nn.MaxPool2d(2, 2), made()]
        layers += [*drop, nn.Conv2d(6, 4, 2), made(), nn.Flatten(), nn.Linear(36, 20), made(), *drop, nn.Linear(20, 10)]
        self.module_list = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.module_list:
            x = layer(x)
        return x


def modelzoos(folder: Path, rng: np.random.Generator) -> list[Known]:
    """Three trials: without dropout, with it, and one whose state before training was logged."""
    torch.manual_seed(int(rng.integers(2**31)))
    (folder / "config.json").write_text(json.dumps({"model::type": "CNN"}))
    (folder / "readme.md").write_text("")
    x, found = torch.randn(2, 1, 28, 28), []
    trials = (("tanh", 0.0, [1, 2], "{:06d}"), ("relu", 0.5, [1, 2], "{}"), ("gelu", 0.0, [0, 1, 2], "{:06d}"))
    for number, (nlin, dropout, epochs, form) in enumerate(trials):
        trial = folder / f"NN_tune_trainable_{number:05d}_seed={number}"
        trial.mkdir()
        config = {"model::type": "CNN", "model::nlin": nlin, "model::dropout": dropout, "model::init_type": "uniform"}
        config |= {
            "optim::optimizer": "sgd",
            "optim::lr": 1e-3,
            "optim::wd": 1e-4,
            "optim::momentum": 0.9,
            "seed": number,
        }
        (trial / "params.json").write_text(json.dumps(config))
        lines, outputs = [], []
        for epoch in epochs:
            net = CnnS(nlin, dropout).eval()
            (checkpoint := trial / f"checkpoint_{form.format(epoch)}").mkdir()
            torch.save(net.state_dict(), checkpoint / "checkpoints")
            torch.save({"state": {}, "param_groups": [{"lr": 1e-3}]}, checkpoint / "optimizer")
            metrics = {f"{part}_acc": 0.1 * epoch + 0.01 * number for part in ("train", "test", "val")}
            lines.append(
                json.dumps(metrics | {"test_loss": 2.0 - epoch, "training_iteration": epoch, "config": config})
            )
            outputs.append(net(x).detach())
        (trial / "result.json").write_text("\n".join(lines) + "\n")
        columns = {"test_accuracy": [0.1 * e + 0.01 * number for e in epochs], "lr": 1e-3, "activation": nlin}
        found.append(Known(trial.name, x, outputs, epochs, columns | {"model::nlin": nlin, "seed": number}))
    return found


def modelzoos_pt(folder: Path, rng: np.random.Generator) -> list[Known]:
    """A file of three pickled data sets, their class absent on reading; one holds vectors."""
    torch.manual_seed(int(rng.integers(2**31)))
    x, found, parts = torch.randn(2, 1, 28, 28), [], {}
    with AbsentModule("checkpoints_to_datasets_dataset_base") as module:
        make = module.add("ModelDatasetBase")
        for number, name in enumerate(("trainset", "valset", "testset")):
            nlin, dropout = ("tanh", "relu", "gelu")[number], 0.5 * number
            nets = [CnnS(nlin, dropout).eval() for _ in (5, 10)]
            trial = PurePosixPath(f"/netscratch/zoo/NN_tune_trainable_{number:05d}")
            data: Any = [net.state_dict() for net in nets]
            if name == "testset":
                data = torch.stack([torch.cat([p.reshape(-1) for p in state.values()]) for state in data])
            properties = {"test_acc": [0.5, 0.6], "training_iteration": [5, 10], "ggap": [0.1, 0.1]}
            properties |= {"model::nlin": [nlin] * 2, "optim::lr": [1e-3] * 2, "seed": [number] * 2}
            own = {"data_in": data, "paths": [_posix(trial)] * 2, "epochs": [5, 10], "properties": properties}
            parts[name] = make(**own, mode="vector" if name == "testset" else "checkpoint", root=[_posix(trial.parent)])
            outputs = [net(x).detach() for net in nets]
            found.append(Known(trial.name, x, outputs, [5, 10], {"test_accuracy": [0.5, 0.6], "seed": number}))
        torch.save(parts, folder / "dataset.pt")
    return found


def _posix(path: PurePosixPath) -> Path:
    return Path(str(path))
