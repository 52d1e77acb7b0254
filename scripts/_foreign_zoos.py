"""Small zoos in the layouts that others publish, with what their networks say to one input.

The outputs come from forward passes written out here, so that they stand apart from what the importers rebuild.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

State = dict[str, Tensor]


@dataclass(frozen=True)
class Known:
    """What is known of one network: the end of its source, an input, its outputs at every kept state, its columns."""

    source: str
    x: Tensor
    outputs: list[Tensor]
    epochs: list[int]
    columns: dict[str, Any] = field(default_factory=dict)


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


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
    weights = _draw(rng, len(rows), ends[-1])
    np.save(folder / "weights.npy", weights)
    spans = zip(shapes.items(), ends, sizes, strict=True)
    _csv(
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
    _write_csv(data, table)
    with gzip.open(folder / "metrics.csv.gz", "wt") as file:
        file.write(data.getvalue())
    # The published orders begin with a stray line "0".
    (folder / "mnist_split.csv").write_text("\n".join(["0", *map(str, rng.permutation(len(rows)))]) + "\n")
    x = _draw(rng, 2, 28, 28, 1)
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


def _csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        _write_csv(file, rows)


def _write_csv(file: Any, rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


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


class _Module:
    """Names a module that is not there while objects of its classes are pickled."""

    def __init__(self, name: str):
        self.name = name
        self.module = types.ModuleType(name)

    def add(self, name: str, **attributes: Any) -> type:
        made = type(name, (), {"__module__": self.name, "__init__": _take, **attributes})
        setattr(self.module, name, made)
        return made

    def __enter__(self) -> _Module:
        sys.modules[self.name] = self.module
        return self

    def __exit__(self, *_: object) -> None:
        del sys.modules[self.name]


def _take(self: Any, **attributes: Any) -> None:
    self.__dict__.update(attributes)


def modelzoos_pt(folder: Path, rng: np.random.Generator) -> list[Known]:
    """A file of three pickled data sets, their class absent on reading; one holds vectors."""
    torch.manual_seed(int(rng.integers(2**31)))
    x, found, parts = torch.randn(2, 1, 28, 28), [], {}
    with _Module("checkpoints_to_datasets_dataset_base") as module:
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


def _siren(state: State, x: Tensor, shift: float) -> Tensor:
    """sin(30 (W x + b)) twice, a linear layer, the shift."""
    values = list(state.values())
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        x = torch.sin(30 * (x @ weight.T + bias))
    return x @ values[-2].T + values[-1] + shift


def _siren_state(rng: np.random.Generator, names: list[str], outputs: int = 1) -> State:
    sizes = [(32, 2), (32, 32), (outputs, 32)]
    draw = lambda *shape: torch.from_numpy(_draw(rng, *shape) * 0.1)  # noqa: E731
    return {f"{n}.{kind}": draw(*(s if kind == "weight" else s[:1])) for n, s in zip(names, sizes, strict=True)
            for kind in ("weight", "bias")}  # fmt: skip


def dwsnets(folder: Path, rng: np.random.Generator) -> list[Known]:
    """MNIST folders of a network each, FashionMNIST files with their label, and the splits of both."""
    x = torch.from_numpy(rng.uniform(-1, 1, (5, 2)).astype(np.float32))
    names, found, splits = [f"seq.{i}" for i in range(3)], [], {"train": {"path": [], "label": []}}
    for part, label, number in (("training", 5, 11), ("testing", 3, 2)):
        path = folder / "mnist-inrs" / f"mnist_png_{part}_{label}_{number}" / "checkpoints" / "model_final.pth"
        path.parent.mkdir(parents=True)
        torch.save(OrderedDict(state := _siren_state(rng, names)), path)
        found.append(Known(f"mnist_png_{part}_{label}_{number}/checkpoints/model_final.pth", x,
                           [_siren(state, x, 0.5)], [1], {"label": label, "images": part}))  # fmt: skip
    splits["train"]["path"].append("dataset/mnist-inrs/mnist_png_training_5_11/checkpoints/model_final.pth")
    (folder / "mnist_splits.json").write_text(json.dumps(splits))
    for part, number, label in (("train", 0, 9), ("test", 1, 0)):
        path = folder / "fmnist_inrs" / part / f"model_{number}.pth"
        path.parent.mkdir(parents=True)
        state = _siren_state(rng, names)
        torch.save(OrderedDict(state, label=label), path)
        source = f"{part}/model_{number}.pth"
        found.append(Known(source, x, [_siren(state, x, 0.5)], [1], {"label": label, "images": part}))
    return found


def nfn_inrs(folder: Path, rng: np.random.Generator) -> list[Known]:
    """Networks of grey and of coloured images; their keys say nothing but weight and bias."""
    x = torch.from_numpy(rng.uniform(-1, 1, (5, 2)).astype(np.float32))
    found, names = [], ["net.0.linear", "net.1.linear", "net.2"]
    for kind, prefix, label, outputs in (("mnist", "training", 7, 1), ("cifar", "test", 2, 3)):
        path = folder / f"siren_{kind}_wts" / f"{prefix}_{label}s" / "net17.pth"
        path.parent.mkdir(parents=True)
        torch.save(OrderedDict(state := _siren_state(rng, names, outputs)), path)
        source = f"{prefix}_{label}s/net17.pth"
        found.append(Known(source, x, [_siren(state, x, 0.0)], [1], {"label": label}))
    return found


PARK = (
    {"channels": [3, 4, 8], "kernel_size": [3, 5], "residual": [-1, -1], "activation": ["relu", "gelu"]},
    {"channels": [3, 8, 4, 4], "kernel_size": [3, 3, 7], "residual": [-1, -1, 0],
     "activation": ["tanh", "relu", "sigmoid"]},
    {"channels": [3, 4, 4, 8], "kernel_size": [3, 3, 3], "residual": [-1, -1, 0],
     "activation": ["relu", "leaky_relu", "gelu"]},
)  # fmt: skip


def cnn_wild_park(folder: Path, rng: np.random.Generator) -> list[Known]:
    """Three architectures of two checkpoints; their configs are objects of OmegaConf, absent on reading."""
    torch.manual_seed(int(rng.integers(2**31)))
    x, found, paths = torch.randn(2, 3, 32, 32), [], []
    for number, own in enumerate(PARK):
        layers = len(own["kernel_size"])
        config = {"n_layers": layers, "n_classes": 10, **own, "stride": [1] * layers}
        config["padding"] = [k // 2 for k in own["kernel_size"]]
        trial = folder / "cifar10_zooV2" / f"NN_tune_trainable_{number:05d}"
        outputs: list[Tensor] = []
        columns: dict[str, Any] = {"test_accuracy": [0.1 * number + 0.01 * e for e in (1, 5)]}
        for epoch in (1, 5):
            net = ParkNet(config)
            path = trial / f"checkpoint_{epoch:06d}" / "checkpoint.pt"
            path.parent.mkdir(parents=True)
            result = {"test/acc": 0.1 * number + 0.01 * epoch, "test/loss": 2.0, "config": {"root": Path("/data")}}
            state = {"model": net.state_dict(), "optimizer": {"state": {}}, "iteration": epoch, "last_result": result}
            _save_with_omegaconf(state, config, path)
            outputs.append(net(x).detach())
            paths.append(f"{path.relative_to(folder)}")
        columns["cnn_park_splits"] = "test" if number == 2 else "train"
        found.append(Known(trial.name, x, outputs, [1, 5], columns))
    splits = {
        "train": {"path": paths[:4], "score": [], "step": []},
        "test": {"path": paths[4:], "score": [], "step": []},
    }
    (folder / "cnn_park_splits.json").write_text(json.dumps(splits))
    return found


class ParkNet(nn.Module):
    """A network of the Wild Park as published, with its in-place residual."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config, c = config, config["channels"]
        sizes = zip(c[:-1], c[1:], config["kernel_size"], config["stride"], config["padding"], strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(*size) for size in sizes)
        self.fc = nn.Linear(c[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for layer, earlier, name in zip(self.layers, self.config["residual"], self.config["activation"], strict=True):
            x = layer(x).clone()
            if earlier > -1:
                shared = min(x.shape[1], kept[earlier].shape[1])
                x[:, :shared] += kept[earlier][:, :shared]
            x = getattr(torch if name in ("tanh", "sigmoid") else nn.functional, name)(x)
            kept.append(x)
        return self.fc(x.mean((2, 3)))


def _save_with_omegaconf(state: dict[str, Any], config: dict[str, Any], path: Path) -> None:
    """``torch.save`` with the config as OmegaConf pickles it."""
    names = {"omegaconf.dictconfig": "DictConfig", "omegaconf.listconfig": "ListConfig", "omegaconf.nodes": "AnyNode"}
    modules = [_Module(name) for name in (*names, "omegaconf.base", "omegaconf")]
    dict_config, list_config, node = (m.add(names[m.name]) for m in modules[:3])
    metadata = modules[3].add("Metadata")

    def wrap(value: Any) -> Any:
        own = {"_metadata": metadata(ref_type=Any, object_type=type(value)), "_parent": None}
        if isinstance(value, dict):
            return dict_config(**own, _content={k: wrap(v) for k, v in value.items()})
        if isinstance(value, list):
            return list_config(**own, _content=[wrap(v) for v in value])
        return node(**own, _val=value)

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module)
        torch.save({**state, "config": wrap(config)}, path)


def gpt(folder: Path, rng: np.random.Generator) -> list[Known]:
    """A run each of MNIST, CIFAR-10 and Cartpole, in the LMDB of the published code."""
    import lmdb

    torch.manual_seed(int(rng.integers(2**31)))
    nets = {
        "mnist": nn.Sequential(nn.Flatten(1), nn.Linear(784, 10), nn.ReLU(), nn.Linear(10, 10)),
        "cifar": _cifar(),
        "cartpole": nn.Sequential(nn.Linear(4, 8), nn.SELU(), nn.Linear(8, 1)),
    }
    inputs = {"mnist": torch.randn(2, 1, 28, 28), "cifar": torch.randn(2, 3, 32, 32), "cartpole": torch.randn(2, 4)}
    found = []
    for name, net in nets.items():
        (run := folder / f"{name}-0001").mkdir()
        checkpoints, outputs = {}, []
        environment = lmdb.open(str(run), map_size=2**22)
        with environment.begin(write=True) as transaction:
            for epoch, iteration in ((0, 0), (0, 7), (3, 120)):
                for parameter in net.parameters():
                    nn.init.normal_(parameter, std=0.3)
                parts = [p.detach().reshape(-1) for p in net.parameters()]
                parts = [torch.zeros(1), *parts] if name == "cartpole" else parts
                key = f"{run.name}/ep{epoch:03d}_it{iteration:05d}.pt"
                sizes = torch.tensor([float(len(part)) for part in parts])
                transaction.put(key.encode(), torch.cat(parts).numpy().tobytes())
                transaction.put(f"{key}_arch".encode(), sizes.numpy().tobytes())
                checkpoints[key] = {"avg_test_loss": 1.5 - 0.1 * epoch, "avg_test_err": 40.0, "avg_train_err": 30.0}
                outputs.append(net(inputs[name]).detach())
        environment.close()
        runs = {"checkpoints": checkpoints, "metadata": {"avg_test_loss": [1.5]}}
        (run / "runs.json").write_text(json.dumps(runs if name != "cifar" else {"cifar-0001": runs}, indent=2))
        (run / "DONE.txt").touch()
        found.append(Known(f"{run.name}: {run.name}", inputs[name], outputs, [0, 0, 3], {"test_accuracy": [0.6] * 3}))
    return found


def _cifar() -> nn.Module:
    convolutions = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(16, 32, 3, 1, 1, bias=False), nn.ReLU()
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(32, 10))


def folder(root: Path, rng: np.random.Generator) -> list[Known]:
    """Files of three kinds: two states of one network, one alone, one whose recipe the table does not know."""
    torch.manual_seed(int(rng.integers(2**31)))
    x, rows, found = torch.randn(2, 4), [], []
    recipe = json.dumps(
        {"factory": "mlp", "arguments": {"inputs": 4, "hidden": [3], "outputs": 2, "activation": "tanh"}}
    )
    for name, epochs, suffix in (("a", (2, 9), ".pt"), ("b", (1,), ".safetensors")):
        outputs = []
        for epoch in epochs:
            first, last = nn.Linear(4, 3), nn.Linear(3, 2)
            state = {"linear0.weight": first.weight, "linear0.bias": first.bias}
            state |= {"head.weight": last.weight, "head.bias": last.bias}
            state = {key: value.detach().contiguous() for key, value in state.items()}
            path = root / f"{name}{epoch}{suffix}"
            if suffix == ".pt":
                torch.save({"model": state, "epoch": epoch}, path)
            else:
                save_file(state, path)
            own = {"test_accuracy": 0.1 * epoch, "lr": 0.01, "note": f"{name}!", "activation": "tanh"}
            rows.append({"file": path.name, "network": name, "epoch": epoch, **own, "recipe": recipe})
            outputs.append(last(torch.tanh(first(x))).detach())
        columns = {"lr": 0.01, "note": f"{name}!", "test_accuracy": [0.1 * e for e in epochs], "activation": "tanh"}
        found.append(Known(name, x, outputs, list(epochs), columns))
    _csv(root / "metadata.csv", rows)
    return found


def hub(folder: Path, rng: np.random.Generator) -> list[Known]:
    """A model in one file and one in two with their index; neither has a class that can be rebuilt."""
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    states = [
        {"embed.weight": torch.from_numpy(_draw(rng, 5, 4)), "head.bias": torch.from_numpy(_draw(rng, 3))} for _ in "ab"
    ]
    save_file(states[0], folder / "one" / "model.safetensors")
    names = {key: f"model-{i:05d}-of-00002.safetensors" for i, key in enumerate(states[1], start=1)}
    for key, name in names.items():
        save_file({key: states[1][key]}, folder / "two" / name)
    (folder / "two" / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    for name in ("one", "two"):
        (folder / name / "config.json").write_text(json.dumps({"model_type": "mystery", "architectures": ["Mystery"]}))
    flats = [torch.cat([t.reshape(-1) for t in state.values()]) for state in states]
    return [Known(n, f, [], [1], {"model_type": "mystery"}) for n, f in zip(("one", "two"), flats, strict=True)]


WRITERS: dict[str, Callable[[Path, np.random.Generator], list[Known]]] = {
    "small-cnn-zoo": small_cnn_zoo,
    "modelzoos": modelzoos,
    "modelzoos-pt": modelzoos_pt,
    "dwsnets": dwsnets,
    "nfn-inrs": nfn_inrs,
    "cnn-wild-park": cnn_wild_park,
    "gpt": gpt,
    "folder": folder,
    "hub": hub,
}
