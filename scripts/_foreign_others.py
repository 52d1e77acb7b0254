"""Image networks, the checkpoints of G.pt, folders of state dicts and hub models in their published layouts."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from _foreign_known import Known, draw, save_csv
from safetensors.torch import save_file
from torch import Tensor, nn

State = dict[str, Tensor]


def _siren(state: State, x: Tensor, shift: float) -> Tensor:
    """sin(30 (W x + b)) twice, a linear layer, the shift."""
    values = list(state.values())
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        x = torch.sin(30 * (x @ weight.T + bias))
    return x @ values[-2].T + values[-1] + shift


def _siren_state(rng: np.random.Generator, names: list[str], outputs: int = 1) -> State:
    sizes = [(32, 2), (32, 32), (outputs, 32)]
    shapes = {f"{n}.{kind}": s if kind == "weight" else s[:1] for n, s in zip(names, sizes, strict=True)
              for kind in ("weight", "bias")}  # fmt: skip
    return {name: torch.from_numpy(draw(rng, *shape) * 0.1) for name, shape in shapes.items()}


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
    save_csv(root / "metadata.csv", rows)
    return found


def hub(folder: Path, rng: np.random.Generator) -> list[Known]:
    """A model in one file and one in two with their index; neither has a class that can be rebuilt."""
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    states = [
        {"embed.weight": torch.from_numpy(draw(rng, 5, 4)), "head.bias": torch.from_numpy(draw(rng, 3))} for _ in "ab"
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
