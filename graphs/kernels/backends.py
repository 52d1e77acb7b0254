"""Which kernels serve a device, and why."""

from __future__ import annotations

import importlib
import os
import warnings
from functools import cache

import torch

BACKENDS = ("reference", "cpu", "triton")
VARIABLE = "METAZOO_KERNELS"
# What has kernels of its own: the module with its compiled code.
KERNELS = {
    "sweep": "graphs.kernels.sweep.cpu",
    "attention": "graphs.kernels.attending.cpu",
    "fourier": "graphs.kernels.fourier.cpu",
    "gated": "graphs.kernels.gated.cpu",
}


def backend(device: torch.device, kernels: str = "sweep") -> str:
    """The back end for tensors on a device; warns once where it is slower than it could be."""
    return _backend(device.type, kernels)


# Loading code is not for torch.compile to trace.
@torch.compiler.assume_constant_result
def _backend(device: str, kernels: str) -> str:
    chosen, why, lacking = _choice(device, os.environ.get(VARIABLE, ""), kernels)
    if lacking:
        warn_once(f"the kernels for {device} are not used: {why}; plain torch serves, slower and with more memory")
    return chosen


def backend_info() -> dict[str, dict[str, str]]:
    """For each kind of device, the back end in use and why.

    >>> sorted(backend_info())
    ['cpu', 'cuda']
    """
    found = {kind: _choice(kind, os.environ.get(VARIABLE, "")) for kind in ("cpu", "cuda")}
    return {kind: {"backend": chosen, "why": why} for kind, (chosen, why, _) in found.items()}


def _choice(device: str, forced: str, kernels: str = "sweep") -> tuple[str, str, bool]:
    """Back end, reason, and whether something is lacking that the user would want to know of."""
    if forced:
        if forced not in BACKENDS:
            raise ValueError(f"{VARIABLE}={forced!r} is unknown; choose among {', '.join(BACKENDS)}")
        _check_forced(device, forced, kernels)
        return forced, f"{VARIABLE}={forced}", False
    if device == "cpu":
        reason = _why_no_cpu(kernels)
        return ("cpu", "compiled for this processor", False) if reason is None else ("reference", reason, True)
    if device == "cuda":
        reason = _why_no_triton()
        return ("triton", "a CUDA device and triton", False) if reason is None else ("reference", reason, True)
    return "reference", f"there are no kernels for {device}", False


def _check_forced(device: str, forced: str, kernels: str) -> None:
    """A forced back end either serves or says why it cannot; it never gives way to another."""
    if forced == "cpu":
        reason = _why_no_cpu(kernels) if device == "cpu" else f"it serves the cpu, the tensors are on {device}"
    elif forced == "triton":
        reason = _why_no_triton() if device == "cuda" else None if interpreted() else "it serves cuda devices"
    else:
        reason = None
    if reason is not None:
        raise ValueError(f"{VARIABLE}={forced} cannot be had for {device}: {reason}; unset it, or set it to reference")


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def _why_no_cpu(kernels: str) -> str | None:
    return importlib.import_module(KERNELS[kernels]).CODE.why_not()


@cache
def _why_no_triton() -> str | None:
    if not torch.cuda.is_available() and not interpreted():
        return "there is no CUDA device"
    try:
        import triton  # noqa: F401
    except ImportError:
        return "triton is not installed; pip install metazoo[triton]"
    return None


@cache
def warn_once(text: str) -> None:
    """A RuntimeWarning, the first time."""
    warnings.warn(text, RuntimeWarning, stacklevel=2)
