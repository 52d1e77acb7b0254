"""Files that are either wholly there after a crash or not there at all."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name, flush it to the disk, then rename it to ``path``."""
    with written_durably(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def written_durably(path: Path) -> Iterator[Path]:
    """A temporary name for the body to write a file under; then it is flushed to the disk and renamed to ``path``. An
    error leaves neither."""
    # The number keeps two writers of one file apart, on whatever machines: the last rename wins, and neither sees half
    # of the other.
    temporary = path.with_name(f"{path.name}.{secrets.randbits(48)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        # Where the disk is full, half a file would keep it so.
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def temporaries(folder: Path, pattern: str) -> list[Path]:
    """What a killed ``write_durably`` left in a folder for files whose names match ``pattern``, such as ``*.json``."""
    left = re.compile(r".+\.[0-9]+\.tmp")
    return [path for path in sorted(folder.glob(f"{pattern}.*.tmp")) if left.fullmatch(path.name) and path.is_file()]


def append_durably(path: Path, data: bytes) -> None:
    """Append ``data`` and flush it to the disk before returning; the file is as it was when that fails."""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            write_all(file, data)
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def write_all(file: RawIOBase, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file, which may take it in pieces."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
