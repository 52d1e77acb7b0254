"""Flat MLP: the weights as one vector, in state_dict order, read by a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphs import GraphBatch, ParameterGraph
from metanets.layers import perceptron
from metanets.model import Metanet


class FlatMLP(Metanet):
    """The baseline that knows nothing of symmetry: P, standardised, padded with zeros to ``max_parameters``.

    Entry i of the vector is the i-th weight of the network, whatever its architecture: with one architecture it is
    always the same weight, in a mixed zoo it is not, and the model is given no means to tell. Networks that are too
    large are refused unless ``truncate``; then what lies beyond is not read.

    Standardisation: ``calibrate(graphs)`` on training networks sets mean and standard deviation of each entry, over the
    networks that have it; before that they are 0 and 1.

    Args:
        out: outputs.
        max_parameters: length of the vector.
        hidden: widths of the hidden layers.
        dropout: on hidden layers.
        truncate: whether to read the first ``max_parameters`` weights of a larger network.

    Shapes: output ``[B, out]``. Raises ValueError for a network of more than ``max_parameters`` weights.
    """

    name = "flat-mlp"
    permutation_invariant = False
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        out: int = 1,
        max_parameters: int = 4096,
        hidden: Sequence[int] = (128, 128),
        dropout: float = 0.0,
        truncate: bool = False,
    ) -> None:
        super().__init__(
            out=out, max_parameters=max_parameters, hidden=list(hidden), dropout=dropout, truncate=truncate
        )
        self.truncate = truncate
        self.register_buffer("mean", torch.zeros(max_parameters))
        self.register_buffer("std", torch.ones(max_parameters))
        self.layers = perceptron(max_parameters, *hidden, out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: GraphBatch) -> Tensor:
        flat = [self._fit(graph) for graph in batch.graphs]
        x = torch.stack([self._padded((p - self.mean[: len(p)]) / self.std[: len(p)]) for p in flat])
        for layer in self.layers:
            x = self.dropout(layer(x)) if isinstance(layer, nn.ReLU) else layer(x)
        return x

    @torch.no_grad()
    def calibrate(self, graphs: Sequence[ParameterGraph]) -> None:
        """Standardise by these networks: each entry over those that have it; an entry that never varies is centred."""
        count, total, square = torch.zeros(3, len(self.mean), dtype=torch.float64, device=self.mean.device).unbind()
        for graph in graphs:
            flat = self._padded(self._fit(graph).double())
            count += self._padded(torch.ones_like(self._fit(graph)).double())
            total += flat
            square += flat * flat
        mean = total / count.clamp(min=1)
        std = (square / count.clamp(min=1) - mean * mean).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-8, std, torch.ones_like(std)))

    def _fit(self, graph: ParameterGraph) -> Tensor:
        flat, longest = graph.flat(), len(self.mean)
        if len(flat) > longest and not self.truncate:
            raise ValueError(
                f"expected networks of at most {longest} weights, got one of {len(flat)}; create the model with "
                f"max_parameters={len(flat)} or more, or with truncate=True"
            )
        return flat[:longest].to(self.mean)

    def _padded(self, flat: Tensor) -> Tensor:
        return nn.functional.pad(flat, (0, len(self.mean) - len(flat)))
