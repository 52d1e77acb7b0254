"""The one training loop: AdamW under warm-up and cosine, with exact resuming and early stopping.

``fit`` knows neither zoos nor run configurations: a model, a task, batches. Under torchrun every process brings its own
batches (see metanets.distributed).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from metanets import checkpointing, distributed, randomness
from metanets.callbacks import Callback
from metanets.devices import autocast, move
from metanets.endless import endless
from metanets.errors import NonFiniteError
from metanets.fit_settings import FitResult, FitSettings, check_settings
from metanets.optimiser import NO_RATES, OPTIMISERS
from metanets.progress import Bar
from metanets.schedule import SCHEDULES, Budget


class Task(Protocol):
    """What to learn: a loss for a batch and figures for a loader.

    ``monitor`` names the figure that early stopping watches, with a minus sign in front where less is better.
    """

    monitor: str

    def step(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """``{"loss": scalar}`` with further scalars to log.

        Those that ``counts`` of the task names, if it has one, are amounts, such as images, and are logged a second.
        """
        ...

    def evaluate(self, model: nn.Module, loader: Iterable[Any]) -> dict[str, float]:
        """Figures over all batches of ``loader``, without gradients."""
        ...


@dataclass
class _Progress:
    """All of a run that is neither a weight nor an optimiser moment."""

    step: int = 0
    seconds: float = 0.0
    evaluated: int = 0
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    since_best: int = 0


def fit(
    model: nn.Module,
    task: Task,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None = None,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    warmup: float = 0.05,
    clip: float | None = 1.0,
    precision: str = "fp32",
    evaluations: int = 20,
    patience: int | None = None,
    accumulate: int = 1,
    optimiser: str = "adamw",
    schedule: str = "cosine",
    rates: Mapping[str, float] = NO_RATES,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_minutes: float = 5.0,
    resume: bool = False,
    progress: bool = True,
) -> FitResult:
    """Train ``model`` in place, where it lies, and leave it with the weights that did best on ``val_loader``.

    While ``task.monitor`` is NaN no weights are better than others, and the newest are kept.

    Args:
        train_loader: batches, looped over until the budget is spent. One that has ``state_dict`` and
            ``load_state_dict`` (as GraphLoader) is resumed at its place; any other is replayed up to it, which is
            exact when its order does not hang on global random numbers.
        val_loader: batches the task evaluates; without it the last weights are kept.
        steps, minutes: length of the run; at least one. Under the cosine the learning rate reaches 0 at its end.
        lr, weight_decay: of AdamW; vectors (biases, norms) are not decayed.
        warmup: part of the run over which the learning rate rises from 0.
        clip: largest gradient norm, or None.
        precision: "fp32", or "bf16" for autocast (weights and moments stay float32).
        evaluations: how often ``val_loader`` is evaluated, evenly over the run.
        patience: stop after so many evaluations without a better ``task.monitor``.
        accumulate: batches whose mean gradient makes one step.
        optimiser: "adamw", or "adam" whose weight decay is part of the gradient.
        schedule: "cosine", or "steps" to divide the rate by 10 after 2/3 and again after 5/6 of the run.
        rates: factors of the learning rate, by a part of the names of parameters; the first one that fits counts.
        callbacks: functions of a record, see metanets.callbacks.
        checkpoint: folder that gets a checkpoint every ``checkpoint_minutes`` and at the end.
        resume: go on from the checkpoint in that folder (from the start where there is none yet). With a budget in
            steps the final weights are bit for bit those of an uninterrupted run.

    Raises NonFiniteError naming the step at which a loss or gradient is not finite, and ValueError for settings out
    of range, an empty loader, or a checkpoint of another model or of other settings.
    """
    budget = Budget(steps, minutes)
    settings = FitSettings(
        lr, weight_decay, warmup, clip, precision, evaluations, patience, accumulate, optimiser, schedule, dict(rates)
    )
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=FOLDER, the folder the interrupted run wrote to")
    run = _Run(model, task, settings, budget, Path(checkpoint) if checkpoint is not None else None, callbacks)
    if resume:
        run.resume(train_loader)
    return run.go(train_loader, val_loader, 60 * checkpoint_minutes, progress)


class _Run:
    def __init__(
        self, model: nn.Module, task: Task, settings: FitSettings, budget: Budget, folder: Path | None,
        callbacks: Sequence[Callback],
    ) -> None:  # fmt: skip
        self.model, self.task, self.settings, self.budget = model, task, settings, budget
        self.folder, self.callbacks = folder, callbacks
        self.optimiser = OPTIMISERS[settings.optimiser](model, settings.lr, settings.weight_decay, settings.rates)
        self.device = next(model.parameters()).device
        self.progress = _Progress()
        self.best_weights: dict[str, Tensor] | None = None
        self.skip = 0
        distributed.same_weights(model)

    def go(self, train: Iterable[Any], val: Iterable[Any] | None, every: float, shown: bool) -> FitResult:
        state = self.progress
        batches = endless(train, self.skip)
        begun = self._clock() - state.seconds
        saved = logged = state.seconds
        rows: list[dict[str, float]] = []
        self._tell("start")
        self.model.train()
        with Bar(self.budget, state.step, state.seconds, shown and distributed.rank() == 0) as bar:
            while self._unfinished():
                rows.append(self._update(batches))
                state.step, state.seconds = state.step + 1, self._clock() - begun
                if len(rows) == 10 or not self._unfinished():
                    figures = self._summary(rows, state.seconds - logged)
                    self._tell("train", **figures)
                    bar.show(state.step, state.seconds, figures)
                    rows, logged = [], state.seconds
                if val is not None and self._evaluation_due():
                    self._evaluate(val)
                    state.seconds = logged = self._clock() - begun
                if self.folder is not None and state.seconds - saved >= every:
                    self._save(train)
                    saved = state.seconds
        if self.folder is not None:
            self._save(train)
        return self._end()

    def _clock(self) -> float:
        # Processes must agree on when a run is over.
        return distributed.first_of(time.monotonic(), self.device)

    def _fraction(self) -> float:
        return self.budget.fraction(self.progress.step, self.progress.seconds)

    def _stopped(self) -> bool:
        return self.settings.patience is not None and self.progress.since_best >= self.settings.patience

    def _unfinished(self) -> bool:
        return self._fraction() < 1.0 and not self._stopped()

    def _rate(self) -> float:
        return self.settings.lr * SCHEDULES[self.settings.schedule](self._fraction(), self.settings.warmup)

    def _update(self, batches: Iterator[Any]) -> dict[str, float]:
        rate = self._rate()
        # The first step of a warm-up would otherwise be taken at rate 0.
        rate = rate if self.progress.step else max(rate, 1e-3 * self.settings.lr)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.zero_grad(set_to_none=True)
        figures = _combined([self._backward(next(batches)) for _ in range(self.settings.accumulate)], self._counts)
        distributed.average_gradients(self.model.parameters())
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip or math.inf)
        self._check("norm of the gradient", float(norm))
        self.optimiser.step()
        return figures

    def _backward(self, batch: Any) -> dict[str, float]:
        with autocast(self.device, self.settings.precision):
            figures = self.task.step(self.model, move(batch, self.device))
        (figures["loss"] / self.settings.accumulate).backward()
        values = {name: float(value.detach()) for name, value in figures.items()}
        self._check("loss", values["loss"])
        return values

    @property
    def _counts(self) -> tuple[str, ...]:
        return getattr(self.task, "counts", ())

    def _summary(self, rows: list[dict[str, float]], seconds: float) -> dict[str, float]:
        """Means of the figures of some steps, and amounts a second."""
        figures = distributed.mean(_combined(rows, self._counts), self.device)
        amounts = {"steps": len(rows), **{name: distributed.world() * figures.pop(name) for name in self._counts}}
        speeds = {f"{name}_per_second": amount / max(1e-9, seconds) for name, amount in amounts.items()}
        return {"loss": figures.pop("loss"), "lr": self._rate(), **speeds, **figures}

    def _check(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise NonFiniteError(
                f"the {what} became {value} at step {self.progress.step + 1}; that step was not taken. Lower lr (now "
                f"{self.settings.lr:g}), set clip (now {self.settings.clip}), or leave out networks whose weights are "
                "not finite; resume=True goes on from the last checkpoint"
            )

    def _evaluation_due(self) -> bool:
        due = self._evaluations_by_now()
        if due <= self.progress.evaluated:
            return False
        self.progress.evaluated = due
        return True

    def _evaluations_by_now(self) -> int:
        return math.floor(self._fraction() * self.settings.evaluations + 1e-9)

    def _evaluate(self, val: Iterable[Any]) -> None:
        self.model.eval()
        metrics = self.task.evaluate(self.model, (move(batch, self.device) for batch in val))
        self.model.train()
        state = self.progress
        score = _score(metrics, self.task.monitor)
        known = _score(state.best, self.task.monitor) if state.best else -math.inf
        state.since_best = 0 if score > known or not state.best else state.since_best + 1
        # A NaN counts as -inf: until there is a score the newest weights are kept.
        if score > known or known == -math.inf:
            state.best, state.best_step = metrics, state.step
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self._tell("val", **metrics)

    def _save(self, train: Iterable[Any]) -> None:
        assert self.folder is not None
        if distributed.rank() > 0:
            return
        place = train.state_dict() if hasattr(train, "state_dict") else None  # pyright: ignore[reportAttributeAccessIssue]
        facts = {"progress": vars(self.progress), "settings": vars(self.settings), "loader": place}
        checkpointing.save(self.folder, self.model, self.optimiser, facts, randomness.capture(), self.best_weights)

    def resume(self, train: Iterable[Any]) -> None:
        if self.folder is None or not (self.folder / checkpointing.NAME).exists():
            return
        parts, facts = checkpointing.load(self.folder)
        check_settings(facts["settings"], vars(self.settings), self.folder)
        checkpointing.restore_model(self.model, parts["model"], self.folder)
        checkpointing.restore_optimiser(self.optimiser, parts["optimiser"])
        randomness.restore(parts["random"])
        self.best_weights = {name: t.to(self.device) for name, t in parts["best"].items()} or None
        self.progress = _Progress(**facts["progress"])
        # Of a longer budget a smaller part is over than of the one it was saved under.
        self.progress.evaluated = min(self.progress.evaluated, self._evaluations_by_now())
        if facts["loader"] is not None and hasattr(train, "load_state_dict"):
            train.load_state_dict(facts["loader"])  # pyright: ignore[reportAttributeAccessIssue]
        else:
            self.skip = self.progress.step * self.settings.accumulate

    def _end(self) -> FitResult:
        state = self.progress
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
        self.model.eval()
        reason = "early stopping" if self._stopped() else "budget"
        best_step = state.best_step if self.best_weights is not None else state.step
        self._tell("end", stopped=reason, best_step=best_step, **state.best)
        return FitResult(state.step, state.seconds, reason, dict(state.best), best_step)

    def _tell(self, event: str, **figures: Any) -> None:
        for callback in self.callbacks if distributed.rank() == 0 else ():
            callback({"event": event, "step": self.progress.step, "seconds": self.progress.seconds, **figures})


def _combined(rows: list[dict[str, float]], counts: tuple[str, ...]) -> dict[str, float]:
    """Sums of the amounts and means of the rest."""
    return {name: sum(row[name] for row in rows) / (1 if name in counts else len(rows)) for name in rows[0]}


def _score(metrics: dict[str, float], monitor: str) -> float:
    name = monitor.removeprefix("-")
    if name not in metrics:
        raise ValueError(f"the task monitors {name!r}, which its evaluate does not give; it gives {sorted(metrics)}")
    value = -metrics[name] if monitor.startswith("-") else metrics[name]
    return -math.inf if math.isnan(value) else value
