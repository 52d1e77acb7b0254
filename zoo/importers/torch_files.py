"""Files of ``torch.save``: a zip archive of one restricted pickle and the raw bytes of its tensors, mapped."""

import math
import mmap
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.importers.unpickling import TensorReference, unpickle

if TYPE_CHECKING:
    from torch import Tensor

_LOCAL_HEADER = 30
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, OverflowError, EOFError, LookupError, OSError, ValueError)


class TorchFile:
    """An open file of ``torch.save``.

    Args:
        path: the file.
        allowed: classes that stand for those the format needs, see ``unpickling.unpickle``.

    ``content`` is what was saved, with a TensorReference in place of every tensor. Entries are stored, never
    compressed, as torch writes them, so that nothing read is larger than the file. Raises ValueError that names the
    file for anything else.
    """

    def __init__(self, path: Path, allowed: Mapping[str, type] | None = None):
        self.path = path
        try:
            self._data, self._entries = _open(path)
            pickles = [name for name in self._entries if name.endswith("/data.pkl") and name.count("/") == 1]
            if len(pickles) != 1:
                raise ValueError(f"it has {len(pickles)} entries NAME/data.pkl, not one")
            self._prefix = pickles[0].removesuffix("data.pkl")
            self._check_order()
            data = bytes(self._bytes(pickles[0]))
        except _UNREADABLE as error:
            raise ValueError(
                f"{path}: expected a file of torch.save in its zip format, but {str(error)[:300] or 'it is damaged'}; "
                "get the file again, or save it anew with torch.save(module.state_dict(), path)"
            ) from error
        self.content = unpickle(data, str(path), allowed)

    def _check_order(self) -> None:
        name = f"{self._prefix}byteorder"
        if name in self._entries and bytes(self._bytes(name)) != b"little":
            raise ValueError("its numbers are not little-endian")

    def _bytes(self, name: str) -> memoryview:
        start, size, checksum = self._entries[name]
        data = memoryview(self._data)[start : start + size]
        if len(data) != size or zlib.crc32(data) != checksum:
            raise ValueError(f"its entry {name!r} is cut short or has another checksum")
        return data

    def tensor(self, reference: Any) -> "Tensor":
        """The tensor of a reference, a view of the mapped file; writing to it changes this process's copy only."""
        import torch

        if not isinstance(reference, TensorReference):
            raise ValueError(f"{self.path}: expected a tensor, got {type(reference).__name__}")
        storage, shape, stride = reference.storage, reference.shape, reference.stride
        dtype = getattr(torch, storage.dtype)
        name = f"{self._prefix}data/{storage.key}"
        size = self._entries[name][1] if name in self._entries else None
        last = reference.offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=False) if n)
        fits = len(shape) == len(stride) and last < max(storage.count, 1) and math.prod(shape) <= storage.count
        if size != storage.count * dtype.itemsize or not fits:
            raise ValueError(
                f"{self.path}: a tensor of shape {shape} does not lie within its {storage.count} stored elements "
                f"({size} bytes); the file is damaged"
            )
        if not size:
            return torch.zeros(shape, dtype=dtype)
        return torch.frombuffer(self._data, dtype=dtype, count=storage.count, offset=self._start(name)).as_strided(
            shape, stride, reference.offset
        )

    def _start(self, name: str) -> int:
        try:
            self._bytes(name)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}; get the file again") from error
        return self._entries[name][0]

    def state_dict(self, value: Any = None) -> "dict[str, Tensor]":
        """The tensors of a mapping from names to tensors, of the whole content by default, in the order of the file."""
        value = self.content if value is None else value
        if not isinstance(value, dict) or not value or not all(isinstance(name, str) for name in value):
            raise ValueError(f"{self.path}: expected a state dict (names to tensors), got a {type(value).__name__}")
        return {name: self.tensor(reference) for name, reference in value.items()}


def _open(path: Path) -> tuple[mmap.mmap, dict[str, tuple[int, int, int]]]:
    """The mapped file and the place, size and checksum of each of its entries."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            raise ValueError("it begins otherwise (files of torch before 1.6 are not read)")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    entries = {info.filename: (_place(data, info), info.file_size, info.CRC) for info in infos}
    if len(entries) != len(infos):
        raise ValueError("two of its entries have one name")
    if sum(info.file_size for info in infos) > len(data):
        raise ValueError("its entries claim more bytes than it has")
    return data, entries


def _place(data: mmap.mmap, info: zipfile.ZipInfo) -> int:
    """Where the bytes of an entry begin."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise ValueError(f"its entry {info.filename[:80]!r} is compressed, which torch never does")
    head = data[info.header_offset : info.header_offset + _LOCAL_HEADER]
    if len(head) != _LOCAL_HEADER or head[:4] != b"PK\x03\x04":
        raise ValueError(f"its entry {info.filename[:80]!r} has no header")
    return (
        info.header_offset
        + _LOCAL_HEADER
        + int.from_bytes(head[26:28], "little")
        + int.from_bytes(head[28:30], "little")
    )
