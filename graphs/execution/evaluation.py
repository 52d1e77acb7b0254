"""One forward pass in evaluation mode, without fused kernels, on weights that lie in storages of their own."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy

from graphs.errors import UntraceableError
from graphs.execution.trees import described, tensors_in
from graphs.execution.unchanged import attributes_unchanged
from graphs.execution.whereabouts import Whereabouts
from graphs.layout import Layout, flat_layout


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
    """Its layout. Raises UntraceableError for what is no module to run, and where it holds what is no dense tensor."""
    if not isinstance(module, nn.Module):
        raise UntraceableError(f"expected a torch.nn.Module, got {type(module).__name__}; wrap it in a module")
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise UntraceableError(
                f"the module {name!r} is a {type(part).__name__}, whose code is no longer Python; trace the module "
                "that it was scripted from"
            )
        if any(t is not None and is_lazy(t) for t in (*part._parameters.values(), *part._buffers.values())):
            raise UntraceableError(
                f"the module {name!r} is a {type(part).__name__}, whose shapes are not known yet; run it once on an "
                "input"
            )
    try:
        return flat_layout(module)
    except ValueError as error:
        raise UntraceableError(f"{type(module).__name__} cannot be traced: {error}") from error


@contextmanager
def plain_evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, fused kernels or compiled code; the attributes are as before afterwards."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with attributes_unchanged(module), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _without_mkldnn(), _uncompiled():
        torch.backends.mha.set_fastpath_enabled(False)
        module.eval()
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Plain kernels; torch warns about devices that are not there when these flags are set."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _uncompiled() -> AbstractContextManager:
    """Compiled modules run as they were written; nothing is compiled where the compiler was never loaded."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from this seed; its generators are as before afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def untraceable(module: nn.Module, watcher: Watcher, inputs: Any = ()) -> Iterator[None]:
    """Errors of the forward pass as UntraceableError, with the module and operation where they arose and the inputs."""
    try:
        yield
    except Exception as error:
        what = f" at the operation {watcher.running}" if watcher.running else ""
        raise UntraceableError(
            f"{type(module).__name__} failed in {watcher.where.name}{what} on the example inputs {described(inputs)}: "
            f"{type(error).__name__}: {error}; {_advice(module, inputs)}"
        ) from error


def _advice(module: nn.Module, inputs: Any) -> str:
    ours = {t.device.type for t in (*module.parameters(), *module.buffers())}
    given = {t.device.type for t in tensors_in(inputs)}
    if ours and given - ours:
        return f"the module is on {', '.join(sorted(ours))}, the inputs on {', '.join(sorted(given))}: move one of them"
    if "meta" in ours:
        return "on the device meta there are no values to branch on or to return; trace the module on the CPU"
    return "check that the inputs have the shapes, types and number that the network takes"
