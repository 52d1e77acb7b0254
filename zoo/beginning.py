"""The start of a zoo: its folder, and the facts that are frozen in its manifest."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.durable import write_durably
from zoo.manifest import NAME, Manifest
from zoo.planning import Facts, PlannedMember, plan
from zoo.spec import ZooSpec

if TYPE_CHECKING:
    from zoo.sources import Dataset


def begin(spec: ZooSpec, root: Path) -> Manifest:
    """The manifest of the zoo in ``root``, which is begun if there is none.

    Raises ValueError when the folder holds something else, or the zoo of another spec.
    """
    (root / "shards").mkdir(exist_ok=True)
    if not (root / "spec.yaml").exists():
        _check_empty(root)
        write_durably(root / "spec.yaml", spec.to_yaml().encode())
    _check_same(ZooSpec.from_yaml(root / "spec.yaml"), spec, root)
    if not (root / NAME).exists():
        return Manifest.create(root, make_header(spec))
    return Manifest.read(root)


def make_header(spec: ZooSpec) -> dict[str, Any]:
    """Everything that the bytes of a zoo depend on beside its spec, found once: data, trainers, versions."""
    from zoo.sources import load

    facts = Facts(data_facts(load(**spec.data)), {r.factory: _parameters(r.factory) for r in spec.recipes})
    trainers = {name: _trainer(spec, member) for name, member in plan(spec, facts).architectures.items()}
    return {
        "spec": spec.digest,
        "data": dict(facts.data),
        "parameters": dict(facts.parameters),
        "trainers": trainers,
        "versions": versions(),
    }


def data_facts(data: "Dataset") -> dict[str, Any]:
    """What a plan needs to know of the data."""
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "input_shape": list(data.train_x.shape[1:]),
        "num_classes": data.num_classes,
        "train_size": len(data.train_x),
    }


def versions() -> dict[str, str]:
    """What decides the last bit of a trained weight: libraries, instruction set, threads."""
    from importlib.metadata import PackageNotFoundError, version

    import numpy
    import torch

    try:
        own = version("metazoo")
    except PackageNotFoundError:
        own = "0"
    cpu = torch.backends.cpu.get_cpu_capability()
    return {"metazoo": own, "torch": torch.__version__, "numpy": numpy.__version__, "cpu": cpu, "threads": "1"}


def _parameters(factory: str) -> list[str] | None:
    """Names of a factory's keyword arguments; None where it takes any."""
    from graphs.importing import resolve
    from graphs.recipe import FAMILIES

    parameters = inspect.signature(resolve(FAMILIES.get(factory, factory))).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _trainer(spec: ZooSpec, member: PlannedMember) -> dict[str, str]:
    """The trainer of one architecture and why; building its network here finds wrong arguments before any training."""
    from graphs.recipe import Recipe
    from zoo.population import why_not_stackable
    from zoo.population.initialising import random_stream
    from zoo.population.losses import find_loss

    with random_stream(0):
        Recipe.from_dict(member.full_recipe).build()
    if member.loss is not None:
        find_loss(member.loss)
    if spec.trainer == "reference":
        return {"name": "reference", "why": "the spec asks for it"}
    reason = why_not_stackable(member.recipe)
    if reason is None:
        return {"name": "stacked", "why": "many networks of one architecture train at once"}
    if spec.trainer == "stacked":
        raise ValueError(
            f"recipe {member.recipe['factory']}: the stacked trainer does not take it ({reason}); "
            "set trainer to auto or reference"
        )
    return {"name": "reference", "why": reason}


def _check_empty(root: Path) -> None:
    """A spec.yaml is the first thing a build writes, so a folder without it has to be empty."""
    found = [p.name for p in sorted(root.iterdir()) if p.name not in (".lock", "shards") and p.suffix != ".tmp"]
    if found:
        raise ValueError(
            f"expected {root} to be new, empty or a zoo, but it holds {', '.join(found[:5])}; build into another folder"
        )


def _check_same(there: ZooSpec, here: ZooSpec, root: Path) -> None:
    if there.digest == here.digest:
        return
    old, new = there.to_dict(), here.to_dict()
    differences = [f"{name}: {old[name]!r} there, {new[name]!r} here" for name in new if old[name] != new[name]]
    raise ValueError(
        f"{root} holds the zoo of another spec ({'; '.join(differences)}); build into another folder, or go on with "
        f"that one: zoo build {root / 'spec.yaml'} {root}"
    )


def check_versions(manifest: Manifest, root: Path) -> None:
    """Raise ValueError unless this process trains as the one did that began the zoo."""
    there, here = manifest.header["versions"], versions()
    differences = [f"{name} {there[name]} there, {here[name]} here" for name in there if there[name] != here.get(name)]
    if differences:
        raise ValueError(
            f"{root} was begun with other versions ({'; '.join(differences)}), and its rest would not match what is "
            "there; install those versions, or build into another folder"
        )
