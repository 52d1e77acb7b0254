"""The start of a zoo: its folder, and the facts that are frozen in its manifest."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import temporaries, write_durably
from zoo.manifest import NAME, Manifest
from zoo.planning import plan, planned_recipes
from zoo.plans import Facts, PlannedMember
from zoo.spec import ZooSpec
from zoo.trainers import choose_trainers
from zoo.users import blamed_on

if TYPE_CHECKING:
    from zoo.sources import Dataset


def begin(spec: ZooSpec, root: Path, device: str = "cpu") -> Manifest:
    """The manifest of the zoo in ``root``, which is begun if there is none.

    A spec that fails here leaves the folder unclaimed: nothing is written before the data are read and every network
    has been tried. ``device`` is where the stacked trainer is to train: cpu or cuda. Raises ValueError when the folder
    holds something else, or the zoo of another spec.
    """
    manifest = _find_manifest(root)
    if manifest is not None and "imported" in manifest.header:
        raise ValueError(
            f"expected {root} to be free for a zoo, but it holds an imported one; build into another folder"
        )
    if manifest is None or _may_be_replaced(manifest, spec, root):
        manifest = _claim(root, spec, make_header(spec, device))
    there = _read_spec(manifest, spec, root)
    _check_unedited(there, manifest.header, root)
    _check_same(there, spec, root)
    (root / "shards").mkdir(exist_ok=True)
    return manifest


def _find_manifest(root: Path) -> Manifest | None:
    """The manifest of the zoo in a folder; None when the folder is free for one."""
    if (root / NAME).exists():
        return Manifest.read(root)
    if (root / "spec.yaml").exists() and _shard_files(root):
        raise ValueError(
            f"expected {root / NAME} beside the {len(_shard_files(root))} shards of {root / 'shards'}, but it is "
            "missing; restore it from a copy, or build into another folder (nothing was deleted)"
        )
    _check_empty(root)
    return None


def _may_be_replaced(manifest: Manifest, spec: ZooSpec, root: Path) -> bool:
    """Whether the folder holds another spec of which no network was ever trained."""
    return manifest.header["spec"] != spec.digest and not manifest.shards and not _shard_files(root)


def _claim(root: Path, spec: ZooSpec, header: dict[str, Any]) -> Manifest:
    """Write the first files of a zoo; without a manifest a folder is still free, so that comes last."""
    (root / NAME).unlink(missing_ok=True)
    path = root / "spec.yaml"
    if not path.exists() or _is_written_form(path):
        write_durably(path, spec.to_yaml().encode())
    # A hand-written one stays as it is, comments and all, so it has to say the same.
    _check_same(ZooSpec.from_yaml(path), spec, root)
    return Manifest.create(root, header)


def _is_written_form(path: Path) -> bool:
    """Whether a spec reads as a build writes it."""
    return ZooSpec.from_yaml(path).to_yaml().encode() == path.read_bytes()


def _read_spec(manifest: Manifest, spec: ZooSpec, root: Path) -> ZooSpec:
    """The spec in a zoo's folder, which is written again where it is lost or damaged and is known to be this one."""
    path = root / "spec.yaml"
    try:
        return ZooSpec.from_yaml(path)
    except ValueError as error:
        if manifest.header["spec"] != spec.digest:
            raise ValueError(
                f"{error}; the file is damaged or lost: give `zoo build` the spec that {root} was begun with, "
                "which mends it"
            ) from error
    write_durably(path, spec.to_yaml().encode())
    return spec


def _shard_files(root: Path) -> list[Path]:
    return sorted((root / "shards").glob("shard-*.safetensors"))


def make_header(spec: ZooSpec, device: str = "cpu") -> dict[str, Any]:
    """Everything that the bytes of a zoo depend on beside its spec, found once: data, trainers, versions."""
    from zoo.sources import load

    data = load(**spec.data)
    known = data_facts(data)
    recipes = [recipe for entry in planned_recipes(spec, known) for recipe in entry]
    facts = Facts(known, {recipe.factory: _parameters(recipe.factory) for recipe in recipes})
    planned = plan(spec, facts)
    for member in planned.architectures.values():
        with blamed_on(member.recipe["factory"]):
            _try(spec, member, data)
    trainers = choose_trainers(spec, planned, data, device)
    return {
        "spec": spec.digest,
        "content": spec.to_dict(),
        "data": dict(facts.data),
        "parameters": dict(facts.parameters),
        "trainers": trainers,
        "versions": versions(compiled=any(t["name"] == "native" for t in trainers.values())),
    }


def data_facts(data: "Dataset") -> dict[str, Any]:
    """What a plan needs to know of the data; a vocabulary only where they are tokens."""
    facts = {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "input_shape": list(data.train_x.shape[1:]),
        "num_classes": data.num_classes,
        "train_size": len(data.train_x),
    }
    return facts if data.vocabulary is None else {**facts, "vocabulary": data.vocabulary}


def versions(compiled: bool = False) -> dict[str, str]:
    """What decides the last bit of a trained weight: libraries, instruction set, threads; ``compiled``: the native
    trainer's code, compiler and processor too."""
    from importlib.metadata import PackageNotFoundError, version

    import numpy
    import torch

    from zoo.population.native_build import TRAINER

    try:
        own = version("metazoo")
    except PackageNotFoundError:
        own = "0"
    cpu = torch.backends.cpu.get_cpu_capability()
    own_code = {"native": TRAINER.fingerprint()} if compiled else {}
    found = {"metazoo": own, "torch": torch.__version__, "numpy": numpy.__version__, "cpu": cpu, "threads": "1"}
    return found | own_code


def _parameters(factory: str) -> list[str] | None:
    """Names of a factory's keyword arguments; None where it takes any."""
    from graphs.importing import resolve
    from graphs.recipe import FAMILIES

    parameters = inspect.signature(resolve(FAMILIES.get(factory, factory))).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _try(spec: ZooSpec, member: PlannedMember, data: "Dataset") -> None:
    """Make the network and let it meet the data and the loss, which finds a mistake before any training."""
    import torch

    from zoo.population.initialising import initialise
    from zoo.population.losses import check_loss, loss_name
    from zoo.population.samples import JobSamples, check_network
    from zoo.training import make_job

    job = make_job([member], spec.length, spec.batch_size, spec.keep or ())
    name, samples = loss_name(job.loss, job.fits_images), JobSamples(job, data, torch.float32).of(job.settings[0])
    module = initialise(job.recipe, job.settings[0])
    check_network(module, job.recipe, samples, name)
    check_loss(name, module, samples.train_x[: spec.batch_size], samples.train_y[: spec.batch_size])


def _check_empty(root: Path) -> None:
    """Raise ValueError for any file but the spec and the temporaries of a build that died at its beginning."""
    own = {root / ".lock", root / "shards", *temporaries(root, "spec.yaml"), *temporaries(root, NAME)}
    own |= {root / "spec.yaml", *temporaries(root / "shards", "shard-*.safetensors")}
    found = [str(p.relative_to(root)) for p in sorted({*root.iterdir(), *(root / "shards").glob("*")} - own)]
    if found:
        raise ValueError(
            f"expected {root} to be new, empty or a zoo, but it holds {', '.join(found[:5])}; build into another folder"
        )


def _check_unedited(there: ZooSpec, header: Mapping[str, Any], root: Path) -> None:
    """Raise ValueError with what has changed when the spec in the folder was edited after the build began."""
    if there.digest == header["spec"]:
        return
    # Zoos of format 1 know the digest of their spec alone.
    changed = _differences(header.get("content", {}), there.to_dict(), "when begun", "now")
    raise ValueError(
        f"{root / 'spec.yaml'} was edited after the build began ({changed or 'what is not known'}); undo that, or "
        "delete the file and give `zoo build` the spec as it was, or build the edited one into another folder"
    )


def _check_same(there: ZooSpec, here: ZooSpec, root: Path) -> None:
    if there.digest == here.digest:
        return
    raise ValueError(
        f"{root} holds the zoo of another spec ({_differences(there.to_dict(), here.to_dict(), 'there', 'here')}); "
        f"build into another folder, or go on with that one: zoo build {root / 'spec.yaml'} {root}"
    )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], before: str, after: str) -> str:
    """The fields that both have, and have differently."""
    changed = [name for name in new if name in old and old[name] != new[name]]
    return "; ".join(f"{name}: {old[name]!r} {before}, {new[name]!r} {after}" for name in changed)


def check_versions(manifest: Manifest, root: Path) -> None:
    """Raise ValueError unless this process trains as the one did that began the zoo."""
    there = manifest.header["versions"]
    here = versions(compiled="native" in there)
    differences = [f"{name} {there[name]} there, {here[name]} here" for name in there if there[name] != here.get(name)]
    if differences:
        raise ValueError(
            f"{root} was begun with other versions ({'; '.join(differences)}), and its rest would not match what is "
            "there; install those versions, or build into another folder"
        )
