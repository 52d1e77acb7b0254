"""What every metanetwork is: an nn.Module with a name and the keywords that make it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from graphs import GraphBatch


class Metanet(nn.Module, PyTorchModelHubMixin):
    """A network that reads networks: ``model(batch)`` gives ``[B, out]``.

    A subclass sets ``name`` and ``permutation_invariant`` (whether the order of a network's hidden neurons is invisible
    to it) and passes its keywords on. Saved and loaded by :mod:`metanets.hub`; ``push_to_hub`` is that of
    huggingface_hub.

    Args:
        config: keywords of the subclass, JSON values only.
    """

    name: ClassVar[str]
    permutation_invariant: ClassVar[bool]

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}

    def forward(self, batch: GraphBatch) -> Tensor:
        raise NotImplementedError

    def save_pretrained(
        self, save_directory: str | Path, *, push_to_hub: bool = False, repo_id: str | None = None, **options: Any
    ) -> str | None:
        """Write ``model.safetensors`` and ``config.json`` into a folder; see :func:`metanets.hub.save_pretrained`.

        Args:
            save_directory: the folder.
            push_to_hub: whether to upload it too, as ``repo_id`` (name of the folder), with these ``options`` of
                huggingface_hub; then the address of the commit is returned.
        """
        from metanets.hub import save_pretrained

        save_pretrained(self, save_directory)
        return self.push_to_hub(repo_id or Path(save_directory).name, **options) if push_to_hub else None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path) -> Metanet:
        """The model saved in a folder or a Hub repository; see :func:`metanets.hub.load`."""
        from metanets.hub import load

        model = load(pretrained_model_name_or_path)
        if not isinstance(model, cls):
            raise ValueError(
                f"expected a saved {cls.name!r}, {pretrained_model_name_or_path} holds a {model.name!r}; "
                "metanets.load takes any"
            )
        return model
