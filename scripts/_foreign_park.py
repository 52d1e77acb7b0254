"""The CNN Wild Park in its published layout, three networks of it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _foreign_known import AbsentModule, Known
from torch import Tensor, nn

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
    modules = [AbsentModule(name) for name in (*names, "omegaconf.base", "omegaconf")]
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
