"""Imported networks as shards, table and manifest of an ordinary zoo."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import write_durably
from zoo.digests import canonical_json, digest
from zoo.importers.network import ForeignNetwork
from zoo.importers.rows import joined, rows_of
from zoo.importers.sources import Sources
from zoo.manifest import Manifest, file_record
from zoo.plans import architecture_digest
from zoo.shards import shard_bytes
from zoo.table import table_bytes
from zoo.topologies import topology_files, trace_recipes

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_BYTES = 2**26
HELD_BYTES = 2**28
SHARD_SIZE = 1024
SOURCES = "sources.json"


class ZooWriter:
    """Writes networks of any architectures into a folder, shard by shard.

    Networks of one architecture, with as many states and the same metrics, share shards. No more than ``HELD_BYTES`` of
    weights wait in memory; networks that are equal in every bit, with their architecture, are stored once.

    Args:
        root: an empty folder.
        format: name of the foreign format.
    """

    def __init__(self, root: Path, format: str):
        self.root, self.format = root, format
        self.records: list[dict[str, Any]] = []
        self.tables: list[pa.Table] = []
        self.architectures: set[str] = set()
        self.duplicates: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._waiting: dict[str, list[tuple[str, ForeignNetwork]]] = {}
        (root / "shards").mkdir()
        (root / "topologies").mkdir()

    def add(self, network: ForeignNetwork) -> None:
        """Take a network; it is written at the latest by ``finish``."""
        member = member_id(network)
        if member in self._ids:
            self.duplicates[network.source] = self._ids[member]
            return
        self._ids[member] = network.source
        key = _shard_key(network)
        self._waiting.setdefault(key, []).append((member, network))
        if _size(self._waiting[key]) >= SHARD_BYTES or len(self._waiting[key]) >= SHARD_SIZE:
            self._write(key)
        elif sum(map(_size, self._waiting.values())) >= HELD_BYTES:
            self._write(max(self._waiting, key=lambda key: _size(self._waiting[key])))

    def _write(self, key: str) -> None:
        import torch

        from zoo.population import PopulationResult

        ids, networks = zip(*self._waiting.pop(key), strict=True)
        first, index = networks[0], len(self.records)
        states = torch.stack([network.states for network in networks], 1)
        other = {name: torch.stack([network.other[name] for network in networks], 1) for name in first.other}
        metrics = {name: _columns(networks, name) for name in first.metrics}
        status = ["ok" if bool(network.states.isfinite().all()) else "diverged" for network in networks]
        facts = {"shard": index, "recipe": first.recipe, "loss": None, "layout": first.layout.to_json()}
        facts["ids"] = list(ids)
        labels = [network.label for network in networks]
        label = torch.tensor(labels) if None not in labels else None
        file = f"shards/shard-{index:05d}.safetensors"
        write_durably(self.root / file, shard_bytes(PopulationResult(states, other, metrics, status), facts, label))
        record = {"shard": index, "file": file, **file_record(self.root / file), "members": len(ids)}
        self.records.append({**record, "diverged": status.count("diverged"), "seconds": 0.0})
        architecture = architecture_of(first.recipe)
        self.architectures.add(architecture)
        self.tables.append(rows_of(ids, networks, status, index, architecture, self.format))

    def finish(self, sources: Sources) -> None:
        """Write what waits, then the derived files, then the manifest; raises ValueError when there is no network."""
        from zoo.beginning import versions

        for key in list(self._waiting):
            self._write(key)
        if not self.records:
            raise ValueError(f"expected networks of the format {self.format} in {sources.root}, but there are none")
        table = joined(self.tables)
        files = {"table.arrow": table_bytes(table), **topology_files(trace_recipes(table["recipe"].to_pylist()))}
        files[SOURCES] = canonical_json({**sources.to_dict(), "duplicates": self.duplicates}).encode() + b"\n"
        for name, data in files.items():
            write_durably(self.root / name, data)
        root = sources.to_dict()["root"]
        imported = {"format": self.format, "source": root, "files": len(sources.files)}
        imported |= {"bytes": sum(row["bytes"] for row in sources.files.values()), "duplicates": len(self.duplicates)}
        why = f"trained elsewhere, imported from {self.format} {root}"
        header = {"imported": imported, "spec": None, "data": {"name": root, "fingerprint": ""}, "parameters": {}}
        header["trainers"] = {name: {"name": "imported", "why": why} for name in sorted(self.architectures)}
        manifest = Manifest.create(self.root, {**header, "versions": versions()})
        for record in self.records:
            manifest.add_shard(record)
        manifest.complete({name: file_record(self.root / name) for name in files})


def member_id(network: ForeignNetwork) -> str:
    """Sixteen digits that are equal for equal networks: of architecture, epochs and every bit of the weights."""
    import torch

    data = network.states.contiguous().view(torch.uint8).numpy().data
    other = {name: value.tolist() for name, value in network.other.items()}
    return digest([network.recipe, list(network.epochs), hashlib.sha256(data).hexdigest(), other])[:16]


def architecture_of(recipe: Mapping[str, Any]) -> str:
    """The digest of a recipe without what may differ within a shard."""
    arguments = {k: v for k, v in recipe["arguments"].items() if k not in ("activation", "dropout")}
    return architecture_digest({**recipe, "arguments": arguments}, None)


def _shard_key(network: ForeignNetwork) -> str:
    layout, dtype, kept = network.layout.to_json(), str(network.states.dtype), len(network.epochs)
    labelled = network.label is not None
    parts = [architecture_of(network.recipe), layout, dtype, kept, sorted(network.metrics), labelled]
    return digest(parts)


def _size(waiting: list[tuple[str, ForeignNetwork]]) -> int:
    # All have the shape of the first.
    return len(waiting) * waiting[0][1].states.nbytes


def _columns(networks: tuple[ForeignNetwork, ...], name: str) -> Any:
    """``[T, E]``"""
    import numpy as np

    return np.stack([np.array(network.metrics[name], np.float64) for network in networks], 1)
