"""One network of a zoo: its row, its weights over time, its graph."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from zoo.shards import Shard

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from graphs import ParameterGraph, Topology
    from graphs.layout import Layout
    from zoo.store import Store


@dataclass(frozen=True)
class Member:
    """One trained network.

    ``step`` counts its T kept states, oldest first; -1 is the last. Weights are copies: editing them leaves the zoo as
    it is.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=1, epochs=2, keep=(0, 2))
    >>> member = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)[0]
    >>> member.trajectory().shape, member.row["status"]
    (torch.Size([2, 3466]), 'ok')
    """

    store: "Store"
    number: int

    @cached_property
    def row(self) -> dict[str, Any]:
        """Its row of the zoo's table: all that is needed to make it again."""
        return self.store.row(self.number)

    @property
    def id(self) -> str:
        return self._value("id")

    @property
    def parent(self) -> "Member | None":
        """The network whose last state it started from; None for one that started anew."""
        parent = self.row.get("parent")
        return None if parent is None else Member(self.store, self.store.column("id").index(parent))

    @property
    def split(self) -> str:
        return self._value("split")

    @property
    def architecture(self) -> str:
        return self._value("architecture")

    @property
    def recipe(self) -> dict[str, Any]:
        """``Recipe.to_dict()`` with its own activation and dropout."""
        return self.store.recipe(self._value("recipe"))

    @property
    def metrics(self) -> dict[str, "np.ndarray"]:
        """By name ``[T]``, such as test_accuracy, or ``[T, classes]``: test_class_accuracy; see
        ``zoo.population.metrics``."""
        return {name: values[:, self._place] for name, values in self._shard.metrics.items()}

    @property
    def epochs(self) -> list[int]:
        """The epochs (or updates, where it was trained by steps) after which its T states were kept."""
        return self._value("epochs")

    def flat(self, step: int = -1) -> "Tensor":
        """Its weights ``[P]``: the floating state_dict entries in order."""
        return self._shard.flat(step, self._place)

    def trajectory(self) -> "Tensor":
        """All its states ``[T, P]``."""
        return self._shard.states[:, self._place].clone()

    def state_dict(self, step: int = -1) -> dict[str, "Tensor"]:
        """Its state_dict, as the trained module had it."""
        return self.layout.unflatten(self.flat(step), self.other(step))

    @property
    def layout(self) -> "Layout":
        """Where each state_dict entry lies in its weights ``[P]``."""
        return self._shard.layout

    def other(self, step: int = -1) -> dict[str, "Tensor"]:
        """The integer entries of its state_dict, which its weights ``[P]`` do not hold."""
        return self._shard.other(step, self._place)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights of all its states."""
        states = self._shard.states
        return states.element_size() * states.shape[0] * states.shape[2]

    def module(self, step: int = -1) -> "nn.Module":
        """The network itself, in evaluation mode."""
        return make_module(self.recipe, self.state_dict(step))

    @property
    def topology(self) -> "Topology":
        """Its graph without weights; ValueError says why if it has none."""
        return self.store.topology(self._value("recipe"))

    def graph(self, step: int = -1) -> "ParameterGraph":
        """Its parameter graph; ValueError says why if it has none."""
        return self.bind(self.flat(step), step)

    def bind(self, flat: "Tensor", step: int = -1) -> "ParameterGraph":
        """The parameter graph over weights ``[P]`` of its state ``step`` that are already in memory."""
        return self.topology.bind_flat(flat, self.other(step))

    @property
    def _shard(self) -> Shard:
        return self.store.shard(self._value("shard"))

    @property
    def _place(self) -> int:
        return self._value("place")

    def _value(self, name: str) -> Any:
        # A column is read once for the whole zoo; a row costs all columns.
        return self.store.column(name)[self.number]

    def __repr__(self) -> str:
        return f"Member({self.id}, {self._value('family')}, {len(self.epochs)} states, {self._value('status')})"


def make_module(recipe: dict[str, Any], state_dict: dict[str, "Tensor"]) -> "nn.Module":
    """The network of a recipe with these weights, in evaluation mode; the caller's random numbers stay as they were."""
    from graphs.recipe import Recipe
    from zoo.population.initialising import random_stream

    # The initial weights are overwritten.
    with random_stream(0):
        module = Recipe.from_dict(recipe).build()
    module.load_state_dict(state_dict)
    return module.eval()
