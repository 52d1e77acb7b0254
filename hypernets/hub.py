"""Graph hypernetworks as folders: ``model.safetensors`` with ``config.json``, shipped here, on disk or on the Hugging
Face hub."""

from __future__ import annotations

from pathlib import Path

from hypernets.ghn.model import GHN
from hypernets.registry import create
from metanets.hub import CONFIG, model_folder, read_config, read_weights

# Trained hypernetworks that come with the package, each with its card.
SHIPPED = Path(__file__).parent / "checkpoints"


def list_checkpoints() -> list[str]:
    """Names of the trained hypernetworks that come with the package, sorted; each folder has a card, README.md.

    >>> "ghn2-digits" in list_checkpoints()
    True
    """
    return sorted(config.parent.name for config in SHIPPED.glob(f"*/{CONFIG}"))


def load(path: str | Path, device: str = "cpu") -> GHN:
    """The graph hypernetwork of a folder, of a name in :func:`list_checkpoints`, or of a Hugging Face repository
    ``owner/name``, in evaluation mode.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     create("mlp", hidden=8).save_pretrained(folder)
    ...     load(folder).config["hidden"]
    8

    Raises ValueError for a folder without a saved model, a model of a kind not known here, keywords that make none, and
    weights that are not those of the model in the config; each says which.
    """
    folder = _folder(path)
    config = read_config(folder)
    try:
        model = create(config["model"], **config["arguments"])
    except TypeError as error:
        raise ValueError(
            f"{folder / CONFIG} describes no graph hypernetwork ({error}); save the model again"
        ) from error
    model.load_state_dict(read_weights(folder, model))
    return model.to(device).eval()


def _folder(path: str | Path) -> Path:
    """Where a model lies. Raises ValueError, with the names that there are, for a single word that is none of them."""
    text = str(path)
    if Path(path).is_dir() or "/" in text:
        return model_folder(path)
    if text not in list_checkpoints():
        raise ValueError(
            f"expected a folder, a repository owner/name or one of {', '.join(list_checkpoints())}; there is no {text}"
        )
    return SHIPPED / text
