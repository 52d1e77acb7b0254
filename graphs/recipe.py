"""A Recipe: how to make one untrained network, in a form that a file can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from graphs.importing import resolve

if TYPE_CHECKING:
    from torch import Tensor, nn

FAMILIES: dict[str, str] = {
    "mlp": "graphs.families.mlp:MLP",
    "siren": "graphs.families.siren:Siren",
    "cnn": "graphs.families.cnn:CNN",
    "vgg": "graphs.families.vgg:VGG",
    "resnet": "graphs.families.resnet:ResNet",
    "mobilenet": "graphs.families.mobilenet:MobileNet",
    "vit": "graphs.families.vit:ViT",
    "gpt": "graphs.families.gpt:GPT",
    "bottleneck": "graphs.families.bottleneck:BottleneckResNet",
    "deepnet": "graphs.deepnets.network:DeepNet",
}


@dataclass(frozen=True)
class Recipe:
    """How to make an untrained network: a family or a user's factory, with its arguments.

    Args:
        factory: a built-in family, one of ``FAMILIES``, or ``module:factory``, anything that returns an nn.Module.
        arguments: keyword arguments of the factory; only what JSON can hold.
        input_shape: shape of one input without the batch axis; needed by ``example_input`` for a user's own factory.
        vocabulary: number of tokens, where the inputs of a user's own factory are tokens.

    Raises ValueError for an unknown family or arguments that JSON cannot hold.

    >>> recipe = Recipe("mlp", {"inputs": 4, "hidden": [3], "outputs": 2})
    >>> sum(p.numel() for p in recipe.build().parameters())
    23
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        if self.factory not in FAMILIES and ":" not in self.factory:
            raise ValueError(
                f"unknown family {self.factory!r}; choose one of {', '.join(FAMILIES)}, "
                "or name your own as 'module:factory'"
            )
        # A copy through JSON: the recipe cannot change when the caller's dict does, and lists equal tuples.
        object.__setattr__(self, "arguments", json.loads(_dumps(self.arguments)))
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", tuple(int(n) for n in self.input_shape))

    def __hash__(self) -> int:
        return hash(_dumps(self.to_dict()))

    def with_arguments(self, **changes: Any) -> Recipe:
        """The same recipe with some arguments set to other values."""
        return replace(self, arguments={**self.arguments, **changes})

    def build(self) -> nn.Module:
        """A new network, its weights drawn from torch's global generator as the layers do by themselves."""
        from torch import nn

        name = FAMILIES.get(self.factory, self.factory)
        make = resolve(name)
        try:
            module = make(**self.arguments)
        except TypeError as error:
            raise ValueError(f"{name} does not take the arguments {dict(self.arguments)}: {error}") from error
        if not isinstance(module, nn.Module):
            raise ValueError(f"{name} returned a {type(module).__name__}, expected a torch.nn.Module")
        return module

    def example_input(self, batch: int = 2) -> tuple[Tensor, ...]:
        """Inputs the network accepts, the same ones every time: ``[batch, *shape]``."""
        from graphs.families.probe import normal_input, token_input

        if self.factory in FAMILIES:
            return resolve(FAMILIES[self.factory]).example_input(batch=batch, **self.arguments)
        if self.input_shape is None:
            raise ValueError(
                f"the inputs of {self.factory!r} are not known; give the recipe an input_shape, the shape of one input "
                "without the batch axis, such as input_shape: [1, 28, 28]"
            )
        if self.vocabulary is not None:
            return token_input(batch, self.input_shape, self.vocabulary)
        return normal_input(batch, self.input_shape)

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {"factory": self.factory, "arguments": dict(self.arguments)}
        if self.input_shape is not None:
            row["input_shape"] = list(self.input_shape)
        return row if self.vocabulary is None else {**row, "vocabulary": self.vocabulary}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Recipe:
        """The recipe that ``to_dict`` wrote; an unknown key is an error."""
        unknown = set(row) - {"factory", "arguments", "input_shape", "vocabulary"}
        if unknown or "factory" not in row:
            raise ValueError(f"a recipe has the keys factory, arguments, input_shape and vocabulary, got {sorted(row)}")
        return cls(row["factory"], row.get("arguments") or {}, row.get("input_shape"), row.get("vocabulary"))


def _dumps(value: Any) -> str:
    try:
        return json.dumps(value if not isinstance(value, Mapping) else dict(value), sort_keys=True)
    except TypeError as error:
        raise ValueError(
            f"recipe arguments must be numbers, strings, lists and dicts, got {value!r}: {error}"
        ) from error
