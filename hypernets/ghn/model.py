"""Graph hypernetworks: all parameters of networks from their computation graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from hypernets.ghn.architecture import PRIMITIVES, Architecture, ArchitectureBatch, collate_architectures
from hypernets.ghn.decoders.choosing import make_decoder
from hypernets.ghn.decoders.vector import SCALE, SHIFT, VectorDecoder
from hypernets.ghn.encoding import NodeEncoder
from hypernets.ghn.normalising import normalise
from hypernets.ghn.propagating import make_propagation
from hypernets.ghn.target import Size4, Target
from hypernets.ghn.tiling import copies, repeat

if TYPE_CHECKING:
    from graphs.recipe import Recipe
    from hypernets.ghn.report import Report


class Group(NamedTuple):
    """Targets with these in common are decoded together."""

    decoder: str
    kind: str
    size: Size4


class GHN(nn.Module):
    """A graph hypernetwork: nodes are encoded, exchange messages, and are decoded to parameters.

    Keywords that make no model raise ValueError.

    Args:
        name: of the model in :mod:`hypernets.registry`.
        num_classes: of the last layers that it writes with a head of their own; others are written as other layers are.
        max_shape: ``(out, in, S, S)``, the largest block that is decoded; larger parameters are tiled with it.
        hidden: width, a multiple of 4.
        propagation: "gated" (GHN-1, GHN-2), "graphormer" (GHN-3) or "none" (each node by itself).
        decoder: "conv" (GHN-2), "linear" (GHN-3), "mlp" (GHN-1) or "low_rank" (LoGAH).
        virtual_edges: whether the gated propagation has them.
        layer_norm: whether embeddings are normalised before they are decoded.
        weight_norm: whether parameters are brought to a scale; see :mod:`hypernets.ghn.normalising`.
        layers, heads: of the Graphormer. rank: of the low-rank decoder.
        primitives: rows of the table of primitives, 15 in published checkpoints.
        trained_steps: how long it was trained; with 0 a prediction warns.
    """

    def __init__(
        self,
        name: str = "ghn2",
        *,
        num_classes: int = 10,
        max_shape: Sequence[int] = (64, 64, 11, 11),
        hidden: int = 32,
        propagation: str = "gated",
        decoder: str = "conv",
        virtual_edges: bool = True,
        layer_norm: bool = True,
        weight_norm: bool = True,
        layers: int = 3,
        heads: int = 8,
        rank: int = 32,
        primitives: int = len(PRIMITIVES),
        trained_steps: int = 0,
    ) -> None:
        super().__init__()
        largest = _checked(max_shape, hidden)
        self.name = name
        self.config: dict[str, Any] = {
            "num_classes": num_classes,
            "max_shape": list(max_shape),
            "hidden": hidden,
            "propagation": propagation,
            "decoder": decoder,
            "virtual_edges": virtual_edges,
            "layer_norm": layer_norm,
            "weight_norm": weight_norm,
            "layers": layers,
            "heads": heads,
            "rank": rank,
            "primitives": primitives,
            "trained_steps": trained_steps,
        }
        self.num_classes, self.weight_norm = num_classes, weight_norm
        self.encoder = NodeEncoder(hidden, num_classes, max(largest[2:]), primitives)
        self.propagation = make_propagation(propagation, hidden, virtual_edges, layers, heads)
        self.norm = nn.LayerNorm(hidden) if layer_norm else nn.Identity()
        self.decoder = make_decoder(decoder, hidden, largest, num_classes, rank)
        self.vectors = VectorDecoder(hidden, max(largest[:2]), num_classes)

    def forward(self, architectures: Sequence[Architecture]) -> list[dict[str, Tensor]]:
        """All parameters of each architecture by name, as the module stores them; differentiable."""
        batch = collate_architectures(architectures).to(self.encoder.primitive.weight.device)
        return self.write(self.embed(batch), batch)

    def embed(self, batch: ArchitectureBatch) -> Tensor:
        """Embeddings of all nodes, ``[N, hidden]``, in float32 also under autocast."""
        with torch.autocast(batch.primitive.device.type, enabled=False):
            return self.norm(self.propagation(self.encoder(batch.primitive, batch.shape), batch))

    def write(self, embeddings: Tensor, batch: ArchitectureBatch) -> list[dict[str, Tensor]]:
        """The parameters that the targets of each architecture ask for. Shapes: embeddings ``[N, hidden]``."""
        groups: dict[Group, list[tuple[int, int, Target]]] = {}
        for owner, (first, targets) in enumerate(zip(batch.first_nodes, batch.targets, strict=True)):
            for target in targets:
                groups.setdefault(self._group(target), []).append((first + target.node, owner, target))
        written: list[dict[str, Tensor]] = [{} for _ in batch.targets]
        for group, members in groups.items():
            # Those of one size side by side are laid out together.
            members.sort(key=lambda member: member[2].canonical)
            nodes, owners, targets = zip(*members, strict=True)
            x = embeddings[torch.tensor(nodes, device=embeddings.device)]
            for owner, target, parameter in zip(owners, targets, self._decode(group, x, targets), strict=True):
                written[owner][target.name] = parameter
        return [{t.name: own[t.name] for t in targets} for own, targets in zip(written, batch.targets, strict=True)]

    def write_one(self, embeddings: Tensor, target: Target) -> Tensor:
        """One parameter of an architecture. Shapes: embeddings ``[nodes of the architecture, hidden]``."""
        return self._decode(self._group(target), embeddings[target.node, None], [target])[0]

    def decoder_of(self, target: Target) -> str:
        """What writes a target: its decoder, or for a last layer of another number of classes that of other layers."""
        if "classifier" not in target.decoder or target.canonical[0] == self.num_classes:
            return target.decoder
        return "weight" if target.decoder == "classifier" else "vector"

    def tiling(self, target: Target) -> Size4:
        """How often what is decoded is repeated along ``(out, in, height, width)`` to fill a target."""
        return copies(target.canonical, self._size(self.decoder_of(target), target))

    def predict(self, module: nn.Module, *inputs: Any, **options: Any) -> tuple[dict[str, Tensor], Report]:
        """A state_dict for a user's module, and a report of every parameter; see :func:`predicting.predict`.

        >>> from hypernets import create
        >>> net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 10))
        >>> weights, report = create("ghn2", hidden=8, trained_steps=1).predict(net, torch.zeros(1, 4))
        >>> net.load_state_dict(weights), report.share
        (<All keys matched successfully>, 1.0)
        """
        from hypernets.ghn.predicting import predict

        return predict(self, module, *inputs, **options)

    def embed_architecture(self, network: nn.Module | Recipe | Architecture, *inputs: Any, **options: Any) -> Tensor:
        """One vector of a network, to predict its properties and to find others like it; see
        :func:`hypernets.ghn.embedding.embed_architecture`."""
        from hypernets.ghn.embedding import embed_architecture

        return embed_architecture(self, network, *inputs, **options)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json``; :func:`hypernets.load` reads them."""
        from metanets.hub import save_pretrained

        save_pretrained(self, folder)

    def _size(self, decoder: str, target: Target) -> Size4:
        """What is decoded for a target."""
        if decoder == "vector":
            # Up to a power of two, so that there are few groups.
            return min(1 << (target.canonical[0] - 1).bit_length(), self.vectors.channels), 1, 1, 1
        if decoder == "classifier_bias":
            return self.num_classes, 1, 1, 1
        size = self.decoder.fit(target.canonical)
        return size if decoder == "weight" else (self.num_classes, size[1], 1, 1)

    def _group(self, target: Target) -> Group:
        decoder = self.decoder_of(target)
        return Group(decoder, target.kind, self._size(decoder, target))

    def _decode(self, group: Group, x: Tensor, targets: Sequence[Target]) -> list[Tensor]:
        """The parameters of a group from the embeddings of their nodes, ``[n, hidden]``."""
        decode: dict[str, Callable[[], Tensor]] = {
            "weight": lambda: self.decoder(x, group.size),
            "classifier": lambda: self.decoder.classify(x, group.size[1])[..., None, None],
            "vector": lambda: self.vectors(x, SHIFT if group.kind == "shift" else SCALE, group.size[0]),
            "classifier_bias": lambda: self.vectors.classify(x),
        }
        decoded = decode[group.decoder]()
        if self.weight_norm:
            decoded = normalise(group.kind, decoded, x.new_tensor([t.gain for t in targets]))
        runs = [list(run) for _, run in groupby(targets, key=lambda t: t.canonical)]
        blocks = decoded.reshape(*decoded.shape, *[1] * (5 - decoded.dim())).split([len(run) for run in runs])
        filled = (self._fill(block, run[0].canonical) for run, block in zip(runs, blocks, strict=True))
        return [t.stored(p) for t, p in zip(targets, chain.from_iterable(filled), strict=True)]

    def _fill(self, blocks: Tensor, canonical: Size4) -> tuple[Tensor, ...]:
        """Decoded blocks, each laid out until it has all sizes of a parameter. Shapes: ``[n, out, in, h, w]``."""
        out, inputs, height, width = canonical
        if blocks.shape[3:] != (height, width):
            blocks = self.decoder.kernels.grow(blocks.flatten(0, 1), height, width).unflatten(0, (len(blocks), -1))
        return repeat(repeat(blocks, 2, inputs), 1, out).contiguous().unbind()


def _checked(max_shape: Sequence[int], hidden: int) -> Size4:
    """``max_shape``, once the sizes fit each other."""
    if len(max_shape) != 4 or min(max_shape) < 1:
        raise ValueError(f"expected four sizes (out, in, height, width) of at least 1 in max_shape, got {max_shape}")
    if hidden < 4 or hidden % 4:
        raise ValueError(f"expected hidden to be a positive multiple of 4, got {hidden}; four sizes are embedded in it")
    out, inputs, height, width = max_shape
    return out, inputs, height, width
