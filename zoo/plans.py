"""What a plan is made of: the facts it rests on, the networks to train, the shards they go to."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.digests import digest


@dataclass(frozen=True)
class Facts:
    """What a plan must know and a spec does not say; stored with a zoo when its building starts.

    Args:
        data: name, fingerprint, input_shape, num_classes, train_size and, if they are tokens, vocabulary of the data.
        parameters: factory -> names of its keyword arguments; None where it takes any.
    """

    data: Mapping[str, Any]
    parameters: Mapping[str, list[str] | None]


@dataclass(frozen=True)
class PlannedMember:
    """A network to train.

    Args:
        id: digest of all that follows: equal networks have equal ids in every zoo.
        recipe: ``Recipe.to_dict()`` without the activation and the dropout, which a trainer sets for each network.
        loss: the user's own loss, if any.
        settings: seed, activation, dropout, image and the hyper-parameters of its training.
        varied: the hyper-parameters that went into the recipe (width, depth, kernel, arguments.NAME).
        parent: id of the network whose trained weights it starts from; None for the first generation.
        root: id of its first ancestor; None for the first generation.
        generation: how many ancestors it has.
    """

    id: str
    recipe: dict[str, Any]
    loss: str | None
    settings: dict[str, Any]
    varied: dict[str, Any]
    parent: str | None = None
    root: str | None = None
    generation: int = 0

    @property
    def architecture(self) -> str:
        """Digest of what all networks of one shard share."""
        return architecture_digest(self.recipe, self.loss)

    @property
    def full_recipe(self) -> dict[str, Any]:
        """The recipe with the network's own activation and dropout: what re-creates its module."""
        own = {k: self.settings[k] for k in ("activation", "dropout") if self.settings[k] is not None}
        return {**self.recipe, "arguments": {**self.recipe["arguments"], **own}}


@dataclass(frozen=True)
class PlannedShard:
    """Networks of one architecture and generation, trained and stored together; ``members`` are their numbers."""

    index: int
    architecture: str
    members: tuple[int, ...]
    generation: int = 0

    @property
    def file(self) -> str:
        return f"shards/shard-{self.index:05d}.safetensors"


@dataclass(frozen=True)
class Plan:
    """All networks of a zoo, in order, with the shards they go to."""

    members: tuple[PlannedMember, ...]
    shards: tuple[PlannedShard, ...]

    @cached_property
    def places(self) -> dict[str, tuple[PlannedShard, int]]:
        """Shard and place in it of each network by id."""
        return {self.members[m].id: (shard, i) for shard in self.shards for i, m in enumerate(shard.members)}

    @property
    def architectures(self) -> dict[str, PlannedMember]:
        """The first network of each architecture."""
        return {shard.architecture: self.members[shard.members[0]] for shard in reversed(self.shards)}


def architecture_digest(recipe: Mapping[str, Any], loss: str | None) -> str:
    """Sixteen digits that name a recipe without activation and dropout, with its loss."""
    return digest([recipe, loss])[:16]
