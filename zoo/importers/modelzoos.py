"""ModelZoos of Schuerholt et al. (https://arxiv.org/abs/2209.14764), the raw checkpoints of ray.tune.

``TRIAL/{params.json, result.json, checkpoint_000001/checkpoints}``, the folder also named ``checkpoint_1``. A line of
result.json belongs to the state of its training_iteration, wherever it stands.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.documents import number, read_json, read_json_lines
from zoo.importers.modelzoos_networks import weights_in_order, zoo_recipe
from zoo.importers.network import ForeignNetwork, in_order, layout_of
from zoo.importers.sources import Sources
from zoo.importers.torch_files import TorchFile

if TYPE_CHECKING:
    from torch import Tensor

METRICS = {f"{part}_{short}": f"{part}_{ours}" for part in ("train", "test", "val") for short, ours in
           (("loss", "loss"), ("acc", "accuracy"))}  # fmt: skip
SETTINGS = {
    "model::dropout": "dropout",
    "optim::lr": "lr",
    "optim::wd": "weight_decay",
    "optim::momentum": "momentum",
    "optim::optimizer": "optimiser",
    "seed": "seed",
    "training::batchsize": "batch_size",
}


def read(sources: Sources) -> Iterator[ForeignNetwork]:
    """The networks of the zoo, one a trial, all their checkpoints as states."""
    for path in sources.find("**/params.json"):
        checkpoints = _checkpoints(path.parent)
        if checkpoints:
            yield _network(sources, path.parent, checkpoints)


def _checkpoints(trial: Path) -> dict[int, Path]:
    """The weights' files of a trial by epoch, ascending."""
    found: dict[int, Path] = {}
    for folder in sorted(trial.iterdir()):
        name = re.fullmatch(r"checkpoint_(\d{1,9})", folder.name)
        if name and (folder / "checkpoints").is_file():
            if int(name[1]) in found:
                raise ValueError(f"{trial}: {folder.name} repeats epoch {int(name[1])} of {found[int(name[1])].parent}")
            found[int(name[1])] = folder / "checkpoints"
    return dict(sorted(found.items()))


def _network(sources: Sources, trial: Path, checkpoints: dict[int, Path]) -> ForeignNetwork:
    import torch

    config = read_json(sources(trial / "params.json"))
    states = [weights_in_order(_state(sources(path)), str(path)) for path in checkpoints.values()]
    made = zoo_recipe(config, states[0], str(trial))
    layout = layout_of(made)
    flat = [in_order(layout, state, str(path)) for state, path in zip(states, checkpoints.values(), strict=True)]
    return ForeignNetwork(
        source=sources.name(trial),
        recipe=made,
        layout=layout,
        epochs=tuple(checkpoints),
        states=torch.stack(flat),
        metrics=_metrics(sources(trial / "result.json"), list(checkpoints)),
        settings=settings_of(config),
        columns=config,
    )


def _state(path: Path) -> "dict[str, Tensor]":
    return TorchFile(path).state_dict()


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Our hyper-parameters among those of a ModelZoos configuration."""
    found = {ours: config[theirs] for theirs, ours in SETTINGS.items() if _is_plain(config.get(theirs))}
    if found.get("optimiser") != "sgd":
        found.pop("momentum", None)
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _metrics(path: Path, epochs: list[int]) -> dict[str, list[float]]:
    """Metrics at the epochs; a line repeated after a restart counts as it stands last."""
    lines: dict[int, dict[str, Any]] = {}
    for row in read_json_lines(path):
        epoch = row.get("training_iteration")
        if type(epoch) is not int:
            raise ValueError(f"{path}: expected a training_iteration on every line, got {str(row)[:200]}")
        lines[epoch] = row
    if not lines.keys() & set(epochs):
        raise ValueError(f"{path}: expected lines of the epochs {epochs[:5]}..., got {sorted(lines)[:5]}...")
    metrics = {ours: [number(lines.get(e, {}).get(theirs)) for e in epochs] for theirs, ours in METRICS.items()}
    return {name: values for name, values in metrics.items() if any(value == value for value in values)}
