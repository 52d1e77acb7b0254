"""The networks of a batch run themselves: functional_call, vmapped over the networks of one topology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphs.execution.copying import copied
from graphs.labelling.calls import Calls
from graphs.topology import Topology

if TYPE_CHECKING:
    from graphs.batching import GraphBatch


def weightless_copy(module: nn.Module) -> nn.Module:
    """The module with its weights on the meta device: what is needed to run it with others."""
    return copied(module, lambda t, is_parameter: t.to("meta") if is_parameter and t.is_floating_point() else t)


def run(batch: GraphBatch, x: Tensor, activations: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """Outputs of every network on the one input batch ``x [K, ...]``: ``[B, K, ...]``, in evaluation mode.

    Networks of one topology run together under vmap. Differentiable in the weights and in ``x``.

    Args:
        batch: the networks.
        x: K inputs, shared by all.
        activations: also return the value of every node ``[N, K]``, averaged over positions; zero at the nodes whose
            activation no torch call returns (inside a fused attention function).

    Raises ValueError where a topology was read from a file and has no module, or the outputs have several shapes.
    """
    together: dict[Topology, list[int]] = {}
    for i, graph in enumerate(batch.graphs):
        together.setdefault(graph.topology, []).append(i)
    outputs: dict[int, Tensor] = {}
    values: dict[int, Tensor] = {}
    for topology, members in together.items():
        results, nodes = _run_alike(batch, topology, members, x, activations)
        outputs.update(zip(members, results, strict=True))
        values.update(zip(members, nodes, strict=True))
    shapes = {tuple(o.shape) for o in outputs.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"expected networks with outputs of one shape, got {sorted(shapes)}; run them in batches alike"
        )
    stacked = torch.stack([outputs[i] for i in range(batch.num_graphs)])
    return (stacked, torch.cat([values[i] for i in range(batch.num_graphs)])) if activations else stacked


class _Probed(nn.Module):
    """A network that also returns the tensors of some torch calls."""

    def __init__(self, network: nn.Module, wanted: set[int]) -> None:
        super().__init__()
        self.network, self.wanted = network, wanted

    def forward(self, x: Tensor) -> tuple[Any, dict[int, Tensor]]:
        found: dict[int, Tensor] = {}

        def see(number: int, output: Any) -> None:
            if number in self.wanted:
                found[number] = output

        with Calls(see):
            return self.network(x), found


def _run_alike(
    batch: GraphBatch, topology: Topology, members: list[int], x: Tensor, activations: bool
) -> tuple[Tensor, Tensor]:
    """Outputs ``[B, K, ...]`` and node values ``[B, N, K]`` of networks of one topology."""
    module = topology.module
    if module is None:
        raise ValueError(
            "this topology was read from a file, which holds no module to run; call topology.attach(module) with the "
            "module it was traced from"
        )
    states = [batch.graphs[i].state_dict() for i in members]
    names = [e.name for e in topology.entries if e.tied_to is None]
    stacked = {f"network.{name}": torch.stack([s[name] for s in states]) for name in names}
    wanted = {call[0] for call in topology.site_calls if call} if activations else set()
    probed = _Probed(module, wanted)

    def forward(state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        output, seen = torch.func.functional_call(probed, state, (x,))
        nodes = [_site_values(topology, i, seen, x) for i in range(len(topology.sites))] if activations else []
        return output, torch.cat(nodes) if nodes else x.new_zeros(0)

    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the calls are then those that were traced
    try:
        return torch.func.vmap(forward, randomness="different")(stacked)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _site_values(topology: Topology, site: int, seen: dict[int, Tensor], x: Tensor) -> Tensor:
    """The value of every entry of a site for every input ``[size, K]``."""
    size, call = topology.sites[site].size, topology.site_calls[site]
    if call is None:
        kind = topology.groups[topology.sites[site].runs[0].group].kind
        return _input_values(size, x) if kind == "input" else x.new_zeros(size, len(x))
    value, dims = seen[call[0]], call[1]
    others = [d for d in range(1, value.dim()) if d not in dims]
    value = value.mean(others) if others else value
    value = value.reshape(len(x), -1).T if value.dim() else value.expand(1, len(x))
    return value if len(value) == size else x.new_zeros(size, len(x))


def _input_values(size: int, x: Tensor) -> Tensor:
    """Entries of the input: its features, or its channels averaged over positions."""
    if x[0].numel() == size:
        return x.reshape(len(x), size).T
    if x.dim() > 2 and x.shape[1] == size:
        return x.flatten(2).mean(2).T
    return x.new_zeros(size, len(x))
