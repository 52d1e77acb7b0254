"""The progress bar of a run: loss, steps a second, the time left."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tqdm import tqdm

from metanets.schedule import Budget


class Bar:
    """A tqdm bar on standard error, counted in steps where the budget has steps, else in seconds.

    Off a terminal it writes a line every ten seconds instead of redrawing.
    """

    def __init__(self, budget: Budget, step: int, seconds: float, shown: bool = True) -> None:
        self.in_steps = budget.steps is not None
        total = budget.steps if budget.steps is not None else round(60 * (budget.minutes or 0))
        form = (
            "{l_bar}{bar}| {n:.0f}/{total} " + ("steps" if self.in_steps else "s") + " [{elapsed}<{remaining}{postfix}]"
        )
        quiet = not sys.stderr.isatty()
        interval = 10.0 if quiet else 0.2
        self.bar = tqdm(
            total=total, initial=step if self.in_steps else seconds, bar_format=form, mininterval=interval,
            maxinterval=max(interval, 10.0), disable=not shown, dynamic_ncols=True, file=sys.stderr,
        )  # fmt: skip

    def show(self, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Args: figures: "loss", and speeds by the name ``<what>_per_second``."""
        speeds = {name.removesuffix("_per_second"): value for name, value in figures.items() if "_per_second" in name}
        words = [f"loss {figures['loss']:.4f}", *(f"{value:.2f} {what}/s" for what, value in speeds.items())]
        self.bar.set_postfix_str(", ".join(words), refresh=False)
        done = step if self.in_steps else seconds
        self.bar.update(max(0.0, min(done, self.bar.total) - self.bar.n))

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
