"""How a zoo was made and what is in it, as plain data."""

from collections import Counter
from typing import Any

from zoo.hyperparameters import ARGUMENT, HYPERPARAMETERS
from zoo.store import Zoo

LISTED = 12
SETTINGS = (*HYPERPARAMETERS, "train_epochs", "train_steps", "batch_size")


def about(zoo: Zoo, states: str, licence: str) -> dict[str, Any]:
    """Sizes, splits, hyper-parameters and origin of a zoo's networks, from its manifest and table."""
    header, spec = zoo.store.manifest.header, zoo.root / "spec.yaml"
    count = {name: _counts(zoo, name) for name in ("split", "status", "family", "trainer")}
    return {
        "networks": len(zoo),
        "states": len(zoo.samples(states)),
        "which_states": states,
        "parameters": _parameters(zoo),
        "splits": count["split"],
        "status": count["status"],
        "families": count["family"],
        "trainers": count["trainer"],
        "hyperparameters": _hyperparameters(zoo),
        "imported": header.get("imported"),
        "data": header.get("data"),
        "versions": header.get("versions"),
        "spec": spec.read_text() if spec.is_file() else None,
        "licence": licence,
    }


def about_text(facts: dict[str, Any]) -> str:
    """The facts as the file ``about.yaml``."""
    import yaml

    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)


def _counts(zoo: Zoo, name: str) -> dict[str, int]:
    return dict(sorted(Counter(zoo.arrow_column(name).to_pylist()).items(), key=lambda pair: str(pair[0])))


def _parameters(zoo: Zoo) -> dict[str, int]:
    """Weights of a network of each architecture."""
    names = zoo.arrow_column("architecture").to_pylist()
    first = {name: len(names) - 1 - place for place, name in enumerate(reversed(names))}
    return {name: len(zoo[place].flat()) for name, place in first.items()}


def _hyperparameters(zoo: Zoo) -> dict[str, Any]:
    """Of every hyper-parameter that some network has: its values, or their range where there are many."""
    names = [n for n in zoo.store.table.column_names if n in SETTINGS or n.startswith(ARGUMENT)]
    found = {name: _values(zoo.arrow_column(name).unique().drop_null().to_pylist()) for name in names}
    return {name: values for name, values in found.items() if values}


def _values(values: list[Any]) -> list[Any] | dict[str, Any]:
    values = sorted(values)
    if len(values) <= LISTED:
        return values
    return {"from": values[0], "to": values[-1], "distinct": len(values)}
