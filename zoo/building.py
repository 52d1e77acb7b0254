"""Building a zoo: begin or resume a folder, train what is missing, then derive the table."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import temporaries, write_durably
from zoo.beginning import begin, check_versions
from zoo.engines import PATIENCE, EngineOptions, Event, choose
from zoo.locking import builder_lock
from zoo.manifest import NAME, Manifest, fault, file_record, size_fault
from zoo.mirroring import Mirror, is_url
from zoo.planning import plan
from zoo.plans import Plan, PlannedShard
from zoo.progress import BuildProgress
from zoo.shards import Shard
from zoo.spec import ZooSpec
from zoo.stopping import BuildError, told
from zoo.table import make_table, table_bytes
from zoo.topologies import topology_files, trace_recipes

if TYPE_CHECKING:
    from zoo.engines.choosing import Engine
    from zoo.store import Zoo

# What a build writes, as patterns.
OWN_FILES = ("spec.yaml", NAME, "table.arrow", "recipes.json", "shards/shard-*.safetensors", "topologies/*.json")


def build(
    spec: ZooSpec | Mapping[str, Any] | str | Path,
    out: str | Path,
    engine: str = "local",
    workers: int | None = None,
    progress: bool = True,
    address: str | None = None,
    patience: float = PATIENCE,
    gpus: float = 0.0,
) -> "Zoo":
    """Train the networks of a spec into a folder, or go on with a folder where this was begun.

    A shard counts once its checksum stands in the manifest: a build that is killed at any moment goes on, and ends in
    the same bytes as one that was not disturbed, whatever the number of workers.

    Args:
        spec: the zoo to build, its content as a mapping, or its YAML file.
        out: the folder; new, empty, or with this very zoo. A URL that fsspec reaches (``s3://...``) gets a copy of what
            is acknowledged, as it comes; the build itself is in a folder of this machine (``zoo.mirroring``).
        engine: one of ``zoo.engines.ENGINES``: ``local``, ``ray``, ``slurm``; ``inline`` trains in this process.
        workers: one-thread processes; by default one a core of the machine or the cluster. 0 is the engine ``inline``.
        progress: show a bar with members a second and the time left on standard error.
        address: of the Ray cluster; None starts one on this machine. For Slurm see ``zoo.engines.slurm_arrays``.
        patience: seconds without a batch trained after which a worker counts as hung, is killed and replaced.
        gpus: share of a GPU leased to each shard, by Ray or Slurm. A zoo that is begun with one trains on it whatever
            the stacked trainer takes.

    Returns the zoo. Raises ValueError for a bad spec, a folder of another zoo or one at which another build is at work;
    BuildError when training raised or the disk is full; KeyboardInterrupt with how to go on.

    >>> import tempfile
    >>> spec = ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=2, epochs=1)
    >>> len(build(spec, tempfile.mkdtemp(), workers=0, progress=False))
    2
    """
    from zoo.store import open_zoo

    spec, options = _spec(spec), EngineOptions(workers, address, patience, gpus)
    chosen = choose(engine, options)
    mirror = Mirror(str(out)) if is_url(out) else None
    root = mirror.fetch() if mirror else Path(out)
    chosen = mirror.watch(chosen) if mirror else chosen
    with told(spec, root, out), builder_lock(_folder(root)):
        manifest = begin(spec, root, device="cuda" if gpus else "cpu")
        planned = plan(spec, manifest.facts)
        _train(root, manifest, planned, chosen, options, progress)
        _finish(spec, root, manifest, planned)
        if mirror:
            mirror.finish()
    return open_zoo(root)


def _spec(spec: ZooSpec | Mapping[str, Any] | str | Path) -> ZooSpec:
    if isinstance(spec, ZooSpec):
        return spec
    return ZooSpec.from_dict(spec) if isinstance(spec, Mapping) else ZooSpec.from_yaml(spec)


def _folder(root: Path) -> Path:
    """The folder, made where it is not there."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"expected a folder to build into, but {root} is or lies in a file; give another") from error
    return root


def _train(
    root: Path,
    manifest: Manifest,
    planned: Plan,
    engine: "Engine",
    options: EngineOptions,
    progress: bool,
) -> None:
    """Train every shard that is not safely there."""
    manifest.repair()
    missing = [s for s in planned.shards if not _is_safe(root, manifest, s.index)]
    _sweep(root, {shard.file for shard in planned.shards} - {shard.file for shard in missing})
    if not missing:
        return
    check_versions(manifest, root)
    errors: list[str] = []
    with BuildProgress(planned, missing, progress) as shown:

        def tell(event: Event) -> None:
            event = _acknowledged(root, manifest, event)
            if event.error is not None:
                errors.append(event.error)
            shown.tell(event)

        for generation in _generations(missing):
            engine(root, generation, options, tell)
            if errors:
                break
    _sweep_temporaries(root)
    if errors:
        raise BuildError(
            f"{len(errors)} of {len(planned.shards)} shards could not be trained; the others are safe in {root}, and "
            "building again tries these anew:\n" + "\n".join(sorted(errors))
        )


def _generations(missing: list[PlannedShard]) -> list[list[int]]:
    """The shards of each generation: parents are safe before any child starts from what they became."""
    return [
        [shard.index for shard in missing if shard.generation == generation]
        for generation in sorted({shard.generation for shard in missing})
    ]


def _acknowledged(root: Path, manifest: Manifest, event: Event) -> Event:
    """The event, its record written into the manifest if it has one whose shard has arrived."""
    if event.disk:
        raise OSError(event.disk, event.error)
    if event.record is None:
        return event
    # A worker of another machine may have written to a folder of the same name.
    if lost := size_fault(root, event.record["file"], event.record):
        told = f"shard {event.shard}: {event.record['file']} {lost}; all machines have to share the folder {root}"
        return Event(event.shard, error=told)
    manifest.add_shard(event.record)
    return event


def _is_safe(root: Path, manifest: Manifest, index: int) -> bool:
    record = manifest.shards.get(index)
    if record is None:
        return False
    wrong = fault(root, record["file"], record)
    if wrong:
        print(f"zoo: {record['file']} {wrong}; it is trained again", file=sys.stderr)
    return wrong is None


def _sweep(root: Path, safe: set[str]) -> None:
    """Delete what a killed build left: temporary files, and shards that were never acknowledged."""
    _sweep_temporaries(root)
    for path in (root / "shards").glob("shard-*.safetensors"):
        if f"shards/{path.name}" not in safe:
            path.unlink(missing_ok=True)


def _sweep_temporaries(root: Path) -> None:
    for name in OWN_FILES:
        for path in temporaries((root / name).parent, Path(name).name):
            path.unlink(missing_ok=True)


def _finish(spec: ZooSpec, root: Path, manifest: Manifest, planned: Plan) -> None:
    """Write the files derived from all shards, unless they are there and whole."""
    if manifest.files and not any(fault(root, name, record) for name, record in manifest.files.items()):
        return
    shards = {shard.index: Shard.open(root / shard.file) for shard in planned.shards}
    table = make_table(spec, manifest.header, planned, shards)
    files = {"table.arrow": table_bytes(table), **topology_files(trace_recipes(table["recipe"].to_pylist()))}
    (root / "topologies").mkdir(exist_ok=True)
    for name, data in files.items():
        write_durably(root / name, data)
    records: dict[str, dict[str, Any]] = {name: file_record(root / name) for name in ("spec.yaml", *files)}
    manifest.complete(records)
