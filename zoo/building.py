"""Building a zoo: begin or resume a folder, train what is missing, then derive the table."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import temporaries, write_durably
from zoo.beginning import begin, check_versions
from zoo.engines import ENGINES, Event
from zoo.locking import builder_lock
from zoo.manifest import NAME, Manifest, fault, file_record
from zoo.planning import Plan, plan
from zoo.progress import BuildProgress
from zoo.shards import Shard
from zoo.spec import ZooSpec
from zoo.table import make_table, table_bytes
from zoo.topologies import topology_files, trace_recipes

if TYPE_CHECKING:
    from zoo.store import Zoo


# What a build writes, as patterns.
OWN_FILES = ("spec.yaml", NAME, "table.arrow", "recipes.json", "shards/shard-*.safetensors", "topologies/*.json")


class BuildError(RuntimeError):
    """Some shards could not be trained; all others are safe."""


def build(
    spec: ZooSpec | Mapping[str, Any] | str | Path,
    out: str | Path,
    engine: str = "local",
    workers: int | None = None,
    progress: bool = True,
) -> "Zoo":
    """Train the networks of a spec into a folder, or go on with a folder where this was begun.

    A shard counts once its checksum stands in the manifest: a build that is killed at any moment goes on, and ends in
    the same bytes as one that was not disturbed, whatever the number of workers.

    Args:
        spec: the zoo to build, its content as a mapping, or its YAML file.
        out: the folder; new, empty, or with this very zoo.
        engine: one of ``ENGINES``; ``inline`` trains in this process.
        workers: one-thread processes; by default one a core. 0 is the engine ``inline``.
        progress: show a bar with members a second and the time left on standard error.

    Returns the zoo. Raises ValueError for a bad spec, a folder of another zoo or one at which another build is at work;
    BuildError when training raised; KeyboardInterrupt with how to go on.

    >>> import tempfile
    >>> spec = ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=2, epochs=1)
    >>> len(build(spec, tempfile.mkdtemp(), workers=0, progress=False))
    2
    """
    from zoo.store import open_zoo

    spec = _spec(spec)
    engine = "inline" if workers == 0 else engine
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if workers is not None and workers < 0:
        raise ValueError(f"workers: expected a count >= 0, got {workers}")
    root = _folder(out)
    with builder_lock(root), _stoppable(spec, root):
        manifest = begin(spec, root)
        planned = plan(spec, manifest.facts)
        _train(root, manifest, planned, engine, workers or _cores(), progress)
        _finish(spec, root, manifest, planned)
    return open_zoo(root)


def _spec(spec: ZooSpec | Mapping[str, Any] | str | Path) -> ZooSpec:
    if isinstance(spec, ZooSpec):
        return spec
    return ZooSpec.from_dict(spec) if isinstance(spec, Mapping) else ZooSpec.from_yaml(spec)


def _folder(out: str | Path) -> Path:
    """The folder, made where it is not there."""
    root = Path(out)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"expected a folder to build into, but {root} is or lies in a file; give another") from error
    return root


@contextmanager
def _stoppable(spec: ZooSpec, root: Path) -> Iterator[None]:
    """On Ctrl-C, say what is safe and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        shards = Manifest.read(root).shards.values() if (root / NAME).exists() else ()
        safe = sum(row["members"] for row in shards)
        raise KeyboardInterrupt(
            f"stopped; {safe} of {spec.count} networks are safe in {root}. To go on, give the same command again: "
            f"zoo build {root / 'spec.yaml'} {root}"
        ) from error


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _train(root: Path, manifest: Manifest, planned: Plan, engine: str, workers: int, progress: bool) -> None:
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
            if event.record is not None:
                manifest.add_shard(event.record)
            elif event.error is not None:
                errors.append(event.error)
            shown.tell(event)

        ENGINES[engine](root, [s.index for s in missing], workers, tell)
    if errors:
        raise BuildError(
            f"{len(errors)} of {len(planned.shards)} shards could not be trained; the others are safe in {root}, and "
            "building again tries these anew:\n" + "\n".join(sorted(errors))
        )


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
    for name in OWN_FILES:
        for path in temporaries((root / name).parent, Path(name).name):
            path.unlink(missing_ok=True)
    for path in (root / "shards").glob("shard-*.safetensors"):
        if f"shards/{path.name}" not in safe:
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
    records: dict[str, dict[str, Any]] = {name: file_record(root / name) for name in files}
    manifest.complete(records)
