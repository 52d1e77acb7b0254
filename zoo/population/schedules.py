"""Learning-rate schedules: the rate of every update of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from zoo.population.settings import MemberSettings

if TYPE_CHECKING:
    import numpy as np

# Of torch.optim.lr_scheduler.OneCycleLR: where the rate is highest, and by what the first and the last are smaller.
WARM_UP, FIRST, LAST = 0.3, 25.0, 1e4
# A step schedule that says nothing else lowers the rate after each third of the training.
PERIODS = 3


def learning_rates(settings: MemberSettings, updates: int, each: int) -> np.ndarray:
    """The learning rate of each of ``updates`` updates, float64 ``[updates]``.

    Args:
        settings: rate, schedule, and ``step_size`` and ``gamma`` of a step schedule.
        updates: updates of the whole training.
        each: updates in one unit of ``step_size``: those of an epoch, or 1.

    The schedules are those of ``torch.optim.lr_scheduler``: StepLR counted in epochs; CosineAnnealingLR (to 0) and
    OneCycleLR (cosine, momentum left alone) counted in updates.

    >>> learning_rates(MemberSettings(seed=0, lr=1.0, schedule="step", step_size=1), 4, each=2).round(3).tolist()
    [1.0, 1.0, 0.1, 0.1]
    """
    import numpy as np

    return settings.lr * FACTORS[settings.schedule](np.arange(updates), settings, updates, each)


def _constant(taken: np.ndarray, settings: MemberSettings, updates: int, each: int) -> np.ndarray:
    return 0.0 * taken + 1


def _step(taken: np.ndarray, settings: MemberSettings, updates: int, each: int) -> np.ndarray:
    period = (settings.step_size or max(1, math.ceil(updates / each / PERIODS))) * each
    return settings.gamma ** (taken // period)


def _cosine(taken: np.ndarray, settings: MemberSettings, updates: int, each: int) -> np.ndarray:
    return _between(1.0, 0.0, taken / updates)


def _one_cycle(taken: np.ndarray, settings: MemberSettings, updates: int, each: int) -> np.ndarray:
    import numpy as np

    top, end = WARM_UP * updates - 1, updates - 1
    rising = _between(1 / FIRST, 1.0, taken / top) if top > 0 else np.ones(updates)
    falling = _between(1.0, 1 / FIRST / LAST, (taken - top) / (end - top))
    return np.where(taken <= top, rising, falling)


def _between(first: float, last: float, place: np.ndarray) -> np.ndarray:
    """Half a cosine from one factor at place 0 to another at place 1."""
    import numpy as np

    return last + (first - last) * (1 + np.cos(np.pi * place)) / 2


FACTORS: dict[str, Callable[..., np.ndarray]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
}
