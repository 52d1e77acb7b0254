"""The hyper-parameters a zoo may vary: their types, ranges, choices and defaults."""

from dataclasses import dataclass
from typing import Any

from zoo.population.settings import GAMMA, INITS, MOMENTUM, OPTIMISERS, SCHEDULES

# The names of graphs.families.activations, written out so that reading a spec does not wait for torch.
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "sine", "identity")


@dataclass(frozen=True)
class Hyperparameter:
    """One hyper-parameter.

    Args:
        type: str, int or float.
        default: what a network has where the spec says nothing; None where the recipe decides.
        choices: the accepted names of a str.
        low, high: the accepted range of a number, ends included.
        above: a bound that a number must exceed.
        in_recipe: whether it is an argument of the recipe rather than of the training.
        later: whether it came after the first version: at its default it leaves a network's id as it was.
    """

    type: type
    default: Any = None
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    in_recipe: bool = False
    later: bool = False

    def check(self, name: str, value: Any) -> Any:
        """``value`` in this type; raises ValueError saying what was expected and what arrived."""
        value = self._convert(name, value)
        if self.choices and value not in self.choices:
            raise ValueError(f"{name}: expected one of {', '.join(self.choices)}, got {value!r}")
        for holds, words in self._bounds(value):
            if not holds:
                raise ValueError(f"{name}: expected a value {words}, got {value!r}; change it in the spec")
        return value

    def _bounds(self, value: Any) -> list[tuple[bool, str]]:
        return [
            (self.low is None or value >= self.low, f">= {self.low}"),
            (self.high is None or value <= self.high, f"<= {self.high}"),
            (self.above is None or value > self.above, f"> {self.above}"),
        ]

    def _convert(self, name: str, value: Any) -> Any:
        # YAML reads 1e-3 (no dot) as text, so a number may arrive as str.
        try:
            converted = self.type(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: expected {self.type.__name__}, got {value!r}") from error
        numeric_loss = self.type is int and not isinstance(value, str) and converted != value
        if isinstance(value, bool) or numeric_loss or (self.type is str and not isinstance(value, str)):
            raise ValueError(f"{name}: expected {self.type.__name__}, got {value!r}")
        if (self.type is float and abs(converted) == float("inf")) or converted != converted:
            raise ValueError(f"{name}: expected a finite number, got {value!r}")
        return converted


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "activation": Hyperparameter(str, None, choices=ACTIVATIONS, in_recipe=True),
    "init": Hyperparameter(str, "default", choices=INITS),
    "init_scale": Hyperparameter(float, 1.0, above=0),
    "optimiser": Hyperparameter(str, "adam", choices=OPTIMISERS),
    "lr": Hyperparameter(float, 1e-3, above=0),
    "weight_decay": Hyperparameter(float, 0.0, low=0),
    "momentum": Hyperparameter(float, MOMENTUM, low=0, high=0.9999),
    "dropout": Hyperparameter(float, None, low=0, high=0.99, in_recipe=True),
    "train_fraction": Hyperparameter(float, 1.0, above=0, high=1),
    "width": Hyperparameter(int, None, low=1, in_recipe=True),
    "depth": Hyperparameter(int, None, low=1, in_recipe=True),
    "kernel": Hyperparameter(int, None, low=1, in_recipe=True),
    "image": Hyperparameter(int, None, low=0),
    "schedule": Hyperparameter(str, "constant", choices=SCHEDULES, later=True),
    "step_size": Hyperparameter(int, None, low=1, later=True),
    "gamma": Hyperparameter(float, GAMMA, low=0, later=True),
    "target_psnr": Hyperparameter(float, None, later=True),
    "label_noise": Hyperparameter(float, 0.0, low=0, high=1, later=True),
    "poison_fraction": Hyperparameter(float, None, low=0, high=1, later=True),
    "target_class": Hyperparameter(int, 0, low=0, later=True),
    "sparsity": Hyperparameter(float, 0.0, low=0, high=0.9999, later=True),
    "seed": Hyperparameter(int, None, low=0, high=2**31 - 1),
}


def of_identity(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that make an id: all but later ones at their default."""
    added = {name: h.default for name, h in HYPERPARAMETERS.items() if h.later}
    return {name: value for name, value in settings.items() if name not in added or value != added[name]}


# A name with this prefix is any other argument of the recipe: `arguments.channels`.
ARGUMENT = "arguments."


def check_value(name: str, value: Any) -> Any:
    """``value`` of hyper-parameter ``name`` in its type.

    >>> check_value("lr", "1e-3")
    0.001
    """
    if name.startswith(ARGUMENT) and len(name) > len(ARGUMENT):
        return value
    if name not in HYPERPARAMETERS:
        raise ValueError(
            f"unknown hyper-parameter {name!r}; expected one of {', '.join(HYPERPARAMETERS)}, "
            f"or {ARGUMENT}NAME for another argument of the recipe"
        )
    return HYPERPARAMETERS[name].check(name, value)
