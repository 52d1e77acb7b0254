"""The models by name."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

_MODELS = {
    "flat-mlp": "flat_mlp:FlatMLP",
    "gmn": "graph_metanetwork:GraphMetanetwork",
    "ng-gnn": "neural_graphs:NeuralGraphGNN",
    "statnn": "statnn:StatNN",
}


def list_models() -> list[str]:
    """Names that ``create`` takes, sorted."""
    return sorted(_MODELS)


def find(name: str) -> type:
    """The class of a model. Raises ValueError for an unknown name, and lists the known ones."""
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}; choose among {', '.join(list_models())}")
    module, _, attribute = _MODELS[name].partition(":")
    return getattr(importlib.import_module(f"metanets.models.{module}"), attribute)


def create(name: str, **keywords: Any) -> Any:
    """A new model, from its name and keywords.

    All but "statnn" are nn.Modules with ``model(GraphBatch) -> [B, out]``; ``permutation_invariant`` on the class says
    which of them read the graph.

    >>> create("ng-gnn", out=10).config["width"]
    32

    Raises ValueError for an unknown name or keyword, and lists the choices.
    """
    cls = find(name)
    known = list(inspect.signature(cls.__init__).parameters)[1:]
    unknown = [keyword for keyword in keywords if keyword not in known]
    if unknown:
        raise ValueError(f"{name!r} has no keyword {unknown[0]!r}; choose among {', '.join(sorted(known))}")
    return cls(**keywords)
