"""Time of a piece of work on a device: of one CPU thread, or between two events of a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Work = Callable[[], Any]


def cpu_seconds(work: Work) -> float:
    """CPU time, page faults included."""
    start = time.process_time()
    work()
    return time.process_time() - start


def cuda_seconds(work: Work) -> float:
    """From the first kernel to the last."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


CLOCKS: dict[str, Callable[[Work], float]] = {"cpu": cpu_seconds, "cuda": cuda_seconds}


def best_times(works: Mapping[str, Work], device: str, repeats: int) -> dict[str, float]:
    """Seconds of each, the best of ``repeats`` rounds in which all run in turn; the first round is not counted.

    Other programs only ever add time, so the least is nearest to what the work costs by itself.
    """
    clock = CLOCKS[device]
    rounds = [{name: clock(work) for name, work in works.items()} for _ in range(1 + repeats)][1:]
    return {name: min(r[name] for r in rounds) for name in works}
