"""Writing a zoo in the format of another library."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import write_durably
from zoo.exporting.folders import whole_folder
from zoo.store import Zoo, open_zoo

if TYPE_CHECKING:
    from tqdm import tqdm

# The module that writes each format, by its function `write(job)`.
TARGETS = {
    "hf": "zoo.exporting.hf",
    "hdf5": "zoo.exporting.hdf5",
    "pyg": "zoo.exporting.pyg",
    "safetensors": "zoo.exporting.safetensors",
}


@dataclass(frozen=True)
class ExportJob:
    """What one export has to write.

    Args:
        zoo: the networks.
        folder: where to; empty.
        states: ``all`` kept states, or the ``final`` one of each network.
        about: what ``about.yaml`` says.
        bar: the progress, in states.
    """

    zoo: Zoo
    folder: Path
    states: str
    about: dict[str, Any]
    bar: "tqdm[Any]"


def export(
    zoo: Zoo | str | Path,
    to: str,
    dest: str | Path,
    states: str = "all",
    licence: str = "unknown",
    progress: bool = True,
) -> Path:
    """Write networks of a zoo as a folder of another format, whole or not at all.

    While it is written the folder is called ``DEST.partial``.

    Args:
        zoo: an open zoo, filtered as you like, or its folder.
        to: ``hf`` (a Hugging Face data set: parquet and a card), ``hdf5`` (one file that can be read while it is
            written), ``pyg`` (an OnDiskDataset, ``zoo.exporting.pyg.ZooDataset``) or ``safetensors`` (a file a state
            and a table).
        dest: the folder, new or empty.
        states: ``all`` kept states, or the ``final`` one of each network.
        licence: of the weights, as the Hugging Face hub spells it, such as ``cc-by-4.0``.
        progress: show a bar on standard error.

    Returns ``dest``. Raises ValueError for an unknown format, an empty zoo and a folder that is not free; OSError when
    the disk is full.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec(data={"source": "digits", "limit": 50}, recipes=("mlp",), members=2, epochs=1)
    >>> z = zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)
    >>> sorted(path.name for path in zoo.export(z, "hdf5", tempfile.mkdtemp(), progress=False).iterdir())
    ['about.yaml', 'zoo.h5']
    """
    from tqdm import tqdm

    from zoo.exporting.about import about, about_text

    if to not in TARGETS:
        raise ValueError(f"to: expected one of {', '.join(TARGETS)}, got {to!r}")
    zoo = zoo if isinstance(zoo, Zoo) else open_zoo(zoo)
    total = len(zoo.samples(states))
    if not total:
        raise ValueError(
            f"expected at least one network to export, but nothing of {zoo.root} is left; widen the filter, or wait "
            "until the first shard is safe"
        )
    write: Callable[[ExportJob], None] = import_module(TARGETS[to]).write
    with whole_folder(Path(dest)) as folder, tqdm(total=total, unit="state", disable=not progress) as bar:
        facts = about(zoo, states, licence)
        write_durably(folder / "about.yaml", about_text(facts).encode())
        write(ExportJob(zoo, folder, states, facts, bar))
    return Path(dest)
