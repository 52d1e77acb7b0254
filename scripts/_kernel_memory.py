"""How much memory a piece of work needs at most, beyond what was there before it."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _results
import torch
from _kernel_cases import Case
from _kernel_styles import STYLES
from _kernel_timing import KERNELS, Subject


def measure(case: Case, device: str) -> list[dict[str, Any]]:
    """Forward and backward of every style, in numbers of e; what they return counts, what they are given does not."""
    subject, size = Subject(case), case.tensors["e"].numel() * case.tensors["e"].element_size()
    title, found = f"{case.name}: peak extra memory", []
    for style in (KERNELS, *case.as_users, *STYLES):
        value = peak_extra(lambda style=style: subject.both(style), device) / size
        bound = case.memory if style == KERNELS else None
        found.append(_results.row(f"{title}, {style}", value, "numbers of e", at_most=bound))
    return found


def peak_extra(work: Callable[[], Any], device: str) -> int:
    """Bytes, of a second run: the first loads and compiles what is loaded and compiled once.

    On the CPU it is the greatest resident memory of the process, which must give freed memory back at once (a low
    ``MALLOC_MMAP_THRESHOLD_``); on a GPU that of torch's allocator.
    """
    work()
    gc.collect()
    return _PEAKS[device](work)


def _peak_of_process(work: Callable[[], Any]) -> int:
    # From here on, the greatest resident memory counts anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    kept = work()
    peak = resident("VmHWM")
    del kept
    return peak - before


def _peak_of_allocator(work: Callable[[], Any]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = work()
    peak = torch.cuda.max_memory_allocated()
    del kept
    return peak - before


def resident(field: str) -> int:
    """Bytes of ``VmRSS``, resident now, or ``VmHWM``, the most so far."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError(f"/proc/self/status does not give {field}; resident memory is measured on Linux only")
    return 1024 * int(found[1])


_PEAKS: dict[str, Callable[[Callable[[], Any]], int]] = {"cpu": _peak_of_process, "cuda": _peak_of_allocator}
