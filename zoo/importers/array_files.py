"""Arrays on disk, mapped: npy files and safetensors files whose headers are checked against their size."""

import json
import math
import mmap
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.documents import without_duplicates

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"}
_DTYPES |= {"I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}
_LONGEST_HEADER = 100_000_000


def open_npy(path: Path, dtype: str = "<f4", ndim: int = 2) -> "np.ndarray":
    """An npy file, mapped for reading.

    Raises ValueError that names the file when it is no npy file of this dtype and number of axes, or has not exactly
    the bytes that its header claims.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran, found = read[version](file)
            offset = file.tell()
    except (ValueError, SyntaxError, TypeError, LookupError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise ValueError(f"{path}: expected an npy file, but its header is damaged ({str(error)[:200]})") from error
    if found != np.dtype(dtype) or len(shape) != ndim or fortran or min(shape) < 0:
        raise ValueError(
            f"{path}: expected {ndim} axes of {np.dtype(dtype)} in C order, got shape {shape} of {found}"
            f"{' in Fortran order' if fortran else ''}"
        )
    expected, size = offset + math.prod(shape) * found.itemsize, path.stat().st_size
    if size != expected:
        raise ValueError(f"{path}: its header claims shape {shape}, {expected} bytes, but it has {size}; get it again")
    return np.memmap(path, found, "r", offset, shape) if math.prod(shape) else np.zeros(shape, found)


def open_safetensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file in the order of its bytes, views of the mapped file.

    Raises ValueError that names the file when its header is damaged, names a tensor twice, or does not account for
    every byte once.
    """
    try:
        return _safetensors(path)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(
            f"{path}: expected a safetensors file, but it is damaged ({str(error)[:300]}); get the file again"
        ) from error


def _safetensors(path: Path) -> "dict[str, Tensor]":
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(path.stat().st_size - 8, _LONGEST_HEADER):
            raise ValueError(f"its header claims {length} bytes")
        rows = json.loads(file.read(length), object_pairs_hook=without_duplicates)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    rows.pop("__metadata__", None)
    spans = sorted((*_span(row), name) for name, row in rows.items())
    end = 0
    for first, last, name in spans:
        if first != end:
            raise ValueError(f"{name!r} begins at byte {first}, expected {end}")
        end = last
    if 8 + length + end != len(data):
        raise ValueError(f"it has {len(data)} bytes, its header accounts for {8 + length + end}")
    return {name: _view(data, 8 + length + first, rows[name]) for first, _, name in spans}


def _span(row: dict[str, Any]) -> tuple[int, int]:
    import torch

    shape, (first, last) = row["shape"], row["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, first, last)):
        raise ValueError(f"shape {shape} and offsets {first}, {last} are not counts")
    expected = math.prod(shape) * getattr(torch, _DTYPES[row["dtype"]]).itemsize
    if last - first != expected:
        raise ValueError(f"shape {shape} of {row['dtype']} takes {expected} bytes, not {last - first}")
    return first, last


def _view(data: mmap.mmap, start: int, row: dict[str, Any]) -> "Tensor":
    import torch

    dtype, count = getattr(torch, _DTYPES[row["dtype"]]), math.prod(row["shape"])
    if not count:
        return torch.zeros(row["shape"], dtype=dtype)
    return torch.frombuffer(data, dtype=dtype, count=count, offset=start).view(row["shape"])
