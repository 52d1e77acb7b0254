"""A zoo as a Hugging Face data set: parquet files in small row groups, and a card."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.exporting.rows import weight_table
from zoo.store import Zoo

if TYPE_CHECKING:
    import pyarrow as pa

    from zoo.exporting.targets import ExportJob

# Bytes of weights in a row group, which is what a reader of one row has to fetch, and in a file.
GROUP = 4 << 20
FILE = 512 << 20


def write(job: "ExportJob") -> None:
    """Write ``data/SPLIT-NNNNN.parquet`` and ``README.md``; a row is a kept state."""
    from zoo.exporting.card import write_card

    (job.folder / "data").mkdir()
    sizes, schema = {}, weight_table(job.zoo[:1], "final").schema
    for split in job.about["splits"]:
        files = _SplitFiles(job.folder / "data", split, schema)
        try:
            for part in _parts(job.zoo.filter(split=split)):
                files.write(weight_table(part, job.states))
                job.bar.update(len(part.samples(job.states)))
        finally:
            files.close()
        sizes[split] = {"rows": files.rows, "bytes": files.bytes}
    write_card(job.folder, job.about, schema, sizes)


def _parts(zoo: Zoo) -> Iterator[Zoo]:
    """Some networks after another whose weights fill about a row group."""
    held = start = 0
    for place, member in enumerate(zoo):
        held += member.nbytes
        if held >= GROUP or place == len(zoo) - 1:
            yield zoo[start : place + 1]
            held, start = 0, place + 1


class _SplitFiles:
    """The parquet files of one split; a new one begins when one is large."""

    def __init__(self, folder: Path, split: str, schema: "pa.Schema") -> None:
        self.folder, self.split, self.schema = folder, split, schema
        self.rows = self.bytes = self._number = 0
        self._writer: Any = None
        self._held = 0

    def write(self, table: "pa.Table") -> None:
        self._writer = self._writer or self._open()
        largest = max(1, GROUP * table.num_rows // max(1, table.nbytes))
        self._writer.write_table(table, row_group_size=largest)
        self.rows += table.num_rows
        self.bytes += table.nbytes
        self._held += table.nbytes
        if self._held >= FILE:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._held = None, 0

    def _open(self) -> Any:
        from pyarrow.parquet import ParquetWriter

        path = self.folder / f"{self.split}-{self._number:05d}.parquet"
        self._number += 1
        # Trained weights are noise to a compressor; the columns beside them repeat from row to row.
        plain = [_leaf(field) for field in self.schema if field.name != "weights"]
        options: dict[str, Any] = {"compression": dict.fromkeys(plain, "zstd") | {"weights": "none"}}
        options |= {"use_dictionary": plain, "write_statistics": plain}
        return ParquetWriter(path, self.schema, **options)


def _leaf(field: "pa.Field") -> str:
    """How parquet calls the values of a column."""
    import pyarrow as pa

    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
