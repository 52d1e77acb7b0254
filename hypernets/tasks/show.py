"""``hypernets list`` and ``hypernets show``: which graph hypernetworks there are, and what one of them is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ListRun:
    """List the models, and the trained checkpoints that come with the package.

    Args:
        json: as JSON.
    """

    json: bool = False


@dataclass(frozen=True)
class ShowRun:
    """Tell what a saved hypernetwork is: its kind, sizes, training and the words it knows.

    Args:
        checkpoint: a shipped one (`hypernets list`), a saved folder, a hub repository, or a published .pt file.
        json: as JSON.
    """

    checkpoint: str
    json: bool = False


def list_(run: ListRun) -> None:
    """Print the names."""
    import json

    from hypernets.hub import list_checkpoints
    from hypernets.registry import list_models

    names = {"models": list_models(), "checkpoints": list_checkpoints()}
    lines = (f"{kind:<12} {' '.join(found)}" for kind, found in names.items())
    print(json.dumps(names) if run.json else "\n".join(lines))


def show(run: ShowRun) -> None:
    """Print the facts of one."""
    import json

    from hypernets.ghn.architecture import PRIMITIVES
    from hypernets.tasks.predict import checkpoint

    ghn = checkpoint(run.checkpoint)
    config = dict(ghn.config)
    facts = {"model": ghn.name, "parameters": sum(p.numel() for p in ghn.parameters()), **config}
    facts["primitives"] = list(PRIMITIVES[: config["primitives"]])
    if run.json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:<16} {' '.join(map(str, value)) if isinstance(value, list) else value}")
