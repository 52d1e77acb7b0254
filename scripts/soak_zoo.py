"""What a build of a zoo survives: kills at random moments, hung workers, want of memory and of disk, flipped bits.

    python scripts/soak_zoo.py --kills 100 --json scripts/results/soak_zoo.json      about ten minutes on two cores
    python scripts/soak_zoo.py --kills 5 --flips 20 --only kills flips               a quick look

Every disturbed build is held against an undisturbed one of the same spec: shards, table, recipes, topologies and spec
have to be equal byte by byte; wall times are in the manifest alone. A kill is SIGKILL of the builder with its workers,
of the builder alone, or of a worker, at a random moment: while it starts, between shards, within one.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _builds import Build, acknowledged
from _faults import flip_bits, full_disk, hung_worker, killed_for_memory, on_ray, torn_lines
from _lab import Lab
from _results import finish, row, show
from tqdm import tqdm

Row = dict[str, Any]
# What may end a build that was disturbed: nothing, the kill itself, or a shard whose worker was killed three times.
ENDS = {0: "", -9: "", 1: "its worker process died 3 times"}


def kill_together(build: Build, rng: random.Random) -> bool:
    build.kill_all()
    return True


def kill_builder(build: Build, rng: random.Random) -> bool:
    build.kill_builder()
    return True


def kill_worker(build: Build, rng: random.Random) -> bool:
    worker = build.worker(rng)
    if worker is not None:
        worker.kill()
    return worker is not None


WAYS: dict[str, Callable[[Build, random.Random], bool]] = {
    "the builder with its workers": kill_together,
    "the builder alone": kill_builder,
    "a worker": kill_worker,
}


def kills(lab: Lab, rng: random.Random, count: int) -> list[Row]:
    """Kill and go on until there were so many kills; a zoo that gets done is compared, and another one begun."""
    done, root = Counter[str](), lab.new()
    with tqdm(total=count, unit="kill") as bar:
        while done.total() < count:
            done.update(disturbed(lab, root, rng))
            bar.update(min(done.total(), count) - bar.n)
            if finished(root):
                lab.compare(root, {})
                root = lab.new()
    lab.go_on(root)
    rows = [row(f"SIGKILL of {way}", done[way], "kills") for way in WAYS]
    return [*rows, row("SIGKILL at a random moment", done.total(), "kills", at_least=count)]


def disturbed(lab: Lab, root: Path, rng: random.Random) -> list[str]:
    """One build, disturbed until it ends; the ways in which it was."""
    build, ways = Build(lab.spec, root, "--workers", rng.choice("112")), []
    while build.running:
        await_random(build, rng)
        before, way = acknowledged(root), rng.choice(list(WAYS))
        if build.running and WAYS[way](build, rng):
            ways.append(way)
        lab.check(root, before)
    code, errors = build.end()
    if code not in ENDS or ENDS[code] not in errors:
        raise RuntimeError(f"a build that was disturbed ended with {code}:\n{errors}")
    return ways


def await_random(build: Build, rng: random.Random) -> None:
    """Wait while the build starts, or for some shards and a moment within the next."""
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 3))
        return
    build.await_shards(len(acknowledged(build.root)) + rng.randrange(1, 5))
    time.sleep(rng.uniform(0, 0.3))


def finished(root: Path) -> bool:
    path = root / "manifest.jsonl"
    return path.exists() and b'"kind":"complete"' in path.read_bytes()


def account(lab: Lab) -> list[Row]:
    """What none of the disturbances may have done."""
    return [
        row("disturbed builds compared with the undisturbed one", lab.tally["builds"], "builds", at_least=1),
        row("acknowledged shards lost or changed", lab.tally["lost"], "shards", at_most=0),
        row("acknowledged shards trained again", lab.tally["again"], "shards", at_most=0),
        row("networks twice or missing in a finished zoo", lab.tally["duplicates"], "networks", at_most=0),
        row("files of a finished zoo that are not as undisturbed", lab.tally["different"], "files", at_most=0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--flips", type=int, default=200, help="flipped bits (default 200)")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--seed", type=int, default=0)
    faults: dict[str, Callable[[Lab, random.Random], list[Row]]] = {
        "kills": lambda lab, rng: kills(lab, rng, options.kills),
        "hung": hung_worker,
        "memory": killed_for_memory,
        "disk": full_disk,
        "torn": torn_lines,
        "flips": lambda lab, rng: flip_bits(lab, rng, options.flips),
        "ray": on_ray,
    }
    parser.add_argument("--only", nargs="+", choices=list(faults), default=list(faults), help="some of it")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        for name in options.only:
            began = time.monotonic()
            rows += faults[name](lab, random.Random(f"{options.seed} {name}"))
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        rows += account(lab)
    show(rows)
    finish(options.json, rows, options.seed)


if __name__ == "__main__":
    main()
