"""The manifest: one JSON line for each thing a builder has safely finished.

Line 1 is the header, the facts that were frozen when building started; nothing else could restore it, so it stands in
line 3 again. A ``shard`` line acknowledges a shard, a ``complete`` line the files derived from all of them. Lines are
only ever appended, each flushed to the disk, so a crash can damage the last one alone. Every line ends in a checksum of
its own, so that a flipped bit is found in it too.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphs.durable import append_durably, write_durably
from zoo.digests import canonical_json, file_digest
from zoo.plans import Facts

# Lines have checksums since format 2; a zoo of format 1 is read, and gone on with, as it is.
FORMAT, UNSUMMED = 2, 1
SUM = "sum"
NAME = "manifest.jsonl"


@dataclass
class Manifest:
    """What the manifest of a zoo says.

    Args:
        path: the file.
        header: format, spec digest, content of the spec, data, parameters, trainers, versions.
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
        write_durably(root / NAME, _head(header))
        return cls(root / NAME, header)

    @classmethod
    def read(cls, root: Path) -> "Manifest":
        """Read a manifest as far as it can be read; raises ValueError when its header cannot."""
        lines = (root / NAME).read_bytes().split(b"\n")
        header = _find_header(lines)
        if header is None:
            raise ValueError(
                f"{root / NAME}: expected a header in line 1, got {lines[0][:80]!r}; restore the file from a copy, "
                "or build into another folder"
            )
        if header["format"] not in (FORMAT, UNSUMMED):
            raise ValueError(f"{root}: expected zoo format {FORMAT}, got {header['format']}; use a newer metazoo")
        manifest = cls(root / NAME, header)
        for number, line in enumerate(lines, start=1):
            manifest._take(number, line)
        return manifest

    def _take(self, number: int, line: bytes) -> None:
        row = (_whole(line) or (_json(line) if self.header["format"] == UNSUMMED else None)) if line else {}
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
            rows = [self.shards[index] for index in sorted(self.shards)]
            rows += [{"kind": "complete", "files": self.files}] if self.files else []
            write_durably(self.path, _head(self.header) + b"".join(map(_line, rows)))
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
    wrong = size_fault(root, name, record)
    if wrong is not None or file_digest(root / name) == record["sha256"]:
        return wrong
    return "has other contents than its checksum says"


def size_fault(root: Path, name: str, record: dict[str, Any]) -> str | None:
    """What is wrong with a file at first sight; None when it is there with all its bytes."""
    path = root / name
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    return None if size == record["bytes"] else f"has {size} bytes, expected {record['bytes']}"


def _head(header: dict[str, Any]) -> bytes:
    # The empty line keeps the two apart: no single flipped bit can glue them together.
    return _line(header) + b"\n" + _line(header)


def _line(row: dict[str, Any]) -> bytes:
    body = canonical_json({name: value for name, value in row.items() if name != SUM}).encode()
    return b'%s,"%s":"%08x"}\n' % (body[:-1], SUM.encode(), zlib.crc32(body))


def _find_header(lines: list[bytes]) -> dict[str, Any] | None:
    """The first whole header of the two; without one, the first line if it can be read at all."""
    rows = [_whole(line) for line in lines[:3]] + [_json(lines[0])]
    return next((row for row in rows if row is not None and row.get("kind") == "header"), None)


def _whole(line: bytes) -> dict[str, Any] | None:
    """The row of a line that is bit for bit as it was written."""
    row = _json(line)
    try:
        return row if row is not None and _line(row) == line + b"\n" else None
    # A number that a flipped bit made infinite.
    except ValueError:
        return None


def _json(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
