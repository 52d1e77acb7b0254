"""Models as folders: ``model.safetensors`` with ``config.json``, on disk or on the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from graphs.durable import write_durably

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_pretrained(model: Any, folder: str | Path) -> None:
    """Write a model into a folder, made if needed. Each file is complete or as it was before, also after a kill; the
    config is written last.

    >>> import metanets, tempfile
    >>> model = metanets.create("flat-mlp", out=1, max_parameters=100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save_pretrained(folder)
    ...     metanets.load(folder).config["max_parameters"]
    100
    """
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = {"model": model.name, "arguments": model.config}
    # One entry alone: safetensors writes several in no fixed order, and equal models are equal files.
    write_durably(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
    write_durably(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def load(path: str | Path, device: str = "cpu") -> Any:
    """The model of a folder, or of a Hugging Face repository ``owner/name``, in evaluation mode.

    Raises ValueError for a folder without a saved model, a model of a kind not known here, and weights that are not
    those of the model in the config; each says which.
    """
    from metanets.registry import find

    folder = model_folder(path)
    config = read_config(folder)
    cls = find(config["model"])
    if not issubclass(cls, nn.Module):
        return cls.from_pretrained(folder)
    from metanets.registry import create

    model = create(config["model"], **config["arguments"])
    model.load_state_dict(read_weights(folder, model))
    return model.to(device).eval()


def model_folder(path: str | Path) -> Path:
    """The folder itself, or what was downloaded of a repository. Raises ValueError where there is neither."""
    if Path(path).is_dir():
        return Path(path)
    text = str(path)
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise ValueError(f"expected a folder with a saved model, there is none at {text}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(text, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ValueError(
            f"{text} is neither a folder nor a repository that can be read from the hub: {error}"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """``{"model", "arguments"}`` of a saved model. Raises ValueError for anything else."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"expected a saved model in {folder}, there is no {CONFIG}; give a folder of save_pretrained")
    try:
        config = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); save the model again") from error
    if not isinstance(config, dict):
        raise ValueError(f"expected an object with 'model' and 'arguments' in {path}, got a {type(config).__name__}")
    if not {"model", "arguments"} <= config.keys():
        raise ValueError(f"expected 'model' and 'arguments' in {path}, got {sorted(config)}; it is of another library")
    for name, kind in (("model", str), ("arguments", dict)):
        if not isinstance(config[name], kind):
            raise ValueError(
                f"expected {name!r} in {path} to be a {kind.__name__}, got {config[name]!r}; save the model again"
            )
    return config


def read_weights(folder: Path, model: Any) -> dict[str, Any]:
    """The tensors, which must be exactly those of ``model``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        raise ValueError(
            f"expected the weights of {model.name!r} in {path}, there is no such file; save the model again"
        )
    try:
        saved = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} cannot be read ({error}); it is truncated or damaged: save the model again"
        ) from error
    shapes = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = [n for n in sorted(expected.keys() | shapes.keys()) if expected.get(n) != shapes.get(n)]
    if wrong:
        raise ValueError(
            f"the weights in {path} are not of the {model.name!r} that {CONFIG} describes: entry {wrong[0]!r} has "
            f"shape {shapes.get(wrong[0], 'missing')}, expected {expected.get(wrong[0], 'none')} "
            f"({len(wrong)} entries differ)"
        )
    return saved
