"""How fast a zoo is written and read, and how much memory a loader takes, beside what the machine can do.

A zoo of CNNs with 2464 parameters is written through the product's own path (shard bytes, flushed and renamed file,
checksum, manifest line) into a folder that is best in memory, such as /dev/shm; a fresh process then reads it through
the loader, every state once an epoch in shuffled order. Rates are of CPU time, user and system. Weights are random
numbers: nothing is trained.
"""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _results
import numpy as np
import torch
from bench_population import CNN_S

import zoo
from graphs.durable import write_durably
from graphs.importing import resolve
from graphs.layout import flat_layout
from graphs.recipe import FAMILIES, Recipe
from zoo.beginning import versions
from zoo.building import build
from zoo.manifest import Manifest, file_record
from zoo.planning import plan
from zoo.plans import Facts, Plan, PlannedShard
from zoo.population import PopulationResult
from zoo.shards import shard_bytes
from zoo.spec import ZooSpec

STATES, NETWORKS, PARAMETERS = 10, 64, 2464
SHARD = STATES * NETWORKS * PARAMETERS * 4
# The size of the zoo whose rates have bounds: 10,000 networks.
SMALL = 10_000 * STATES * PARAMETERS * 4
# What is left free of the memory of the machine, or of the disk.
SPARE = 2 << 30


def room(folder: Path) -> int:
    """Bytes that may be written into a folder, which costs memory where it is in memory."""
    free = shutil.disk_usage(folder).free
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "tmpfs" and folder.resolve().is_relative_to(mount):
            free = min(free, memory("/proc/meminfo", "MemAvailable"))
    return free - SPARE


def memory(path: str, name: str) -> int:
    """Bytes that a file of /proc gives under a name."""
    return next(int(line.split()[1]) << 10 for line in Path(path).read_text().splitlines() if line.startswith(name))


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=folder) as path:
        yield Path(path)


def begin(root: Path, shards: int) -> tuple[Manifest, Plan]:
    """A zoo of which nothing is trained yet, as `zoo build` would begin it."""
    recipe = {"factory": "cnn", "arguments": {k: v for k, v in CNN_S.items() if k != "input_shape"}}
    content = {"data": "digits", "recipes": [recipe], "members": shards * NETWORKS, "shard_size": NETWORKS}
    epochs = {"epochs": STATES, "keep": list(range(1, STATES + 1))}
    spec = ZooSpec.from_dict(content | epochs | {"random": {"lr": [1e-3, 1e-4]}})
    data = {"name": "random", "fingerprint": "0" * 64, "input_shape": [1, 28, 28], "num_classes": 10, "train_size": 1}
    facts = Facts(data, {"cnn": list(inspect.signature(resolve(FAMILIES["cnn"])).parameters)})
    planned = plan(spec, facts)
    trainers = {name: {"name": "reference", "why": "a benchmark"} for name in planned.architectures}
    header = {"spec": spec.digest, "data": data, "parameters": dict(facts.parameters), "trainers": trainers}
    (root / "shards").mkdir(parents=True)
    write_durably(root / "spec.yaml", spec.to_yaml().encode())
    return Manifest.create(root, header | {"versions": versions()}), planned


def facts_of(planned: Plan, shard: PlannedShard, layout: list[dict[str, Any]]) -> dict[str, Any]:
    """What a shard says of itself."""
    members = [planned.members[i] for i in shard.members]
    facts = {"shard": shard.index, "recipe": members[0].recipe, "loss": None, "layout": layout}
    return facts | {"ids": [member.id for member in members], "epochs": list(range(1, STATES + 1))}


def write_zoo(root: Path, size: int, seed: int) -> float:
    """Write a zoo of about ``size`` bytes; returns the megabytes of shards written a second of CPU time."""
    manifest, planned = begin(root, max(1, size // SHARD))
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(STATES, NETWORKS, PARAMETERS, generator=generator)
    metrics = {name: np.full((STATES, NETWORKS), 0.5) for name in ("train_loss", "test_loss", "test_accuracy")}
    layout = flat_layout(Recipe.from_dict(planned.members[0].full_recipe).build()).to_json()
    seconds = written = 0.0
    for shard in planned.shards:
        facts, path = facts_of(planned, shard, layout), root / shard.file
        states[0, :, 0] = shard.index
        result = PopulationResult(states, {}, metrics, ["ok"] * NETWORKS)
        start = time.process_time()
        write_durably(path, shard_bytes(result, facts, None))
        record = {"shard": shard.index, "file": shard.file, **file_record(path), "members": NETWORKS}
        manifest.add_shard(record | {"diverged": 0, "seconds": 0.0})
        seconds += time.process_time() - start
        written += record["bytes"]
    # Everything is there: what is left for a build are the table and the topologies.
    build(root / "spec.yaml", root, workers=0, progress=False)
    return written / seconds / 1e6


def plain_write(folder: Path) -> float:
    """Megabytes a second of CPU time that a loop of plain writes into new files reaches."""
    data, paths = np.random.default_rng(0).bytes(SHARD), [folder / f"plain-{i}" for i in range(SMALL // SHARD)]
    start = time.process_time()
    for path in paths:
        path.write_bytes(data)
    seconds = time.process_time() - start
    for path in paths:
        path.unlink()
    return len(paths) * SHARD / seconds / 1e6


def memcpy() -> float:
    """Megabytes a second of CPU time that one copy of much memory reaches."""
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    target[:] = source
    start = time.process_time()
    for _ in range(10):
        target[:] = source
    return 10 * source.nbytes / (time.process_time() - start) / 1e6


def read_zoo(root: str, batch_size: int, epochs: int) -> dict[str, Any]:
    """Epochs of the loader in this process: members a second of CPU time each, and the most anonymous memory."""
    torch.set_num_threads(1)
    z = zoo.open(root)
    loader = z.loader(batch_size, shuffle=True)
    rates, most = [], 0
    for _ in range(epochs):
        count, start = 0, time.process_time()
        for number, batch in enumerate(loader):
            count += len(batch.weights)
            if number % 500 == 0:
                most = max(most, memory("/proc/self/status", "RssAnon"))
        rates.append(count / (time.process_time() - start))
        if count != len(z) * STATES:
            raise SystemExit(f"expected {len(z) * STATES} states an epoch, got {count}")
    return {"rates": rates, "anonymous": most}


def reader(root: Path, batch_size: int, epochs: int) -> dict[str, Any]:
    """``read_zoo`` in a process of its own, which has written nothing."""
    command = [sys.executable, __file__, "--read", str(root), "--batch-size", str(batch_size), "--epochs", str(epochs)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def small(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rates over a zoo of 10,000 networks with 10 states each, beside those of the machine."""
    row, limit = _results.row, memcpy()
    with scratch(options.folder) as folder:
        # Plain writes come first: a page that a virtual machine touches for the first time costs far more.
        plain = plain_write(folder)
        written = write_zoo(folder / "zoo", SMALL, options.seed)
        few, many = (reader(folder / "zoo", size, 4)["rates"] for size in (32, options.batch_size))
    warm = statistics.median(many[1:])
    return [
        row("one copy in memory", limit, "MB/s"),
        row("plain writes of files", plain, "MB/s"),
        row("1 GB: shards written, checksum and manifest included", written, "MB/s", at_least=350),
        row(f"1 GB: shuffled reads, first epoch, batches of {options.batch_size}", many[0], "states/s"),
        row("1 GB: shuffled reads, warm, batches of 32", statistics.median(few[1:]), "states/s"),
        row(f"1 GB: shuffled reads, warm, batches of {options.batch_size}", warm, "states/s", at_least=200e3),
        row("1 GB: shuffled reads, warm, as a copy", warm * PARAMETERS * 4 / 1e6, "MB/s"),
    ]


def large(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The memory of a loader over a large zoo, in the first folder in which there is room for it, or as large as fits
    into the second."""
    wanted = int(options.gb * 1e9)
    place = options.folder if room(options.folder) >= wanted else options.spill
    size = min(wanted, room(place))
    with scratch(place) as folder:
        written = write_zoo(folder / "zoo", size, options.seed)
        read = reader(folder / "zoo", options.batch_size, 2)
    name = f"{size / 1e9:.0f} GB" + ("" if place == options.folder else " on disk")
    return [
        _results.row(f"{name}: shards written, checksum and manifest included", written, "MB/s"),
        _results.row(f"{name}: shuffled reads, warm, batches of {options.batch_size}", read["rates"][-1], "states/s"),
        _results.row(f"{name}: anonymous memory of a loader", read["anonymous"] / 1e6, "MB", at_most=500),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument(
        "--folder", type=Path, default=Path("/dev/shm"), help="where the zoos go (default: %(default)s)"
    )
    spill = "where the large zoo goes when the folder is too small (default: %(default)s)"
    parser.add_argument("--spill", type=Path, default=Path(tempfile.gettempdir()), help=spill)
    parser.add_argument("--gb", type=float, default=10.0, help="size of the large zoo (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read_zoo(options.read, options.batch_size, options.epochs)))
        return
    torch.set_num_threads(1)
    rows = small(options)
    _results.show(rows)
    rows += (more := large(options))
    _results.show(more)
    _results.finish(options.json, rows, options.seed)


if __name__ == "__main__":
    main()
