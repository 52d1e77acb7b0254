"""The splits that a source publishes beside its networks: JSON of {split: {path: [...], ...}}."""

from typing import Any

from zoo.importers.documents import read_json
from zoo.importers.sources import Sources


def published_splits(sources: Sources, parts: int = 3) -> dict[str, dict[str, str]]:
    """For every ``*splits*.json`` below the source: the last ``parts`` of a network's path -> its split.

    Paths are as they were on the machine of the authors, so that only their ends can be compared; none is opened.
    Raises ValueError for a path that stands in two splits.
    """
    found: dict[str, dict[str, str]] = {}
    for path in sources.find("*splits*.json"):
        table = found[path.stem] = {}
        for split, row in read_json(sources(path)).items():
            for name in _paths(row):
                if not isinstance(name, str):
                    raise ValueError(f"{path}: expected paths in the split {split!r}, got {str(name)[:80]!r}")
                tail = "/".join(name.split("/")[-parts:])
                if table.setdefault(tail, split) != split:
                    raise ValueError(f"{path}: {tail!r} stands in the splits {table[tail]!r} and {split!r}")
    return found


def _paths(row: Any) -> list[Any]:
    row = row.get("path") if isinstance(row, dict) else row
    return row if isinstance(row, list) else []
