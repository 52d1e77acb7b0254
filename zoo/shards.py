"""A shard: the weights and metrics of some networks of one architecture, in one safetensors file.

Tensors: ``states [T, E, P]`` float32, ``other/NAME [T, E, ...]`` integer entries, ``metrics/NAME`` float64 ``[T, E]``
or ``[T, E, classes]``, and ``label [E]`` for image networks. The one metadata key ``zoo`` is JSON: format, shard,
recipe, layout, ids, status.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.layout import Layout
from zoo.digests import canonical_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo.population import PopulationResult

FORMAT = 1
# The dtypes a shard may hold, as safetensors names them.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"}
_DTYPES |= {"I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}


def shard_bytes(result: "PopulationResult", facts: dict[str, Any], label: "Tensor | None") -> bytes:
    """The file of one shard: equal results give equal bytes."""
    import torch
    from safetensors.torch import save

    tensors = {"states": result.states.contiguous()}
    tensors |= {f"other/{name}": value.contiguous() for name, value in result.other.items()}
    tensors |= {f"metrics/{name}": torch.as_tensor(v, dtype=torch.float64) for name, v in result.metrics.items()}
    tensors |= {"label": label} if label is not None else {}
    # One key: the order of several would differ from process to process.
    return save(tensors, {"zoo": canonical_json({"format": FORMAT, **facts, "status": result.status})})


@dataclass(frozen=True)
class Shard:
    """An open shard; its tensors are views of the mapped file, read from the disk when touched.

    Writing to them changes this process's copy only, never the file.
    """

    facts: dict[str, Any]
    tensors: dict[str, "Tensor"]
    layout: Layout

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Map a shard's file; raises ValueError that names it when it is missing or cut short."""
        try:
            return cls._map(path)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"the shard {path} cannot be read ({error}); `zoo verify {path.parent.parent}` tells what is damaged, "
                "`zoo build` with the same spec trains it again"
            ) from error

    @classmethod
    def _map(cls, path: Path) -> "Shard":
        data = _map_file(path)
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        header = json.loads(data[8:start].tobytes())
        facts = json.loads(header.pop("__metadata__")["zoo"])
        if start + max(row["data_offsets"][1] for row in header.values()) != len(data):
            raise ValueError(f"it has {len(data)} bytes, which is not what its header says")
        tensors = {name: _view(data, start, row) for name, row in header.items()}
        return cls(facts, tensors, Layout.from_json(facts["layout"]))

    @property
    def states(self) -> "Tensor":
        """``[T, E, P]``"""
        return self.tensors["states"]

    def flat(self, state: int, place: int) -> "Tensor":
        """``[P]``: a copy, so that a caller who edits it leaves the zoo as it is."""
        return self.states[state, place].clone()

    def other(self, state: int, place: int) -> dict[str, "Tensor"]:
        """The integer entries of one network's state."""
        return {name: tensor[state, place].clone() for name, tensor in self._group("other/")}

    @property
    def metrics(self) -> dict[str, "np.ndarray"]:
        """``[T, E]`` or ``[T, E, classes]`` by name, sorted by name."""
        return {name: tensor.numpy() for name, tensor in self._group("metrics/")}

    def _group(self, prefix: str) -> "list[tuple[str, Tensor]]":
        names = sorted(name for name in self.tensors if name.startswith(prefix))
        return [(name.removeprefix(prefix), self.tensors[name]) for name in names]


def _map_file(path: Path) -> "np.ndarray":
    """The bytes of a file ``[size]``, mapped; no descriptor stays open, so thousands may be mapped at once."""
    import torch

    size = path.stat().st_size
    if size < 8:
        raise ValueError(f"it has {size} bytes, expected a header of at least 8")
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()


def _view(data: "np.ndarray", start: int, row: dict[str, Any]) -> "Tensor":
    import torch

    dtype = getattr(torch, _DTYPES[row["dtype"]])
    first, last = row["data_offsets"]
    if first == last:
        return torch.zeros(row["shape"], dtype=dtype)
    count = (last - first) // dtype.itemsize
    return torch.frombuffer(data, dtype=dtype, count=count, offset=start + first).view(row["shape"])
