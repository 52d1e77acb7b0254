"""Recipes that a foreign table names: built-in families alone, of no more than the weights that come with them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from graphs.recipe import FAMILIES, Recipe
from zoo.users import MISTAKES

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_BOUND = 4096


def checked_recipe(value: Any, state: "Mapping[str, Tensor]", where: str) -> dict[str, Any]:
    """The recipe, checked to build a network with the names and shapes of the state, without memory for it.

    Raises ValueError for a factory that is no built-in family, since importing any other would run code.
    """
    import torch

    if not isinstance(value, Mapping) or value.get("factory") not in FAMILIES:
        raise ValueError(
            f"{where}: expected a recipe of a built-in family ({', '.join(FAMILIES)}), got {str(value)[:200]}; a "
            "factory of one's own would be imported, which runs its code"
        )
    bound = max([SMALLEST_BOUND, *(n for tensor in state.values() for n in tensor.shape)])
    if any(abs(n) > bound for n in _numbers(value.get("arguments"))):
        raise ValueError(f"{where}: its recipe has numbers beyond {bound}, more than its weights: {str(value)[:200]}")
    try:
        made = Recipe.from_dict(value)
        with torch.device("meta"):
            shapes = {name: tuple(tensor.shape) for name, tensor in made.build().state_dict().items()}
    except MISTAKES as error:
        raise ValueError(f"{where}: its recipe {str(value)[:200]} cannot be built: {str(error)[:300]}") from error
    if shapes != {name: tuple(tensor.shape) for name, tensor in state.items()}:
        raise ValueError(f"{where}: its weights are not those of its recipe {str(value)[:200]}")
    return made.to_dict()


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)):
        yield value
