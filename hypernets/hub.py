"""Graph hypernetworks as folders: ``model.safetensors`` with ``config.json``, on disk or on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from hypernets.ghn.model import GHN
from hypernets.registry import create
from metanets.hub import CONFIG, model_folder, read_config, read_weights


def load(path: str | Path, device: str = "cpu") -> GHN:
    """The graph hypernetwork of a folder, or of a Hugging Face repository ``owner/name``, in evaluation mode.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     create("mlp", hidden=8).save_pretrained(folder)
    ...     load(folder).config["hidden"]
    8

    Raises ValueError for a folder without a saved model, a model of a kind not known here, keywords that make none, and
    weights that are not those of the model in the config; each says which.
    """
    folder = model_folder(path)
    config = read_config(folder)
    try:
        model = create(config["model"], **config["arguments"])
    except TypeError as error:
        raise ValueError(
            f"{folder / CONFIG} describes no graph hypernetwork ({error}); save the model again"
        ) from error
    model.load_state_dict(read_weights(folder, model))
    return model.to(device).eval()
