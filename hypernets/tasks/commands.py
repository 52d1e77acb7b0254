"""What ``hypernets train`` does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from graphs.durable import append_durably
from hypernets.ghn.training.augmenting import AUGMENTATIONS
from hypernets.ghn.training.sampled import Sampled, sample
from hypernets.ghn.training.starting import start_near_identity, start_near_nodes
from hypernets.ghn.training.stream import CHOOSING, HELD_OUT, ArchitectureDraws, ArchitectureStream, MetaBatch
from hypernets.ghn.training.task import ArchitectureTask
from hypernets.runs import TrainRun
from hypernets.tasks.images import Images, Split, read, space_for
from metanets import devices, distributed
from metanets.callbacks import Callback, JsonlLog, TensorBoard
from metanets.checkpointing import NAME
from metanets.fit_settings import FitSettings
from metanets.fitting import fit
from metanets.json_files import write_json
from metanets.schedule import Budget
from metanets.tables import table

# Of a run that is gone on with, these may change.
FREE = frozenset("out steps minutes resume progress device workers checkpoint_minutes tensorboard".split())


def train(run: TrainRun) -> dict[str, float]:
    """Train, save the model into ``run.out``, and score it on test images; returns those figures."""
    _check(run)
    # Convolutions of ever new shapes: by default the code of 1024 is kept, and that of others made anew at each step.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "65536")
    out, images = Path(run.out), read(run.data, run.limit)
    devices.require(run.device)
    distributed.start(run.device)
    model = created(run, images.num_classes)
    if distributed.rank() == 0:
        _claim(out, run)
    task = _task(run, out)
    _fitted(model, task, images, run)
    held_out = [_draw(run, images)(seed) for seed in range(run.architectures)]
    metrics = task.evaluate(model, [batch.to(run.device) for batch in scoring_batches(held_out, images.test)])
    if distributed.rank() == 0:
        model.save_pretrained(out)
        write_json(out / "metrics.json", metrics)
        print(table(["split", *metrics], [["test", *metrics.values()]]))
    return metrics


def _check(run: TrainRun) -> None:
    """A ValueError for settings out of range before anything is written."""
    if run.augment not in AUGMENTATIONS:
        raise ValueError(f"unknown augment {run.augment!r}; choose from {', '.join(AUGMENTATIONS)}")
    if run.architectures > HELD_OUT - CHOOSING:
        raise ValueError(
            f"expected architectures <= {HELD_OUT - CHOOSING}, all that no run trains on, got {run.architectures}"
        )
    Budget(run.steps, run.minutes)
    FitSettings(**{field.name: getattr(run, field.name) for field in fields(FitSettings) if field.name != "patience"})


def created(run: TrainRun, num_classes: int) -> Any:
    """A new hypernetwork, a function of the seed."""
    from hypernets.registry import create

    torch.manual_seed(run.seed)
    model = create(run.model, num_classes=num_classes, **run.arguments)
    if run.identity:
        start_near_identity(model, run.identity, run.seed)
    if run.update_bias:
        start_near_nodes(model, run.update_bias)
    return model.to(run.device)


def scoring_batches(architectures: list[Sampled], split: Split) -> list[MetaBatch]:
    """One architecture a batch on all images."""
    return [MetaBatch((sampled,), split.x, split.y) for sampled in architectures]


def stream(run: TrainRun, images: Images) -> ArchitectureStream:
    """What the run trains on, in this process."""
    draws = ArchitectureDraws(_draw(run, images), run.meta_batch, run.max_nodes, run.pool, run.seed, distributed.rank())
    return ArchitectureStream(
        draws, *images.train, image_batch=run.image_batch, augment=AUGMENTATIONS[run.augment], workers=run.workers
    )


def _draw(run: TrainRun, images: Images) -> Any:
    space = run.space or space_for(images)
    return partial(sample, space, input_shape=images.shape, outputs=images.num_classes)


def _task(run: TrainRun, out: Path) -> ArchitectureTask:
    return ArchitectureTask(
        label_smoothing=run.label_smoothing,
        norm_penalty=run.norm_penalty,
        clip=run.network_clip,
        report=partial(_append, out / f"skipped-{distributed.rank()}.jsonl"),
        image_batch=run.image_batch,
    )


def _append(path: Path, record: Mapping[str, Any]) -> None:
    append_durably(path, (json.dumps(dict(record)) + "\n").encode())


def _fitted(model: Any, task: ArchitectureTask, images: Images, run: TrainRun) -> None:
    out, draw = Path(run.out), _draw(run, images)
    callbacks: list[Callback] = [JsonlLog(out / "log.jsonl")]
    callbacks += [TensorBoard(out / "tensorboard")] if run.tensorboard else []
    # Other architectures than those of the test, which is to judge the chosen weights.
    judged = [draw(CHOOSING + seed) for seed in range(run.architectures)]
    result = fit(
        model, task, stream(run, images), scoring_batches(judged, images.val),
        steps=run.steps, minutes=run.minutes, lr=run.lr, weight_decay=run.weight_decay, warmup=run.warmup,
        clip=run.clip, precision=run.precision, evaluations=run.evaluations, accumulate=run.accumulate,
        optimiser=run.optimiser, schedule=run.schedule, rates=run.rates, callbacks=callbacks, checkpoint=out,
        checkpoint_minutes=run.checkpoint_minutes, resume=run.resume and (out / NAME).exists(), progress=run.progress,
    )  # fmt: skip
    model.config["trained_steps"] = result.best_step
    if distributed.rank() == 0:
        print(
            f"{result.steps} steps in {result.seconds:.1f} s ({result.stopped}); best on val at step {result.best_step}"
        )


def _claim(out: Path, run: TrainRun) -> None:
    """Make the folder this run's, with its options. A ValueError where it is another's."""
    path, config = out / "run.json", asdict(run)
    if out.exists() and not out.is_dir():
        raise ValueError(f"expected a folder as --out, {out} is a file; name another")
    if path.exists() and not run.resume:
        raise ValueError(f"{out} holds a run already; go on with it by --resume, or name another folder as --out")
    earlier = json.loads(path.read_text()) if path.exists() else config
    other = [f"{k} was {earlier.get(k)}, is {v}" for k, v in config.items() if k not in FREE and earlier.get(k) != v]
    if other:
        raise ValueError(f"{out} holds another run ({'; '.join(other)}); resume with the same options")
    write_json(path, config)
