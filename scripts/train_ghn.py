"""Train a graph hypernetwork and the MLP baseline of equal budget; score both on architectures they never saw.

    python scripts/train_ghn.py --data digits --json FILE             two cores, 13 minutes
    python scripts/train_ghn.py --data DIR --json FILE --hours 6      CIFAR-10 as parquet files

Both are trained on random networks of the DeepNets space (C in 8 to 32 and 4 to 10 cells for digits, that of
DeepNets-1M for larger images). The table gives the accuracy on test images with predicted parameters alone: on 100
architectures of the same space and on 30 each that are wider, deeper, denser or without norms, beside their own random
initialisation. On CIFAR-10 the rows published with GHN-2 (https://arxiv.org/abs/2110.13100, table 2) stand beside.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _ghn import SPLITS, accuracies, accuracy, architectures, mean, own_init, predicted, trained
from _results import row, show, write

import metanets.tables
from hypernets.runs import TrainRun
from hypernets.tasks.images import Split, read

TITLES = {"ghn2": "GHN-2", "mlp": "MLP"}
PUBLISHED: dict[str, dict[str, float]] = {
    title: dict(zip(("test", *SPLITS, "ResNet-50"), values, strict=True))
    for title, values in {
        "MLP, published": (42.2, 22.3, 37.9, 44.8, 23.9, 17.7),
        "GHN-2, published": (66.9, 64.0, 60.5, 65.8, 36.8, 58.6),
    }.items()
}
SETTINGS: dict[str, Any] = {
    "lr": 2e-3,
    "rates": {"classes": 5.0, "decoder": 0.3},
    "warmup": 0.02,
    "meta_batch": 1,
    "image_batch": 32,
    "network_clip": 1.0,
    "identity": 1.0,
}
# Two bars at once cannot be read.
OF_MODEL: dict[str, dict[str, Any]] = {"ghn2": {"update_bias": 3.0}, "mlp": {"progress": False}}
# Fixed for digits: steps of both models such that the baseline has no less CPU time.
SMALL_STEPS = {"ghn2": 8000, "mlp": 8400}
SMALL: dict[str, Any] = {"arguments": {"hidden": 32, "max_shape": [16, 16, 7, 7]}, "pool": 600, "architectures": 20}
LARGE: dict[str, Any] = {
    "arguments": {"hidden": 32, "max_shape": [32, 32, 7, 7]},
    "augment": "shift-mirror",
    "pool": 1000,
    "architectures": 10,
}
# Architectures of each split out of distribution, as a part of those of the test.
OUTSIDE = 0.3


def main(arguments: list[str] | None = None) -> int:
    begun = time.perf_counter()
    given = parse(arguments)
    images = read(given.data, given.limit)
    small = min(images.shape[1:]) < 16
    runs = plan(given, Path(given.out or tempfile.mkdtemp(prefix="train-ghn-")), small)
    trainings, table = learnt(runs, given)
    if not small:
        table |= PUBLISHED
    rows = [row(f"{title}: CPU time of training", seconds, "s") for title, seconds in trainings.items()]
    ghn2, mlp = trainings.values()
    rows.append(row("CPU time of MLP over that of GHN-2", round(mlp / ghn2, 3), "", at_least=1.0))
    rows += judged(table, small, 100 / images.num_classes)
    rows.append(row("all", round(time.perf_counter() - begun, 1), "s", at_most=900 if small else None))
    lines = [[title, *(f"{v:.1f}" for v in values.values())] for title, values in table.items()]
    print(metanets.tables.table(["accuracy, %", *table["random init"]], lines))
    show(rows)
    if given.json:
        write(given.json, rows, given.seed)
    return 1 if any(r["holds"] is False for r in rows) else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, or a folder of parquet files (default: digits)")
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--out", help="folder of the models; what an earlier call trained there is not trained again")
    parser.add_argument("--steps", type=int, help="of GHN-2, the baseline a twentieth more (default: 8000)")
    parser.add_argument("--hours", type=float, help="wall-clock time of each training instead of steps")
    parser.add_argument("--space", help="of architectures (default: deepnets_small for digits, else deepnets)")
    parser.add_argument("--images", type=int, help="test images that score a network (default: all)")
    parser.add_argument("--architectures", type=int, default=100, help="of the test split (default: 100)")
    parser.add_argument("--limit", type=int, help="at most so many images a split")
    parser.add_argument("--jobs", type=int, default=2, help="models trained at once, one thread each (default: 2)")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw architectures (default: 0)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def plan(given: argparse.Namespace, out: Path, small: bool) -> dict[str, TrainRun]:
    """The runs of both models, by name."""
    common = TrainRun(
        given.data, str(out), seed=given.seed, limit=given.limit, device=given.device, workers=given.workers,
        space=given.space, evaluations=4, resume=True, **SETTINGS, **(SMALL if small else LARGE),
    )  # fmt: skip
    if given.hours:
        lengths = {name: {"steps": None, "minutes": 60 * given.hours} for name in TITLES}
    else:
        ghn2 = given.steps or SMALL_STEPS["ghn2"]
        lengths = {name: {"steps": round(n * ghn2 / SMALL_STEPS["ghn2"])} for name, n in SMALL_STEPS.items()}
    return {
        name: replace(common, model=name, out=str(out / name), **OF_MODEL[name], **lengths[name]) for name in TITLES
    }


def learnt(
    runs: dict[str, TrainRun], given: argparse.Namespace
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """CPU seconds of training by title, and the table of accuracies; each model in a process of its own."""
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        jobs = {TITLES[name]: pool.submit(trained_and_scored, run, given) for name, run in runs.items()}
        own = pool.submit(scored, None, given)
        results = {title: job.result() for title, job in jobs.items()}
        table = {title: scores for title, (_, scores) in results.items()} | {"random init": own.result()}
    return {title: seconds for title, (seconds, _) in results.items()}, table


def end_with_parent() -> None:
    """Let this process not train on when the one that started it was killed."""

    def wait() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def trained_and_scored(run: TrainRun, given: argparse.Namespace) -> tuple[float, dict[str, float]]:
    """CPU seconds of a training, and the scores of what came of it."""
    model, seconds = trained(run)
    return seconds, scored(model, given)


def scored(model: Any, given: argparse.Namespace) -> dict[str, float]:
    """Mean accuracy in per cent on every split, with the parameters that a hypernetwork writes, or without one those of
    the networks' own rules."""
    images = read(given.data, given.limit)
    shown = Split(images.test.x[: given.images], images.test.y[: given.images])
    counts = {"": given.architectures} | dict.fromkeys(SPLITS, max(1, round(OUTSIDE * given.architectures)))
    maker = predicted(model) if model else own_init
    scores = {
        split or "test": mean(accuracies(architectures(images, split, count, given.space), maker, shown))
        for split, count in counts.items()
    }
    return scores | ({"ResNet-50": resnet50_accuracy(model, shown)} if images.shape[0] == 3 else {})


def resnet50_accuracy(model: Any, shown: Split) -> float:
    """As ``scored``, of one network with ten classes."""
    import torch
    from _resnet50 import resnet50

    from hypernets.ghn.batch_statistics import use_batch_statistics

    torch.manual_seed(0)
    net = resnet50(10)
    weights = model.predict(net, shown.x[:2], within=None)[0] if model else dict(net.named_parameters())
    return round(accuracy(use_batch_statistics(net.eval()), weights, shown), 2)


def judged(table: dict[str, dict[str, float]], small: bool, chance: float) -> list[dict[str, Any]]:
    """A row a figure; the bounds are those of the test split."""
    mlp = table[TITLES["mlp"]]["test"]
    ahead = mlp + 10 if small else mlp + 5
    bound = {(TITLES["ghn2"], "test"): {"at_least": max(ahead, 4 * chance) if small else ahead}}
    return [
        row(f"{title}: {split}", value, "%", **bound.get((title, split), {}))
        for title, values in table.items()
        for split, value in values.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
