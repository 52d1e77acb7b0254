"""Reading an LMDB file in plain Python: every place it names is checked, so that a damaged file cannot crash us.

A file is pages: two meta pages, of which the one with the higher transaction number counts, then a B+ tree of branch
and leaf pages; a value larger than a page lies on overflow pages (http://www.lmdb.tech/doc/).
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC, _VERSIONS = 0xBEEFC0DE, (1, 2)
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG, _SUB, _DUPLICATES = 1, 2, 4
_HEADER = 16
_NONE = 2**64 - 1
_DEPTH = 16


class LmdbFile:
    """The main database of a ``data.mdb``, mapped; values are copied out when asked for.

    Raises ValueError that names the file when it is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        with path.open("rb") as file:
            try:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise self._damaged("it is empty") from error
        self._size, self._root = self._meta()
        self._pages = 0
        self._places: dict[bytes, tuple[int, int]] = {}
        for key, place in self._walk(self._root, 0) if self._root != _NONE else ():
            if key in self._places:
                raise self._damaged(f"the key {key!r} stands there twice")
            self._places[key] = place

    def keys(self) -> list[str]:
        return [key.decode("utf-8", "replace") for key in self._places]

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._places

    def __getitem__(self, key: str) -> bytes:
        if key not in self:
            raise self._damaged(f"it has no key {key!r}")
        start, size = self._places[key.encode()]
        return self._data[start : start + size]

    def _damaged(self, what: str) -> ValueError:
        return ValueError(f"{self.path}: expected an LMDB file, but {what}; it is damaged: get the file again")

    def _read(self, form: str, place: int) -> tuple[int, ...]:
        if not 0 <= place <= len(self._data) - struct.calcsize(form):
            raise self._damaged(f"byte {place} lies beyond its end")
        return struct.unpack_from(form, self._data, place)

    def _meta(self) -> tuple[int, int]:
        """Size of a page, page of the root."""
        magic, version = self._read("<II", _HEADER)
        (size,) = self._read("<I", _HEADER + 24)
        if magic != _MAGIC or version not in _VERSIONS or size not in [2**n for n in range(9, 17)]:
            raise self._damaged(f"it begins with magic {magic:#x}, version {version}, pages of {size} bytes")
        newest = max((self._read("<Q", start + _HEADER + 128)[0], start) for start in (0, size))[1]
        if self._read("<II", newest + _HEADER) != (magic, version):
            raise self._damaged("its two heads differ")
        return size, self._read("<Q", newest + _HEADER + 24 + 48 + 40)[0]

    def _walk(self, page: int, depth: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Keys in order, with the place and size of their values."""
        start = page * self._size
        self._pages += 1
        number, _, flags, lower, _ = self._read("<QHHHH", start)
        count = (lower - _HEADER) // 2
        if depth > _DEPTH or self._pages > len(self._data) // self._size or number != page or lower < _HEADER:
            raise self._damaged(f"its tree does not hold together at page {page}")
        if lower > self._size or flags & (_BRANCH | _LEAF) not in (_BRANCH, _LEAF):
            raise self._damaged(f"page {page} is no page of its tree")
        for offset in self._read(f"<{count}H", start + _HEADER):
            low, high, node_flags, key_size = self._read("<HHHH", start + offset)
            first = start + offset + 8
            if offset + 8 + key_size > self._size:
                raise self._damaged(f"a key leaves page {page}")
            if flags & _BRANCH:
                yield from self._walk(low | high << 16 | node_flags << 32, depth + 1)
            else:
                key = self._data[first : first + key_size]
                yield key, self._value(first + key_size, low | high << 16, node_flags)

    def _value(self, place: int, size: int, flags: int) -> tuple[int, int]:
        if flags & (_SUB | _DUPLICATES):
            raise self._damaged("it holds several values of one key")
        if flags & _BIG:
            (page,) = self._read("<Q", place)
            number, _, kind = self._read("<QHH", page * self._size)
            if number != page or not kind & _OVERFLOW:
                raise self._damaged(f"page {page} is no overflow page")
            place = page * self._size + _HEADER
        if place + size > len(self._data):
            raise self._damaged(f"a value of {size} bytes goes beyond its end")
        return place, size
