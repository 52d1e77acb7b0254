"""One forward pass in evaluation mode, without fused kernels, on weights that lie in storages of their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from graphs.errors import UntraceableError
from graphs.layout import Layout, flat_layout
from graphs.whereabouts import Whereabouts


class Watcher(Protocol):
    """What knows which module, and which operation, is running."""

    where: Whereabouts
    running: str


def own_storages(module: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """Copies of the parameters that share their memory with others (a flat vector of all weights)."""
    state = module.state_dict(keep_vars=True)
    floating = [(e.name, state[e.name]) for e in layout.stored if state[e.name].layout == torch.strided]
    part = {n: t for n, t in floating if t.numel() * t.element_size() < t.untyped_storage().nbytes()}
    return {name: tensor.detach().clone() for name, tensor in part.items()}


def traceable_layout(module: nn.Module) -> Layout:
    """Its layout. Raises UntraceableError where it holds what is no tensor."""
    try:
        return flat_layout(module)
    except ValueError as error:
        raise UntraceableError(f"{type(module).__name__} cannot be traced: {error}") from error


@contextmanager
def plain_evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients or fused kernels, as before afterwards."""
    training = {m: m.training for m in module.modules()}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    module.eval()
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _without_mkldnn():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for m, flag in training.items():
            m.training = flag


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Plain kernels; torch warns about devices that are not there when these flags are set."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@contextmanager
def untraceable(module: nn.Module, watcher: Watcher) -> Iterator[None]:
    """Errors of the forward pass as UntraceableError, with the module and the operation where they arose."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        where = f"in {watcher.where.path!r}" if watcher.where.path else "in its forward pass"
        what = f" at the operation {watcher.running}" if watcher.running else ""
        raise UntraceableError(
            f"{type(module).__name__} failed {where}{what} on the example inputs: {error}; check that the inputs "
            "have the shapes and types that the network takes"
        ) from error
