"""A prediction written tensor by tensor into a safetensors file, for networks that do not fit in memory."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor, nn

from graphs.durable import written_durably
from graphs.layout import flat_layout
from hypernets.ghn.own_values import OwnValues
from hypernets.ghn.predicting import NOT_FINITE, kept, missing_notes, notes_on, read, report_rows, statistics_notes
from hypernets.ghn.report import Report, ReportRow
from hypernets.ghn.spectral import Vectors, singular_vectors, spectral_norms

if TYPE_CHECKING:
    from hypernets.ghn.model import GHN

# Names of the format, https://huggingface.co/docs/safetensors.
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Slot:
    """One tensor of the file.

    Args:
        name: state_dict entry. dtype, shape: of it.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def predict_to_file(ghn: GHN, module: nn.Module, inputs: tuple[Any, ...], path: str | Path, **kwargs: Any) -> Report:
    """Predict ``module`` into a safetensors file, one tensor in memory at a time; returns the report.

    A tied parameter is stored once, under its first name: load the file with ``safetensors.torch.load_model``. The file
    is there whole or not at all. The scale of activations is not compared with that of the own rule.

    Args:
        ghn: the hypernetwork.
        module: any network; on the meta device (``with torch.device("meta")``) it takes no memory itself. What cannot
            be predicted is then initialised by ``reset_parameters`` of its layer, or left out where there is none.
        inputs, kwargs: example inputs, on the device of the module.
        path: the file.

    Raises UntraceableError (a ValueError) for a module that cannot be traced, and ValueError for entries of a dtype
    that the format does not have; both before anything is written.
    """
    architecture, embeddings = read(ghn, module, *inputs, **kwargs)
    targets = {t.name: t for t in architecture.targets}
    own = OwnValues(module)
    rows = {row.name: row for row in report_rows(ghn, module, architecture)}
    slots, left_out = _slots(module, set(targets), own)
    by_name = {slot.name: slot for slot in slots}
    vectors = {name: norm for norm in spectral_norms(module) if norm.weight in targets for name in (norm.u, norm.v)}

    def value(slot: Slot) -> Tensor:
        if slot.name in targets:
            written = ghn.write_one(embeddings, targets[slot.name])
            if written.isfinite().all():
                return written
            rows[slot.name] = kept(rows[slot.name], NOT_FINITE)
        found = own[slot.name]
        if found is None:
            raise ValueError(
                f"{slot.name} has no finite prediction and no rule of its own; build the module on the CPU"
            )
        return turned(slot, vectors[slot.name], found) if slot.name in vectors else found

    def turned(slot: Slot, norm: Vectors, found: Tensor) -> Tensor:
        """The singular vector of a predicted weight."""
        weight = by_name[norm.weight]
        start = own[norm.u]
        u, v = singular_vectors(value(weight).to(weight.dtype), norm.axis, found if start is None else start)
        return u if slot.name == norm.u else v

    with torch.no_grad():
        write_safetensors(Path(path), slots, value)
    notes = notes_on(ghn, module, architecture) + statistics_notes(module, {})
    notes += missing_notes(left_out)
    return Report(tuple(_without_values(row, left_out) for row in rows.values()), tuple(notes))


def save_weights(path: str | Path, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Write a state_dict of ``module`` as a safetensors file, ties once, whole or not at all."""
    tied = _tied(module)
    slots = [Slot(name, t.dtype, tuple(t.shape)) for name, t in weights.items() if name not in tied]
    write_safetensors(Path(path), slots, lambda slot: weights[slot.name].detach())


def _tied(module: nn.Module) -> set[str]:
    """The later names of tensors that have several."""
    return {e.name for e in flat_layout(module).entries if e.tied_to is not None}


def _without_values(row: ReportRow, left_out: Iterable[str]) -> ReportRow:
    return replace(row, reason=row.reason + "; left out of the file") if row.name in left_out else row


def _slots(module: nn.Module, targets: set[str], own: OwnValues) -> tuple[list[Slot], list[str]]:
    """What the file is to hold, and the entries that have neither a prediction nor a value."""
    tied = _tied(module)
    slots, left_out = [], []
    for name, entry in module.state_dict(keep_vars=True).items():
        if name in tied:
            continue
        if name not in targets and own[name] is None:
            left_out.append(name)
        else:
            slots.append(Slot(name, entry.dtype, tuple(entry.shape)))
    return slots, left_out


def write_safetensors(path: Path, slots: list[Slot], value: Callable[[Slot], Tensor]) -> None:
    """Write the header, then each tensor as it is made.

    Raises ValueError for a dtype that the format does not have.

    >>> import tempfile
    >>> from safetensors.torch import load_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_safetensors(Path(folder) / "w", [Slot("a", torch.float32, (2,))], lambda slot: torch.ones(slot.shape))
    ...     load_file(Path(folder) / "w")
    {'a': tensor([1., 1.])}
    """
    header = _header(slots)
    with written_durably(path) as temporary, temporary.open("wb") as file:
        file.write(header)
        for slot in slots:
            _write(file, value(slot).to("cpu", slot.dtype))


def _header(slots: list[Slot]) -> bytes:
    """Eight bytes of length, then JSON padded to a multiple of eight."""
    entries: dict[str, Mapping[str, Any]] = {"__metadata__": {"format": "pt"}}
    first = 0
    for slot in slots:
        if slot.dtype not in DTYPES:
            raise ValueError(f"{slot.name} is {slot.dtype}, which safetensors does not hold; convert the module")
        ends = [first, first + slot.nbytes]
        entries[slot.name] = {"dtype": DTYPES[slot.dtype], "shape": list(slot.shape), "data_offsets": ends}
        first += slot.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _write(file: BinaryIO, tensor: Tensor) -> None:
    # Viewed as bytes: bfloat16 has no numpy dtype.
    tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tofile(file)
