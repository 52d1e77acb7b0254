"""Making a network again from its row alone."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.hyperparameters import HYPERPARAMETERS
from zoo.member import Member
from zoo.planning import SETTINGS
from zoo.plans import PlannedMember
from zoo.training import load_checked, make_job, one_thread

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.sources import Dataset


def recreate(member: Member | Mapping[str, Any], data: "Dataset | None" = None) -> "Tensor":
    """Train the network of one row again: its states ``[T, P]``, as they are in the zoo.

    Args:
        member: a network, or its row of the table; nothing else of the zoo is read but the last state of its parent.
        data: the data it was trained on, if they are at hand; otherwise loaded as the row says.

    Bits agree under the library versions and the instruction set of the row. One of the stacked trainer is trained
    alone and on the processor, and agrees up to rounding; ``zoo.comparing`` measures it. Raises ValueError for an
    imported network, and when the data are no longer the same.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec({"source": "digits", "limit": 50}, ("mlp",), members=2, epochs=1, trainer="reference")
    >>> member = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)[1]
    >>> bool((zoo.recreate(member.row) == member.trajectory()).all())
    True
    """
    from zoo.population import train

    row, parent = (member.row, member.parent) if isinstance(member, Member) else (member, None)
    if row["trainer"] == "imported":
        raise ValueError(
            f"{row['id']} was trained elsewhere and imported ({row['format']}: {row['source']}), so that it cannot be "
            "trained again here; its weights are in the zoo: member.module()"
        )
    if row.get("parent") is not None and parent is None:
        raise ValueError(
            f"{row['id']} started from the weights of {row['parent']}, which its row does not hold; give the network "
            "itself, zoo.open(OUT).find(ID), in place of its row"
        )
    if data is None:
        data = load_checked(json.loads(row["data"]), row["data_fingerprint"])
    starts = () if parent is None else (parent.state_dict(),)
    job = make_job([_planned(row)], _length(row), row["batch_size"], row["epochs"], starts)
    with one_thread():
        return train(job, data, trainer=row["trainer"]).states[:, 0]


def _length(row: Mapping[str, Any]) -> dict[str, int]:
    """How long it was trained, in epochs or updates."""
    return {"epochs": row["train_epochs"]} if row.get("train_steps") is None else {"steps": row["train_steps"]}


def _planned(row: Mapping[str, Any]) -> PlannedMember:
    """The network as the plan of its zoo had it."""
    recipe = json.loads(row["recipe"])
    names = [*SETTINGS, "seed", "image"]
    assert set(names) <= HYPERPARAMETERS.keys()
    # Zoos of older versions know fewer of them.
    settings = {name: row.get(name, HYPERPARAMETERS[name].default) for name in names}
    # Activation and dropout already stand in the row's recipe.
    return PlannedMember(row["id"], recipe, row["loss"], settings, {})
