"""Files that are either wholly there after a crash or not there at all."""

import os
import re
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name, flush it to the disk, then rename it to ``path``."""
    # The process id keeps two writers of one file apart: the last rename wins, and neither sees half of the other.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    flush_folder(path.parent)


def temporaries(folder: Path, pattern: str) -> list[Path]:
    """What a killed ``write_durably`` left in a folder for files whose names match ``pattern``, such as ``*.json``."""
    left = re.compile(r".+\.[0-9]+\.tmp")
    return [path for path in sorted(folder.glob(f"{pattern}.*.tmp")) if left.fullmatch(path.name) and path.is_file()]


def append_durably(path: Path, data: bytes) -> None:
    """Append ``data`` and flush it to the disk before returning."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
