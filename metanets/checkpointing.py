"""A training run as one safetensors file, written so that a kill at any moment leaves the last one whole.

Tensors are named ``model/...``, ``best/...``, ``optimiser/<parameter>/<name>`` and ``random/...``; what is not a tensor
(step, seconds, loader position, best score) is JSON in the header of the file. Nothing is pickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from graphs.durable import write_durably

NAME = "checkpoint.safetensors"


def save(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    facts: dict[str, Any],
    random_states: dict[str, Tensor],
    best: dict[str, Tensor] | None,
) -> Path:
    """Write the run into ``folder`` over its earlier checkpoint, which stays whole until then."""
    parts = {"model": model.state_dict(), "random": random_states, "best": best or {}, "optimiser": _flatten(optimiser)}
    tensors = {f"{part}/{key}": tensor for part, entries in parts.items() for key, tensor in entries.items()}
    # Tied weights and views share memory, which the format refuses.
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    write_durably(path, to_bytes(tensors, metadata={"run": json.dumps(facts)}))
    return path


def load(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by part (model, best, optimiser, random) with the JSON facts of the checkpoint in ``folder``."""
    path = folder / NAME
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}, "random": {}}
    try:
        with safe_open(path, framework="pt") as file:
            facts = _facts(file.metadata() or {}, path)
            for key in file.keys():  # noqa: SIM118 (a safetensors handle is not a mapping)
                part, _, name = key.partition("/")
                parts[part][name] = file.get_tensor(key)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no checkpoint of a run that can be read ({error}); it is damaged or another kind of file: "
            "start the run again in an empty folder"
        ) from error
    return parts, facts


def _facts(header: dict[str, str], path: Path) -> dict[str, Any]:
    if "run" not in header:
        raise ValueError(
            f"{path} is no training checkpoint: expected 'run' in its header, got {sorted(header)}; "
            "resume in the folder of a run"
        )
    return json.loads(header["run"])


def restore_model(model: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Load weights; a ValueError names the first entry that does not fit."""
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    saved = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = [name for name in sorted(own.keys() | saved.keys()) if own.get(name) != saved.get(name)]
    if wrong:
        raise ValueError(
            f"the checkpoint in {where} is of another model: entry {wrong[0]!r} has shape {saved.get(wrong[0])} there "
            f"and {own.get(wrong[0])} in this model; resume with the same model, or use an empty folder"
        )
    model.load_state_dict(tensors)


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what ``save`` wrote, parameter by parameter."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _flatten(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"{index}/{name}": torch.as_tensor(value) for index, row in state.items() for name, value in row.items()}
