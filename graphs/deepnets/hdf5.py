"""Files of architectures in the layout of DeepNets-1M."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphs.deepnets.meta import checked, digest_of, meta_path, read_meta, recipe_of, row_of
from graphs.deepnets.naming import Vocabulary, parameters_of, primitive_of
from graphs.deepnets.plan import Plan
from graphs.deepnets.published import make_graph, published_graph
from graphs.durable import write_durably, written_durably
from graphs.op_graph import ComputationGraph
from graphs.recipe import Recipe

# Longest path that is stored; graph hypernetworks use 50.
CUTOFF = 250
DIGEST = "meta_sha256"


@dataclass(frozen=True)
class StoredNet:
    """One architecture of a file.

    Args:
        recipe: how to build it.
        graph: in the published primitives; equal to ``published_graph(recipe)`` where our writer made the file.
        distances: ``[N, N]`` int64, lengths of shortest paths up to 250, 0 where there is none.
    """

    recipe: Recipe
    graph: ComputationGraph
    distances: Tensor


def write_deepnets(path: Path | str, splits: Mapping[str, Iterable[Recipe]]) -> None:
    """Write architectures as DeepNets-1M does: ``NAME.hdf5`` with ``/SPLIT/I/adj`` and ``/SPLIT/I/nodes``, beside it
    ``NAME_meta.json`` with their arguments and the names that the numbers stand for. Either is whole or not there.

    Args:
        path: of the HDF5 file, such as ``deepnets1m_train.hdf5``.
        splits: name -> recipes of the family ``deepnet``, drawn as they are written.

    Raises ValueError for other recipes and for a name of another ending.
    """
    import h5py

    path = checked(path)
    meta: dict[str, Any] = {}
    with written_durably(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["title"] = "DeepNets-1M"
        for split, recipes in splits.items():
            meta[split] = _write_split(file.create_group(split), split, recipes)
        text = json.dumps(meta).encode()
        file.attrs[DIGEST] = digest_of(text)
    write_durably(meta_path(path), text)


def _write_split(group: Any, split: str, recipes: Iterable[Recipe]) -> dict[str, Any]:
    words, nets = Vocabulary(), []
    for number, recipe in enumerate(recipes):
        graph = published_graph(recipe)
        # Checksums: a damaged file is told when it is read.
        kept = {"compression": "gzip", "compression_opts": 1, "fletcher32": True}
        adjacency = graph.shortest_paths(CUTOFF).numpy().astype(np.uint8)
        group.create_dataset(f"{number}/adj", data=adjacency, **kept)
        group.create_dataset(f"{number}/nodes", data=words.rows(graph, Plan.of(recipe.arguments).n_cells), **kept)
        nets.append(row_of(recipe, split, graph.num_nodes))
    return {"nets": nets, "meta": words.to_dict()}


class DeepNetsFile:
    """The architectures of one split of a file, read as they are asked for; ours or a published one.

    Args:
        path: of the HDF5 file; its meta file lies beside it.
        split: which of them.
        input_shape, outputs: of the recipes, where the file does not tell, as published ones do not.

    Raises ValueError, when opened or when read, for a file that is not there, damaged or of another layout.

    >>> import tempfile
    >>> from graphs.deepnets.predefined import predefined
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_deepnets(f"{folder}/nets.hdf5", {"test": [predefined(C=16, n_cells=3)["vit"]]})
    ...     with DeepNetsFile(f"{folder}/nets.hdf5", "test") as nets:
    ...         print(len(nets), nets[0].graph.num_nodes, nets[0].recipe.arguments["C"])
    1 21 16
    """

    def __init__(
        self, path: Path | str, split: str, *, input_shape: tuple[int, int, int] = (3, 32, 32), outputs: int = 10
    ) -> None:
        import h5py

        self.path, self.split = checked(path), split
        self.asked = {"input_shape": input_shape, "outputs": outputs}
        self.nets, self.words, digest = read_meta(self.path, split)
        try:
            with ExitStack() as opened:
                self.file: Any = opened.enter_context(h5py.File(self.path, "r"))
                self._check(digest)
                opened.pop_all()
        except (OSError, RuntimeError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is no whole HDF5 file ({error}); write or download it again") from error

    def _check(self, digest: str) -> None:
        if self.file.attrs.get(DIGEST, digest) != digest:
            raise ValueError(f"{meta_path(self.path)} is not the meta file that {self.path} was written with")
        if self.split not in self.file or len(self.file[self.split]) != len(self.nets):
            found = len(self.file[self.split]) if self.split in self.file else "none"
            raise ValueError(
                f"{self.path}: expected {len(self.nets)} architectures in the split {self.split!r}, as in the meta "
                f"file, got {found}; the two files do not belong together"
            )

    def __len__(self) -> int:
        return len(self.nets)

    def __iter__(self) -> Iterator[StoredNet]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, number: int) -> StoredNet:
        if not 0 <= number < len(self):
            raise IndexError(f"{self.path}: expected a number below {len(self)}, got {number}")
        where = f"{self.path}: architecture {number} of {self.split!r}"
        try:
            recipe = recipe_of(self.nets[number], self.split, self.asked)
            adjacency, rows = self._arrays(number)
            graph = self._graph(recipe, adjacency, rows)
        except (ValueError, TypeError, KeyError, IndexError, OSError, RuntimeError) as error:
            raise ValueError(f"{where} is damaged or of another layout: {error}") from error
        distances = torch.from_numpy(adjacency.astype(np.int64))
        if not torch.equal(distances, graph.shortest_paths(CUTOFF)):
            raise ValueError(f"{where} is damaged: adj does not hold the lengths of shortest paths up to {CUTOFF}")
        return StoredNet(recipe, graph, distances)

    def _arrays(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        found = self.file[self.split][str(number)]
        adjacency, rows = np.asarray(found["adj"][()]), np.asarray(found["nodes"][()])
        fits = rows.shape[1:] == (3,) and adjacency.shape == rows.shape[:1] * 2
        if not fits or {adjacency.dtype.kind, rows.dtype.kind} != {"u"}:
            raise ValueError(
                f"expected adj [N, N] and nodes [N, 3] of unsigned numbers, got {adjacency.dtype} "
                f"{list(adjacency.shape)} and {rows.dtype} {list(rows.shape)}"
            )
        return adjacency, rows

    def _graph(self, recipe: Recipe, adjacency: np.ndarray, rows: np.ndarray) -> ComputationGraph:
        shapes = {n: s for node in published_graph(recipe).nodes for n, s in node.parameters.items()}
        nodes = []
        for row in rows.tolist():
            word, cell, op = self.words.read(row)
            primitive = primitive_of(word)
            nodes.append((primitive, parameters_of(primitive, cell, op, shapes)))
        left = sorted(shapes.keys() - {name for _, parameters in nodes for name in parameters})
        if left:
            raise ValueError(f"no node holds the parameters {', '.join(left[:3])} ({len(left)} in all)")
        edges = [(int(a), int(b)) for a, b in np.argwhere(adjacency == 1)]
        # Consumers in order, as the writer's.
        return make_graph(nodes, sorted(edges, key=lambda edge: (edge[1], edge[0])))

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> DeepNetsFile:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
