"""One network of a foreign zoo, as an importer hands it over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from zoo.digests import canonical_json
from zoo.users import MISTAKES

if TYPE_CHECKING:
    from torch import Tensor

    from graphs.layout import Layout
    from zoo.importers.sources import Sources

OWN = "zoo.importers.networks:"


@dataclass(frozen=True)
class ForeignNetwork:
    """A trained network with its kept states, oldest first.

    Args:
        source: its file or folder, below the folder that is imported.
        recipe: ``Recipe.to_dict()`` of what re-creates its module.
        layout: where its weights lie in P.
        epochs: the epochs after which its T states were kept.
        states: ``[T, P]``.
        metrics: T values by name; NaN where the source tells none.
        settings: its hyper-parameters by our names, where they mean the same.
        columns: what else the source tells, by the names of the source.
        label: class of the image it fits.
        other: integer entries ``[T, ...]`` by name.
    """

    source: str
    recipe: dict[str, Any]
    layout: "Layout"
    epochs: tuple[int, ...]
    states: "Tensor"
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    label: int | None = None
    other: Mapping[str, "Tensor"] = field(default_factory=dict)


Importer = Callable[["Sources"], Iterator[ForeignNetwork]]


def recipe(factory: str, **arguments: Any) -> dict[str, Any]:
    """A recipe as plain data; one's own factory takes an ``input_shape`` of one input beside its arguments."""
    shape = arguments.pop("example_shape", None)
    made = {"factory": factory, "arguments": arguments}
    return made if shape is None else {**made, "input_shape": list(shape)}


def unknown(state: "Mapping[str, Tensor]", why: str) -> dict[str, Any]:
    """The recipe of a network whose architecture the source does not tell; building it says why."""
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    return recipe(f"{OWN}unknown", why=why, shapes=shapes)


def layout_of(made: Mapping[str, Any]) -> "Layout":
    """The layout of a recipe's network."""
    return _layout(canonical_json(made))


@lru_cache(maxsize=4096)
def _layout(text: str) -> "Layout":
    import json

    from graphs.layout import flat_layout
    from graphs.recipe import Recipe
    from zoo.population.initialising import random_stream

    with random_stream(0):
        try:
            return flat_layout(Recipe.from_dict(json.loads(text)).build())
        except MISTAKES as error:
            raise ValueError(f"the architecture {text[:300]} cannot be built: {str(error)[:300]}") from error


def in_order(layout: "Layout", tensors: "Sequence[Tensor]", where: str) -> "Tensor":
    """P of tensors that stand in the order of the layout, whatever their names; raises ValueError for a misfit."""
    import torch

    expected, found = [entry.shape for entry in layout.stored], [tuple(tensor.shape) for tensor in tensors]
    if expected != found:
        raise ValueError(f"{where}: expected weights of shapes {expected}, got {str(found)[:500]}")
    dtypes = {tensor.dtype for tensor in tensors}
    if dtypes != {torch.float32}:
        raise ValueError(f"{where}: expected float32 weights, got {', '.join(sorted(map(str, dtypes)))}")
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
