"""Learned positions of neurons: which input, which layer, which output."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphs import KINDS, GraphBatch
from metanets.pooling import output_nodes

_INPUT, _VOCABULARY, _PINNED = (KINDS.index(kind) for kind in ("input", "vocabulary", "pinned"))


class NeuronPositions(nn.Module):
    """One vector for each input neuron, each hidden depth, each output neuron, as in Neural Graphs
    (https://arxiv.org/abs/2403.12143); neurons that may permute share the vector of their depth.

    What the paper does not have: one for each word of a vocabulary and for each neuron that is fixed for another
    reason; a fixed neuron in the middle of a network (a residual stream as wide as the output) gets its depth's too.

    Args:
        inputs, layers, outputs: largest numbers of input neurons, of hidden depths, of output neurons.
        vocabulary, pinned: likewise.
        width: of the vectors.

    Shapes: output ``[N, width]``. Raises ValueError for a network beyond these sizes.
    """

    def __init__(
        self, width: int, inputs: int, layers: int, outputs: int, vocabulary: int = 0, pinned: int = 0
    ) -> None:
        super().__init__()
        sizes = {"inputs": inputs, "layers": layers, "outputs": outputs, "vocabulary": vocabulary, "pinned": pinned}
        self.sizes = sizes
        self.vectors = nn.Parameter(torch.randn(sum(sizes.values()), width))

    def forward(self, batch: GraphBatch) -> Tensor:
        outputs = output_nodes(batch)
        first = (batch.kind == _INPUT) & (batch.layer == 0)
        named = {
            "inputs": first,
            "outputs": outputs,
            "vocabulary": batch.kind == _VOCABULARY,
            "pinned": (batch.rank >= 0) & ~first & ~outputs & (batch.kind != _VOCABULARY),
        }
        deep = (batch.rank < 0) | (named["pinned"] & (batch.layer > 0))
        rows = {name: (mask, batch.rank) for name, mask in named.items()}
        rows["layers"] = (deep, (batch.layer - 1).clamp(min=0))
        x = self.vectors.new_zeros(batch.num_nodes, self.vectors.shape[1])
        for name, vectors in zip(self.sizes, self.vectors.split(list(self.sizes.values())), strict=True):
            mask, index = rows[name]
            nodes = mask.nonzero()[:, 0]
            x = x.index_add(0, nodes, vectors.index_select(0, self._checked(name, index[nodes])))
        return x

    def _checked(self, name: str, index: Tensor) -> Tensor:
        arrived = int(index.max()) + 1 if len(index) else 0
        if arrived > self.sizes[name]:
            raise ValueError(
                f"this model serves networks of {name} <= {self.sizes[name]}, got one that needs {arrived}; "
                f"create the model with {name}={arrived} or more"
            )
        return index
