"""From nothing to predictions in five minutes: a real zoo of small digit classifiers, then four models that read it.

    python scripts/quickstart.py [--out DIR] [--json FILE] [--minutes 4.5] [--networks 1200] [--seed 0]

Builds the zoo (MLPs of 8 to 32 neurons a layer, CNNs of 4 to 16 channels, hyper-parameters at random, four states of
each network), trains StatNN, a flat-weights MLP, NG-GNN and GMN to predict test accuracy from weights, each one model
for MLPs and CNNs together, and scores them on networks never seen. The control is trained and scored on shuffled
targets, where nothing can be learned.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# One thread a process: two processes work beside each other, and tiny matrices gain nothing from more.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lanes import Job, run_jobs  # noqa: E402
from _results import row, write  # noqa: E402

TITLES = {"statnn": "StatNN", "flat-mlp": "flat MLP", "ng-gnn": "NG-GNN", "gmn": "GMN"}
OPTIONS = {
    "statnn": [],
    "flat-mlp": ["--lr=1e-3", "--batch-size=64", "--weight-decay=0.3", '--arguments={"dropout": 0.3}'],
    "ng-gnn": ["--lr=4e-3", '--arguments={"sigma": 1.0}'],
    "gmn": ["--lr=3e-3"],
}
# What the two graph models must reach over all states, and how near to 0 the control must stay.
BOUNDS = {"tau": 0.58, "r2": 0.65}
CONTROL = 0.2
# Seconds kept for starting processes, scoring and drawing.
RESERVE = 35.0

SPEC: dict[str, Any] = {
    "data": "digits",
    "recipes": [
        {"factory": "mlp", "random": {"width": {"choice": [8, 16, 24, 32]}, "depth": {"choice": [1, 2]}}},
        {
            "factory": "cnn",
            "arguments": {"stride": 2, "readout": "flatten"},
            "random": {"width": {"choice": [4, 8, 12, 16]}, "depth": {"choice": [1, 2]}},
        },
    ],
    "random": {
        "activation": {"choice": ["relu", "tanh", "sigmoid", "gelu"]},
        "optimiser": {"choice": ["sgd", "adam"]},
        "lr": {"loguniform": [1e-4, 3e-2]},
        "init_scale": {"loguniform": [0.5, 2.0]},
        "weight_decay": {"loguniform": [1e-5, 1e-2]},
        "dropout": {"choice": [0.0, 0.2, 0.5]},
        "train_fraction": {"uniform": [0.05, 1.0]},
    },
    "epochs": 15,
    "batch_size": 16,
    "keep": [1, 3, 7, 15],
}


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    begun = time.monotonic()
    out = Path(given.out or tempfile.mkdtemp(prefix="quickstart-"))
    built = build_zoo(out / "zoo", given.networks, given.seed)
    left = 60 * given.minutes - (time.monotonic() - begun) - RESERVE
    jobs = plan(max(20.0, left), out, given.seed)
    print(f"\nTraining {len(jobs)} models, two at a time; about {max(20.0, left):.0f} s ...", flush=True)
    seconds = run_jobs(jobs)
    table, rows = report(jobs, seconds)
    rows.append(row("zoo: time", round(built, 1), "s"))
    rows.append(row("all: time", round(time.monotonic() - begun, 1), "s", at_most=300))
    draw(jobs, out)
    print(f"\n{table}\n\nPictures: {out / 'predictions.png'}, {out / 'training.png'}")
    print(f"In all {time.monotonic() - begun:.0f} s; models, zoo and logs are in {out}")
    if given.json:
        write(given.json, rows, given.seed)
    missed = [r for r in rows if r["holds"] is False]
    for r in missed:
        print(f"MISSED: {r['what']} is {r['value']}, expected {r['bound']}", file=sys.stderr)
    return 1 if missed else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", help="run folder; one of an earlier call is gone on with (default: a temporary one)")
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--minutes", type=float, default=4.5, help="wall-clock time for everything (default: 4.5)")
    parser.add_argument("--networks", type=int, default=1200, help="networks in the zoo (default: 1200)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def build_zoo(folder: Path, networks: int, seed: int) -> float:
    """Build the zoo, or go on with it; returns the seconds taken."""
    import zoo

    begun = time.monotonic()
    print(f"Training a zoo of {networks} networks into {folder} ...", flush=True)
    z = zoo.build(zoo.ZooSpec.from_dict({**SPEC, "members": networks, "seed": seed}), folder, workers=2)
    diverged = len(z) - len(z.filter(status="ok"))
    seconds = time.monotonic() - begun
    print(f"{len(z)} networks in {seconds:.0f} s, {diverged} of them diverged (kept and flagged)")
    return seconds


def plan(seconds: float, out: Path, seed: int) -> list[Job]:
    """What to train in ``seconds`` on two cores, longest first. StatNN has no time limit: it takes a few seconds."""
    graph, flat, control = 0.74 * seconds, 0.1 * seconds, 0.12 * seconds
    times = [("ng-gnn", graph, False), ("gmn", graph, False), ("flat-mlp", flat, False), ("statnn", 0.0, False)]
    times += [("ng-gnn", control, True), ("gmn", control, True), ("flat-mlp", flat / 2, True), ("statnn", 0.0, True)]
    return [_job(name, limit, shuffled, out, seed) for name, limit, shuffled in times]


def _job(model: str, seconds: float, shuffled: bool, out: Path, seed: int) -> Job:
    folder = out / (f"{model}-shuffled" if shuffled else model)
    command = [sys.executable, "-m", "metanets", "train", f"--zoo={out / 'zoo'}", f"--model={model}", f"--out={folder}"]
    command += [
        f"--seed={seed}",
        f"--minutes={max(seconds, 1) / 60:.4f}",
        f"--evaluations={2 if shuffled else 6}",
        "--no-progress",
        "--resume",
    ]
    command += OPTIONS[model] + (["--shuffle-targets"] if shuffled else [])
    return Job(TITLES[model] + (", shuffled" if shuffled else ""), folder, command)


def report(jobs: list[Job], seconds: dict[str, float]) -> tuple[str, list[dict[str, Any]]]:
    """The table, and one row a figure for the JSON file."""
    from metanets.tables import table

    lines, rows = [], []
    for job in jobs:
        metrics = json.loads((job.folder / "metrics.json").read_text())
        named = {"tau": "tau, all states", "final_tau": "tau, final states", "r2": "R2", "mae": "MAE"}
        rows += [row(f"{job.title}: {words}", metrics[key], "", **_bounds(job, key)) for key, words in named.items()]
        rows += [
            row(f"{job.title}: parameters", metrics["parameters"], ""),
            row(f"{job.title}: time", seconds[job.title], "s"),
        ]
        figures = [f"{metrics[key]:.3f}" for key in named]
        lines.append([job.title, *figures, f"{int(metrics['parameters']):,}", f"{seconds[job.title]:.0f}"])
    return table(["model", "tau, all", "tau, final", "R2", "MAE", "parameters", "seconds"], lines), rows


def _bounds(job: Job, key: str) -> dict[str, float]:
    if job.title.endswith("shuffled"):
        return {"at_least": -CONTROL, "at_most": CONTROL} if key == "tau" else {}
    return {"at_least": BOUNDS[key]} if key in BOUNDS and job.title in (TITLES["ng-gnn"], TITLES["gmn"]) else {}


def draw(jobs: list[Job], out: Path) -> None:
    """Predicted against true, true targets and control; and the course of training."""
    from metanets.callbacks import read_log
    from metanets.pictures import curves, scatter

    read = {job.title: json.loads((job.folder / "predictions.json").read_text()) for job in jobs}
    scatter(
        {title: columns for title, columns in read.items() if not title.endswith("shuffled")}, out / "predictions.png"
    )
    scatter({title: columns for title, columns in read.items() if title.endswith("shuffled")}, out / "control.png")
    logs = {job.title: read_log(job.folder / "log.jsonl") for job in jobs if not job.title.endswith("shuffled")}
    curves({title: records for title, records in logs.items() if records}, out / "training.png")


if __name__ == "__main__":
    sys.exit(main())
