"""Where every state_dict entry lies in the flat vector P of a network's weights.

P holds the floating entries in state_dict order, buffers included and marked, a tied tensor once. Integer and other
entries travel verbatim beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from graphs.execution.overlaps import overlapping
from graphs.memory import empty


@dataclass(frozen=True)
class Entry:
    """One state_dict entry.

    Args:
        name: state_dict key.
        shape: its shape.
        dtype: name of its torch dtype, such as ``float32``.
        offset: first element in P; None for an entry that is not floating.
        is_buffer: whether it is a buffer (batch-norm statistics) rather than a parameter.
        tied_to: name of the earlier entry that stores the same tensor, if any.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int | None
    is_buffer: bool = False
    tied_to: str | None = None

    @property
    def numel(self) -> int:
        return torch.Size(self.shape).numel()

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)


@dataclass(frozen=True)
class Layout:
    """The order of a state_dict in P, both ways.

    Shapes: P is ``[num_parameters]``; ``flatten`` and ``unflatten`` are inverse bit for bit when all floating entries
    share the dtype of P.

    >>> layout = flat_layout(nn.Linear(2, 3))
    >>> layout.num_parameters, [entry.offset for entry in layout.entries]
    (9, [0, 6])
    """

    entries: tuple[Entry, ...]
    num_parameters: int = field(init=False)

    def __post_init__(self) -> None:
        stored = [e for e in self.entries if e.offset is not None and e.tied_to is None]
        object.__setattr__(self, "num_parameters", sum(e.numel for e in stored))

    @property
    def stored(self) -> tuple[Entry, ...]:
        """The entries whose elements P holds: floating, each tie once."""
        return tuple(e for e in self.entries if e.offset is not None and e.tied_to is None)

    @property
    def mixed(self) -> bool:
        """Whether the floating entries are of several dtypes."""
        return len({e.dtype for e in self.stored}) > 1

    def flatten(self, state_dict: Mapping[str, Tensor]) -> Tensor:
        """P ``[num_parameters]`` in the widest dtype of the floating entries."""
        self.check(state_dict)
        pieces = [state_dict[e.name].detach().reshape(-1) for e in self.stored]
        if not pieces:
            return torch.zeros(0)
        dtype = pieces[0].dtype
        for piece in pieces:
            dtype = torch.promote_types(dtype, piece.dtype)
        out = empty(self.num_parameters, dtype, pieces[0].device)
        return torch.cat([piece.to(dtype) for piece in pieces], out=out)

    def unflatten(self, flat: Tensor, other: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The state_dict whose floating entries are views into ``flat``, in the dtype of ``flat``; a layout of several
        floating dtypes gives each entry its own, as a copy.

        Raises ValueError when ``flat`` has another length or an integer entry is missing from ``other``.
        """
        if flat.shape != (self.num_parameters,):
            raise ValueError(
                f"expected a flat vector of {self.num_parameters} weights, got shape {tuple(flat.shape)}; "
                "the weights belong to another architecture"
            )
        return {e.name: self._entry(e, flat, other or {}) for e in self.entries}

    def _entry(self, entry: Entry, flat: Tensor, other: Mapping[str, Tensor]) -> Tensor:
        if entry.offset is not None:
            piece = flat[entry.offset : entry.offset + entry.numel].view(entry.shape)
            return piece.to(entry.torch_dtype) if self.mixed else piece
        if entry.name not in other:
            raise ValueError(
                f"the entry {entry.name!r} ({entry.dtype}) is not part of the flat vector and was not given; "
                f"pass other={{{entry.name!r}: tensor}}, got {sorted(other)}"
            )
        return other[entry.name]

    def other(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The entries that P does not hold (integer counters, masks), as they are."""
        return {e.name: state_dict[e.name] for e in self.entries if e.offset is None}

    def check(self, state_dict: Mapping[str, Tensor]) -> None:
        """Raise ValueError unless ``state_dict`` has exactly these names and shapes."""
        expected = {e.name: e.shape for e in self.entries}
        missing, extra = expected.keys() - state_dict.keys(), state_dict.keys() - expected.keys()
        if missing or extra:
            raise ValueError(
                f"the weights are of another architecture: missing entries {sorted(missing)}, "
                f"unexpected entries {sorted(extra)}; trace the module that made them"
            )
        for name, shape in expected.items():
            if tuple(state_dict[name].shape) != shape:
                raise ValueError(
                    f"entry {name!r}: expected shape {shape}, got {tuple(state_dict[name].shape)}; "
                    "the weights are of another architecture"
                )

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(e) for e in self.entries]

    @classmethod
    def from_json(cls, rows: list[dict[str, Any]]) -> Layout:
        return cls(tuple(Entry(**{**row, "shape": tuple(row["shape"])}) for row in rows))


def flat_layout(source: nn.Module | Mapping[str, Tensor]) -> Layout:
    """The Layout of a module, or of a state_dict (whose buffers cannot be told from parameters).

    Two entries are tied when they are the same memory read in the same way.

    Raises ValueError for an entry that is no dense tensor, and for two that share memory but are read differently.
    """
    state = source.state_dict(keep_vars=True) if isinstance(source, nn.Module) else source
    parameters = (
        {n for n, _ in source.named_parameters(remove_duplicate=False)} if isinstance(source, nn.Module) else set(state)
    )
    _check_tensors(state)
    entries, seen, offset = [], {}, 0
    for name, tensor in state.items():
        row = {"name": name, "shape": tuple(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
        if not tensor.is_floating_point():
            entries.append(Entry(**row, offset=None, is_buffer=True))
            continue
        first = seen.setdefault(_identity(tensor, name), (name, offset))
        tied = first[0] if first[0] != name else None
        entries.append(Entry(**row, offset=first[1], is_buffer=name not in parameters, tied_to=tied))
        offset += 0 if tied else tensor.numel()
    return Layout(tuple(entries))


def _check_tensors(state: Mapping[str, Any]) -> None:
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"entry {name!r} is a {type(tensor).__name__}, expected a tensor; leave extra state out")
        if tensor.layout != torch.strided or tensor.is_quantized:
            kind = tensor.dtype if tensor.is_quantized else tensor.layout
            raise ValueError(
                f"entry {name!r} is of {kind}, expected a dense tensor of numbers; use to_dense() or dequantize()"
            )
    shared = overlapping({n: t for n, t in state.items() if t.is_floating_point()})
    if shared is not None:
        raise ValueError(
            f"entries {shared[0]!r} and {shared[1]!r} share some memory but are not the same tensor, so that they "
            "cannot be written apart; use one parameter in both places (and transpose it in forward), or clone one"
        )


def _identity(tensor: Tensor, name: str) -> tuple:
    """What two state_dict entries must share to be one tensor; an empty or meta tensor is only itself."""
    if tensor.numel() == 0 or tensor.is_meta:
        return (name,) if tensor.numel() == 0 else (id(tensor),)
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
