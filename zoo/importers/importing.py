"""Importing a foreign zoo: all of it, under its final name at the end, or nothing."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from graphs.durable import flush_folder
from zoo.importers.registry import find_format
from zoo.importers.sources import Sources
from zoo.importers.writing import ZooWriter

if TYPE_CHECKING:
    from zoo.store import Zoo


def import_zoo(format: str, src: str | Path, out: str | Path, progress: bool = True) -> "Zoo":
    """Read a zoo that others published into an ordinary zoo folder.

    Weights are kept bit for bit; no code of the source is run. The folder appears under its name once it is whole.

    Args:
        format: one of ``zoo.importers.FORMATS``.
        src: the folder as it was published.
        out: the folder of the zoo, new or empty.
        progress: count the networks on standard error.

    Returns the zoo. Raises ValueError that names the file when one is missing, damaged, of another format, or asks
    for code to be run.
    """
    from tqdm import tqdm

    from zoo.store import open_zoo

    read, sources, root = find_format(format).load(), Sources(src), _free(Path(out))
    _check_apart(sources.root.resolve(), root.resolve())
    with _under_another_name(root) as folder:
        writer = ZooWriter(folder, format)
        for network in tqdm(read(sources), f"import {format}", unit=" networks", disable=not progress):
            writer.add(network)
        writer.finish(sources)
    return open_zoo(root)


def _free(root: Path) -> Path:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(f"expected {root} to be new or empty, but something is there; import into another folder")
    return root


def _check_apart(src: Path, out: Path) -> None:
    if src == out or src in out.parents or out in src.parents:
        raise ValueError(f"expected two folders apart, got {src} and {out}; import into a folder beside the source")


@contextmanager
def _under_another_name(root: Path) -> Iterator[Path]:
    """A folder beside ``root`` that takes its name at the end of the block, and goes when the block fails."""
    root.parent.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root.with_name(f".{root.name}.{os.getpid()}.importing")
    folder.mkdir()
    try:
        yield folder
        os.replace(folder, root)
        flush_folder(root.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Delete what imports to this folder left that were killed."""
    for path in root.parent.iterdir():
        found = re.fullmatch(re.escape(f".{root.name}.") + r"([0-9]+)\.importing", path.name)
        if found and not _runs(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
