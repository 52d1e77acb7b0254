"""The networks of a batch run themselves: functional_call, vmapped over the networks of one topology."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from graphs.topology import Topology

if TYPE_CHECKING:
    from graphs.batching import GraphBatch


def weightless_copy(module: nn.Module) -> nn.Module:
    """The module with its weights on the meta device: what is needed to run it with others."""
    tensors = {id(t): t for t in (*module.parameters(), *module.buffers())}
    memo = {key: _meta(t) for key, t in tensors.items()}
    return copy.deepcopy(module, memo)


def _meta(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or not isinstance(tensor, nn.Parameter):
        return tensor.detach().clone()
    return nn.Parameter(tensor.detach().to("meta"), tensor.requires_grad)


def run(batch: GraphBatch, x: Tensor) -> Tensor:
    """Outputs of every network on the one input batch ``x``: ``[B, *output]``, in evaluation mode.

    Networks of one topology run together under vmap. Differentiable in the weights and in ``x``. Raises ValueError
    where a topology was read from a file and has no module, or the outputs have several shapes.
    """
    together: dict[Topology, list[int]] = {}
    for i, graph in enumerate(batch.graphs):
        together.setdefault(graph.topology, []).append(i)
    outputs: dict[int, Tensor] = {}
    for topology, members in together.items():
        results = _run_alike(batch, topology, members, x)
        outputs.update(zip(members, results, strict=True))
    shapes = {tuple(o.shape) for o in outputs.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"expected networks with outputs of one shape, got {sorted(shapes)}; run them in batches alike"
        )
    return torch.stack([outputs[i] for i in range(batch.num_graphs)])


def _run_alike(batch: GraphBatch, topology: Topology, members: list[int], x: Tensor) -> Tensor:
    module = topology.module
    if module is None:
        raise ValueError(
            "this topology was read from a file, which holds no module to run; call topology.attach(module) with the "
            "module it was traced from"
        )
    states = [batch.graphs[i].state_dict() for i in members]
    names = [e.name for e in topology.entries if e.tied_to is None]
    stacked = {name: torch.stack([s[name] for s in states]) for name in names}

    def forward(state: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(module, state, (x,))

    return torch.func.vmap(forward, randomness="different")(stacked)
