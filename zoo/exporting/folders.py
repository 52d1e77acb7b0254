"""A folder that is either wholly there or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphs.durable import flush_folder
from zoo.locking import builder_lock

PARTIAL = ".partial"
LOCK = ".lock"


@contextmanager
def whole_folder(dest: Path) -> Iterator[Path]:
    """A folder ``DEST.partial`` to write into, which becomes ``dest`` at the end of the block.

    What the block wrote is on the disk before it gets its name; after an error nothing is left. What a killed process
    left is written anew. Raises ValueError when ``dest`` is not free, or is being written by another process.
    """
    dest = dest.absolute()
    partial = dest.with_name(dest.name + PARTIAL)
    _check_free(dest)
    _check_own(partial)
    partial.mkdir(parents=True, exist_ok=True)
    with builder_lock(partial):
        try:
            _clear(partial)
            yield partial
            _settle(partial)
        except BaseException:
            shutil.rmtree(partial)
            raise
        (partial / LOCK).unlink()
        os.replace(partial, dest)
    flush_folder(dest.parent)


def _check_free(dest: Path) -> None:
    if dest.exists() and not dest.is_dir():
        raise ValueError(f"expected a folder to export into, but {dest} is a file; give another name")
    held = sorted(path.name for path in dest.iterdir())[:5] if dest.exists() else []
    if held:
        raise ValueError(f"expected {dest} to be new or empty, but it holds {', '.join(held)}; give another folder")


def _check_own(partial: Path) -> None:
    """Refuse a folder of this name that is somebody else's: what is in it would be deleted."""
    if partial.exists() and not (partial / LOCK).is_file():
        raise ValueError(f"expected no folder {partial}, which this export needs for itself; move it away")


def _clear(partial: Path) -> None:
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _settle(folder: Path) -> None:
    """Flush everything in the folder to the disk."""
    # All at once is far quicker for many files; each by itself then reports its own errors.
    os.sync()
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        flush_folder(Path(parent))
