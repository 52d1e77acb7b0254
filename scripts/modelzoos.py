"""The ModelZoos grid on MNIST from nothing: 2560 networks, every epoch kept; their report; two models that read them.

    python scripts/modelzoos.py --data FOLDER [--out DIR] [--json FILE] [--minutes 10] [--seed 0]

Builds scripts/specs/modelzoos_mnist.yaml (or goes on with it, or takes it as it is), writes its report page, and trains
StatNN and NG-GNN to predict test accuracy from weights, over all epochs: Kendall's tau is that of networks never seen.
The controls are trained and scored on shuffled targets.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lanes import Job, run_jobs
from _results import finish, row, show

SPEC = Path(__file__).resolve().parent / "specs" / "modelzoos_mnist.yaml"
MODELS = {"StatNN": ("statnn", []), "NG-GNN": ("ng-gnn", ["--lr=4e-3", '--arguments={"sigma": 1.0}'])}
# What the control may reach by chance, and the minutes that the build may take on two cores.
CONTROL, MINUTES = 0.1, 75


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    out = Path(given.out or tempfile.mkdtemp(prefix="modelzoos-"))
    rows = [*build(out, given.data), *report(out)]
    jobs = plan(out, given.minutes, given.seed)
    seconds = run_jobs(jobs)
    for job in jobs:
        metrics = json.loads((job.folder / "metrics.json").read_text())
        control = {"at_least": -CONTROL, "at_most": CONTROL} if job.title.endswith("shuffled") else {}
        rows.append(row(f"{job.title}: tau, all states", metrics["tau"], "", **control))
        rows.append(row(f"{job.title}: tau, final states", metrics["final_tau"], ""))
        rows.append(row(f"{job.title}: R2, all states", metrics["r2"], ""))
        rows.append(row(f"{job.title}: training", seconds[job.title], "s"))
    show(rows)
    finish(given.json, rows, given.seed)
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", help="folder or hub id of MNIST in place of the spec's")
    parser.add_argument("--out", help="run folder; one of an earlier call is gone on with (default: a temporary one)")
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--minutes", type=float, default=10, help="training of NG-GNN (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the models that read the zoo")
    return parser.parse_args(arguments)


def build(out: Path, data: str | None) -> list[dict[str, Any]]:
    """Build what is missing of the zoo; figures of all of it, also of what an earlier call trained."""
    import zoo
    from zoo.manifest import Manifest

    spec = zoo.ZooSpec.from_yaml(SPEC)
    if data is not None:
        spec = zoo.ZooSpec.from_dict({**spec.to_dict(), "data": {**spec.data, "source": data}})
    z = zoo.build(spec, out / "zoo", workers=2)
    worked = sum(shard["seconds"] for shard in Manifest.read(out / "zoo").shards.values())
    states = len(z.samples())
    return [
        row("networks", len(z), "", at_least=2560),
        row("states kept", states, "", at_least=11 * len(z)),
        row("diverged networks", len(z) - len(z.filter(status="ok")), ""),
        row("median accuracy of the last states", _median(z), ""),
        # The workers' own clocks: a build that was interrupted counts what was trained, not what was lost.
        row("training, two workers", round(worked / 2 / 60, 1), "min", at_most=MINUTES),
    ]


def _median(z: Any) -> float:
    import numpy as np

    return float(np.median([states[-1] for states in z.arrow_column("test_accuracy").to_pylist()]))


def report(out: Path) -> list[dict[str, Any]]:
    import zoo

    begun = time.monotonic()
    zoo.write_report(out / "zoo", out / "report.html")
    size = (out / "report.html").stat().st_size
    return [
        row("report page", round(size / 1e6, 1), "MB"),
        row("report page: time", round(time.monotonic() - begun, 1), "s"),
    ]


def plan(out: Path, minutes: float, seed: int) -> list[Job]:
    """NG-GNN for so many minutes, its control for half of them, StatNN as long as it takes."""
    jobs = []
    for title, (model, options) in reversed(MODELS.items()):
        for shuffled in (False, True):
            folder = out / (f"{model}-shuffled" if shuffled else model)
            command = [sys.executable, "-m", "metanets", "train", f"--zoo={out / 'zoo'}", f"--model={model}"]
            command += [f"--out={folder}", f"--seed={seed}", f"--minutes={minutes / (1 + shuffled)}", "--no-progress"]
            command += ["--resume", *options] + (["--shuffle-targets"] if shuffled else [])
            jobs.append(Job(title + (", shuffled" if shuffled else ""), folder, command))
    return jobs


if __name__ == "__main__":
    sys.exit(main())
