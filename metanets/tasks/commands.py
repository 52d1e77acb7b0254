"""What ``metanets train``, ``eval`` and ``predict`` do."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from metanets import devices, hub, registry
from metanets.callbacks import Callback, JsonlLog, TensorBoard
from metanets.checkpointing import NAME
from metanets.fitting import FitSettings, fit
from metanets.json_files import write_json
from metanets.loading import GraphLoader, Sample
from metanets.runs import EvalRun, PredictRun, TrainRun
from metanets.schedule import Budget
from metanets.sizing import keywords_for
from metanets.tables import table
from metanets.tasks import create_task
from metanets.tasks.samples import Samples, open_zoo, read_split, shuffle_targets

_SPLITS = ("train", "val", "test")


def train(run: TrainRun) -> dict[str, float]:
    """Train, save the model into ``run.out``, and score it on the test split; returns those figures."""
    out = Path(run.out)
    devices.require(run.device)
    _check_folder(out, run)
    _check_settings(run)
    task, samples = create_task(run.task), _samples(run)
    model = _created(run, samples["train"])
    if isinstance(model, torch.nn.Module):
        task.require([sample.target for sample in samples["val"]])
    # Written last: a mistake in what was asked leaves the folder free.
    write_json(out / "run.json", asdict(run))
    model = _fitted(model, task, samples, run)
    model.save_pretrained(out)
    metrics = _report(model, task, samples["test"], out, run.batch_size, torch.device(run.device))
    print(table(["split", *metrics], [["test", *metrics.values()]]))
    return metrics


def evaluate(run: EvalRun) -> dict[str, float]:
    """Score a saved model on one split of a zoo; returns the figures."""
    task, model = create_task(run.task), _load(run.checkpoint, run.device)
    read = read_split(run.zoo, run.split)
    _tell({run.split: read})
    loader = GraphLoader(read.samples, run.batch_size, shuffle=False)
    metrics = task.evaluate(model, (batch.to(run.device) for batch in loader))
    print(table(["split", *metrics], [[run.split, *metrics.values()]]))
    if run.json is not None:
        write_json(run.json, {"checkpoint": run.checkpoint, "zoo": run.zoo, "split": run.split, **metrics})
    return metrics


def predict(run: PredictRun) -> dict[str, float]:
    """Predict for a zoo or a folder of state dicts; returns the predictions by name."""
    task, model = create_task(run.task), _load(run.checkpoint, run.device)
    samples = _from_zoo(run) if run.zoo is not None else _from_folder(run)
    loader = GraphLoader(samples, run.batch_size, shuffle=False)
    predicted, _, _ = task.predict(model, (batch.to(run.device) for batch in loader))
    found = dict(zip([sample.name for sample in samples], predicted.tolist(), strict=True))
    print(table(["network", run.task], [[name, value] for name, value in found.items()]))
    if run.json is not None:
        write_json(run.json, {"checkpoint": run.checkpoint, "task": run.task, "predictions": found})
    return found


def _samples(run: TrainRun) -> dict[str, list[Sample]]:
    """The samples of each split."""
    zoo = open_zoo(run.zoo)
    reads = {split: read_split(zoo, split, run.states) for split in _SPLITS}
    _tell(reads)
    if not run.shuffle_targets:
        return {split: read.samples for split, read in reads.items()}
    return {s: shuffle_targets(reads[s].samples, 3 * run.seed + number) for number, s in enumerate(_SPLITS)}


def _tell(reads: dict[str, Samples]) -> None:
    """Print what was read of each split, and once why networks have no graph."""
    for split, read in reads.items():
        print(f"{split}: {read}")
    reasons = [read.reason for read in reads.values() if read.reason]
    if reasons:
        print(f"left out: {reasons[0]}")


def _check_folder(out: Path, run: TrainRun) -> None:
    """A ValueError where ``out`` is not free for this run."""
    config, path = asdict(run), out / "run.json"
    if out.exists() and not out.is_dir():
        raise ValueError(f"expected a folder as --out, {out} is a file; name another")
    # A kill in the first write leaves a temporary file and nothing to lose.
    files = sorted(file.name for file in out.iterdir() if file.suffix != ".tmp") if out.exists() else []
    if files and not path.exists():
        raise ValueError(f"{out} holds {files[0]} and no run.json of a run; name a new or empty folder as --out")
    if path.exists() and not run.resume:
        raise ValueError(f"{out} holds a run already; go on with it by --resume, or name another folder as --out")
    if path.exists():
        earlier = json.loads(path.read_text())
        free = {"steps", "minutes", "resume", "progress", "device", "checkpoint_minutes", "tensorboard", "patience"}
        other = [
            f"{k} was {earlier.get(k)}, is {v}" for k, v in config.items() if k not in free and earlier.get(k) != v
        ]
        if other:
            raise ValueError(f"{out} holds another run ({'; '.join(other)}); resume with the same options")


def _check_settings(run: TrainRun) -> None:
    """A ValueError for settings out of range, which ``fit`` would refuse later."""
    Budget(run.steps, run.minutes)
    FitSettings(run.lr, run.weight_decay, run.warmup, run.clip, run.precision, run.evaluations, run.patience)


def _created(run: TrainRun, samples: list[Sample]) -> Any:
    """A new model whose sizes fit the networks of the zoo."""
    graphs = [sample.graph for sample in samples]
    torch.manual_seed(run.seed)
    model = registry.create(run.model, **keywords_for(run.model, graphs, **run.arguments))
    if hasattr(model, "calibrate"):
        model.calibrate(graphs)
    return model


def _fitted(model: Any, task: Any, samples: dict[str, list[Sample]], run: TrainRun) -> Any:
    out = Path(run.out)
    if not isinstance(model, torch.nn.Module):
        graphs, targets = zip(*((s.graph, s.target) for s in samples["train"]), strict=True)
        return model.fit_statistics(graphs, targets, run.seed)
    callbacks: list[Callback] = [JsonlLog(out / "log.jsonl")]
    callbacks += [TensorBoard(out / "tensorboard")] if run.tensorboard else []
    result = fit(
        model.to(run.device), task, GraphLoader(samples["train"], run.batch_size, seed=run.seed),
        GraphLoader(samples["val"], 2 * run.batch_size, shuffle=False),
        steps=run.steps, minutes=run.minutes, lr=run.lr, weight_decay=run.weight_decay, warmup=run.warmup,
        clip=run.clip, precision=run.precision, evaluations=run.evaluations, patience=run.patience,
        callbacks=callbacks, checkpoint=out, checkpoint_minutes=run.checkpoint_minutes,
        resume=run.resume and (out / NAME).exists(), progress=run.progress,
    )  # fmt: skip
    print(f"{result.steps} steps in {result.seconds:.1f} s ({result.stopped}); best on val at step {result.best_step}")
    return model


def _report(
    model: Any, task: Any, samples: list[Sample], out: Path, batch_size: int, device: torch.device
) -> dict[str, float]:
    loader = GraphLoader(samples, 2 * batch_size, shuffle=False)
    predicted, true, final = task.predict(model, (batch.to(device) for batch in loader))
    metrics = {**task.score(predicted, true, final), "parameters": float(_size(model))}
    columns = {"predicted": predicted.tolist(), "true": true.tolist(), "final": final.tolist()}
    write_json(out / "predictions.json", {"name": [sample.name for sample in samples], **columns})
    write_json(out / "metrics.json", metrics)
    return metrics


def _size(model: Any) -> int:
    """Trained numbers of a model."""
    if not isinstance(model, torch.nn.Module):
        return model.num_parameters()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _load(checkpoint: str, device: str) -> Any:
    devices.require(device)
    model = hub.load(checkpoint)
    return model.to(device).eval() if isinstance(model, torch.nn.Module) else model


def _from_zoo(run: PredictRun) -> list[Sample]:
    assert run.zoo is not None
    read = read_split(run.zoo, run.split)
    _tell({run.split: read})
    return read.samples


def _from_folder(run: PredictRun) -> list[Sample]:
    from graphs import Recipe
    from metanets.state_dicts import read_folder

    assert run.weights is not None
    assert run.arch is not None
    graphs = read_folder(run.weights, Recipe(run.arch, run.arch_args), run.shape())
    return [Sample(graph, target=math.nan, name=name) for name, graph in graphs.items()]
