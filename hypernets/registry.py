"""The graph hypernetworks by name."""

from __future__ import annotations

import inspect
from typing import Any

from hypernets.ghn.model import GHN

# What differs from the keywords of GHN-2. https://arxiv.org/abs/1810.05749, 2110.13100, 2303.04143, 2405.16287
# The MLP and GHN-1 trained on DeepNets-1M decode as GHN-2 does; the decoder of the first GHN-1 is ``decoder="mlp"``.
_MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"propagation": "none"},
    "ghn1": {"virtual_edges": False, "layer_norm": False, "weight_norm": False},
    "ghn2": {},
    "ghn3": {"propagation": "graphormer", "decoder": "linear", "hidden": 64},
    "logah": {
        "propagation": "graphormer",
        "decoder": "low_rank",
        "hidden": 64,
        "max_shape": (2048, 2048, 16, 16),
    },
}


def list_models() -> list[str]:
    """Names that ``create`` takes, sorted."""
    return sorted(_MODELS)


def create(name: str, **keywords: Any) -> GHN:
    """A new graph hypernetwork, from its name and the keywords of :class:`hypernets.ghn.model.GHN` that shall differ.

    >>> create("ghn3", num_classes=100).config["hidden"]
    64

    Raises ValueError for an unknown name or keyword, and lists the choices.
    """
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}; choose among {', '.join(list_models())}")
    known = list(inspect.signature(GHN.__init__).parameters)[2:]
    unknown = [keyword for keyword in keywords if keyword not in known]
    if unknown:
        raise ValueError(f"{name!r} has no keyword {unknown[0]!r}; choose among {', '.join(sorted(known))}")
    return GHN(name, **{**_MODELS[name], **keywords})
