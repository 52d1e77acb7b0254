"""The manifest: one JSON line for each thing a builder has safely finished.

Line 1 is the header, the facts that were frozen when building started. A ``shard`` line acknowledges a shard, a
``complete`` line the files derived from all of them. Lines are only ever appended, each flushed to the disk, so a crash
can damage the last one alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphs.durable import append_durably, write_durably
from zoo.digests import canonical_json, file_digest
from zoo.planning import Facts

FORMAT = 1
NAME = "manifest.jsonl"


@dataclass
class Manifest:
    """What the manifest of a zoo says.

    Args:
        path: the file.
        header: format, spec digest, data, parameters, trainers, versions.
        shards: shard number -> its newest line (file, bytes, sha256, members, ...).
        files: derived file -> {bytes, sha256}; empty until the zoo is complete.
        damaged: numbers of unreadable lines; a torn last line is normal after a crash.
    """

    path: Path
    header: dict[str, Any]
    shards: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)

    @classmethod
    def create(cls, root: Path, header: dict[str, Any]) -> "Manifest":
        """Write a manifest of the header alone."""
        header = {"kind": "header", "format": FORMAT, **header}
        write_durably(root / NAME, _line(header))
        return cls(root / NAME, header)

    @classmethod
    def read(cls, root: Path) -> "Manifest":
        """Read a manifest as far as it can be read; raises ValueError when its header cannot."""
        lines = (root / NAME).read_bytes().split(b"\n")
        header = _parse(lines[0])
        if header is None or header.get("kind") != "header":
            raise ValueError(
                f"{root / NAME}: expected a header in line 1, got {lines[0][:80]!r}; restore the file from a copy, "
                "or build into another folder"
            )
        if header["format"] != FORMAT:
            raise ValueError(f"{root}: expected zoo format {FORMAT}, got {header['format']}; use a newer metazoo")
        manifest = cls(root / NAME, header)
        for number, line in enumerate(lines[1:], start=2):
            manifest._take(number, line)
        return manifest

    def _take(self, number: int, line: bytes) -> None:
        row = _parse(line) if line else {}
        if row is None:
            self.damaged.append(number)
        elif row.get("kind") == "shard":
            self.shards[row["shard"]] = row
        elif row.get("kind") == "complete":
            self.files = row["files"]

    def repair(self) -> None:
        """Rewrite the file without its unreadable lines, or end a last line that lacks its newline."""
        data = self.path.read_bytes()
        if self.damaged or not data.endswith(b"\n"):
            rows = [self.header, *(self.shards[index] for index in sorted(self.shards))]
            rows += [{"kind": "complete", "files": self.files}] if self.files else []
            write_durably(self.path, b"".join(map(_line, rows)))
            self.damaged = []

    def add_shard(self, record: dict[str, Any]) -> None:
        """Acknowledge a shard."""
        append_durably(self.path, _line({"kind": "shard", **record}))
        self.shards[record["shard"]] = record

    def complete(self, files: dict[str, dict[str, Any]]) -> None:
        """Acknowledge the derived files."""
        append_durably(self.path, _line({"kind": "complete", "files": files}))
        self.files = files

    @property
    def facts(self) -> Facts:
        return Facts(self.header["data"], self.header["parameters"])


def file_record(path: Path) -> dict[str, Any]:
    """Size and checksum of a file."""
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def fault(root: Path, name: str, record: dict[str, Any]) -> str | None:
    """What is wrong with a file against its record; None when nothing is."""
    path = root / name
    if not path.is_file():
        return "is missing"
    if (size := path.stat().st_size) != record["bytes"]:
        return f"has {size} bytes, expected {record['bytes']}"
    return None if file_digest(path) == record["sha256"] else "has other contents than its checksum says"


def _line(row: dict[str, Any]) -> bytes:
    return canonical_json(row).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
