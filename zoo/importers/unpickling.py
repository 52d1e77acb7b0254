"""Unpickling that runs no code: containers, numbers, text, references to tensors, inert stand-ins for named classes.

Nothing that a pickle names is ever imported. A global is looked up in a fixed table of classes that only keep what they
are given; any other is refused by its name. The pure-Python unpickler is used because the C one reserves memory for
whatever size or memo index a damaged file claims.
"""

import pickle
from collections.abc import Mapping
from io import BytesIO
from typing import Any

# What a damaged or malicious stream makes the unpickler raise.
_UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    RecursionError, TypeError, ValueError, pickle.UnpicklingError,
)  # fmt: skip

_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class Inert(dict[Any, Any]):
    """Stands for an object of a class that is not here: what was pickled of it, with none of its behaviour.

    Its items are those that were set; ``arguments`` are what the class was called with, ``state`` is what
    ``__setstate__`` would have received, ``elements`` what was appended.
    """

    def __new__(cls, *arguments: Any, **_: Any) -> "Inert":
        made = super().__new__(cls)
        made.arguments, made.state, made.elements = arguments, None, []
        return made

    def __init__(self, *_: Any, **__: Any):
        super().__init__()

    arguments: tuple[Any, ...]
    state: Any
    elements: list[Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, element: Any) -> None:
        self.elements.append(element)

    def extend(self, elements: list[Any]) -> None:
        self.elements.extend(elements)


class Ordered(dict[Any, Any]):
    """Stands for OrderedDict; what is set on the object itself, such as a state_dict's ``_metadata``, is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


class PathText(str):
    """A pickled path, as text."""

    def __new__(cls, *parts: Any) -> "PathText":
        return super().__new__(cls, "/".join(str(part).strip("/") for part in parts if isinstance(part, str)))

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a path has no state")


class StorageType:
    """The class of a storage: it only tells the dtype."""

    def __init__(self, dtype: str):
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a storage class has no state")


class StorageReference:
    """A storage of the file that holds the pickle: dtype, key, number of elements."""

    def __init__(self, dtype: str, key: str, count: int):
        self.dtype, self.key, self.count = dtype, key, count

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a storage has no state")


class TensorReference:
    """A tensor of the file that holds the pickle: what ``_rebuild_tensor_v2`` is called with."""

    def __init__(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any):
        sizes = (*shape, *stride, offset) if isinstance(shape, tuple) and isinstance(stride, tuple) else (None,)
        if not isinstance(storage, StorageReference) or not all(type(n) is int and n >= 0 for n in sizes):
            raise ValueError(f"a tensor of shape {str(shape)[:80]} and stride {str(stride)[:80]} cannot be")
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a tensor has no state")


class _Parameter:
    """Stands for ``_rebuild_parameter``: the tensor itself."""

    def __new__(cls, data: Any, *_: Any) -> Any:
        return data

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a parameter has no state")


class _Size:
    """Stands for torch.Size: a tuple."""

    def __new__(cls, sizes: Any = ()) -> Any:
        return tuple(sizes)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a size has no state")


_KNOWN: dict[str, type] = {
    "collections.OrderedDict": Ordered,
    "torch._utils._rebuild_tensor_v2": TensorReference,
    "torch._utils._rebuild_parameter": _Parameter,
    "torch.Size": _Size,
}


class _Unpickler(pickle._Unpickler):
    def __init__(self, data: bytes, allowed: Mapping[str, type]):
        super().__init__(BytesIO(data), encoding="utf-8")
        self.allowed = {**_KNOWN, **allowed}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module == "torch" and name in _STORAGES:
            return StorageType(_STORAGES[name])
        found = self.allowed.get(full, self.allowed.get(f"*.{name}"))
        if found is None:
            raise Refused(full)
        return found

    def get_extension(self, code: int) -> Any:
        raise Refused(f"extension {code}")

    def persistent_load(self, pid: Any) -> StorageReference:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], StorageType)):
            raise ValueError(f"expected the reference of a storage, got {str(pid)[:80]}")
        if not (isinstance(pid[2], str) and type(pid[4]) is int and pid[4] >= 0):
            raise ValueError(f"expected the key and size of a storage, got {str(pid[2])[:80]}")
        return StorageReference(pid[1].dtype, pid[2], pid[4])


def _refuse_bytearray(_: Any) -> None:
    # It is made, zeros and all, before the stream is asked whether it is that long.
    raise Refused("builtins.bytearray")


_Unpickler.dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _refuse_bytearray}


class Refused(ValueError):
    """A pickle names a global that is not allowed."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


def unpickle(data: bytes, where: str, allowed: Mapping[str, type] | None = None) -> Any:
    """The content of a pickle; nothing is imported or called but the inert classes of this file.

    Args:
        data: the pickle.
        where: what errors call it.
        allowed: ``module.name`` or ``*.name`` of the classes the format needs -> what stands for them.

    Raises ValueError that names the global when the pickle asks for any other, and when it is damaged.

    >>> unpickle(bytes.fromhex("80027d7101580100000061710258010000006271037386712e")[:-3] + b".", "x")
    {'a': 'b'}
    """
    try:
        return _Unpickler(data, allowed or {}).load()
    except Refused as error:
        raise ValueError(
            f"{where}: its pickle asks for {error.name!r}, which could run code and is refused; only tensors and plain "
            "containers are read: save it again as a state dict"
        ) from None
    except _UNREADABLE as error:
        raise ValueError(
            f"{where}: expected a pickle, but it is damaged ({type(error).__name__}: {str(error)[:200]}); get the file "
            "again"
        ) from error
