"""The files an import reads: all below one folder, each noted with its checksum."""

from pathlib import Path, PurePosixPath
from typing import Any

from zoo.manifest import file_record

LONGEST_NAME = 255


class Sources:
    """The folder an import reads from.

    Args:
        root: the folder.

    ``files`` holds size and checksum of every file that was noted, by its name below the folder.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.files: dict[str, dict[str, Any]] = {}
        if not self.root.is_dir():
            raise ValueError(f"expected a folder to import from, but {self.root} is none")

    def __call__(self, path: Path) -> Path:
        """The file, once it is noted; raises ValueError when it is not there."""
        if not path.is_file():
            raise ValueError(f"expected the file {path}, but it is not there")
        name = self.name(path)
        if name not in self.files:
            self.files[name] = file_record(path)
        return path

    def name(self, path: Path) -> str:
        """A path as it is called below the folder."""
        return path.relative_to(self.root).as_posix()

    def find(self, pattern: str) -> list[Path]:
        """The files whose name below the folder matches, in order; folders that are links are not entered."""
        return sorted(path for path in self.root.glob(pattern) if path.is_file())

    def inside(self, name: Any, where: Path) -> Path:
        """The file that ``where`` calls ``name``; raises ValueError for a name that leads out of the folder."""
        parts = name.split("/") if isinstance(name, str) and name and "\0" not in name else [LONGEST_NAME * "x"]
        fits = len(parts) < 64 and all(len(part.encode("utf-8", "replace")) < LONGEST_NAME for part in parts)
        pure = PurePosixPath(name) if fits else None
        if pure is None or pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in pure.parts[0]:
            raise ValueError(f"{where}: expected the name of a file below {self.root}, got {str(name)[:200]!r}")
        return self.root / pure

    def to_dict(self) -> dict[str, Any]:
        return {"root": self.root.resolve().name, "files": dict(sorted(self.files.items()))}
