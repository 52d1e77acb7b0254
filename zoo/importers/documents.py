"""Text that comes with weights: JSON, JSON lines and CSV, read within bounds."""

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 2**30
LONGEST_LINE = 2**20
_UNREADABLE = (OSError, ValueError, EOFError, RecursionError, zlib.error, csv.Error)


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that stands in it twice is an error."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises ValueError that names the file when it holds something else."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has {path.stat().st_size} bytes, more than {LARGEST}")
        found = json.loads(path.read_bytes(), object_pairs_hook=without_duplicates)
    except _UNREADABLE as error:
        raise ValueError(f"{path}: expected JSON, but it cannot be read ({str(error)[:200]})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, got a {type(found).__name__}")
    return found


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON object of every line that is not empty."""
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = json.loads(line, object_pairs_hook=without_duplicates) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: line {number} is not JSON ({str(error)[:200]})") from error
        if row is not None and not isinstance(row, dict):
            raise ValueError(f"{path}: line {number}: expected a JSON object, got a {type(row).__name__}")
        if row is not None:
            yield row


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, of a .gz file unpacked; no more than one is held in memory."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise ValueError(f"a line has more than {LONGEST_LINE} bytes")
                yield line.decode()
    except _UNREADABLE as error:
        raise ValueError(f"{path}: expected lines of text, but they cannot be read ({str(error)[:200]})") from error


def read_csv(path: Path, needed: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file with a header; cells that are numbers as numbers, empty ones as None.

    Raises ValueError that names the file when a needed column is not there, a column stands there twice, or a row has
    another number of cells than the header.
    """
    rows = csv.reader(read_lines(path), strict=True)
    try:
        header = next(rows, [])
        if len(set(header)) != len(header):
            raise ValueError(f"a column stands there twice: {', '.join(header)[:200]}")
        if missing := set(needed) - set(header):
            raise ValueError(f"expected the columns {', '.join(sorted(missing))}, got {', '.join(header)[:200]}")
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"line {rows.line_num} has {len(row)} cells, the header {len(header)}")
            yield dict(zip(header, map(parsed, row), strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}: expected CSV ({error})") from error
    except ValueError as error:
        raise error if str(error).startswith(str(path)) else ValueError(f"{path}: {error}") from error


def parsed(cell: str) -> Any:
    """A cell of text as the number that it is, None where it is empty.

    >>> parsed("12"), parsed("1e-3"), parsed("relu"), parsed("")
    (12, 0.001, 'relu', None)
    """
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell or None


def number(value: Any) -> float:
    """A metric as a float; NaN where there is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
