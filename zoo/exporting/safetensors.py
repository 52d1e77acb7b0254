"""A zoo as safetensors files, one a kept state, with a table beside them."""

from typing import TYPE_CHECKING

from zoo.exporting.rows import state_table
from zoo.member import Member
from zoo.store import Zoo

if TYPE_CHECKING:
    import pyarrow as pa

    from zoo.exporting.targets import ExportJob

TABLE = "metadata.parquet"
# Networks whose rows are written to the table at once.
NETWORKS = 1000


def write(job: "ExportJob") -> None:
    """Write ``weights/ID/STATE.safetensors`` and ``metadata.parquet``, a row a file: ``file``, ``network`` and all that
    the zoo's table says of the state."""
    from pyarrow.parquet import ParquetWriter

    tables = (_write_some(job, job.zoo[i : i + NETWORKS]) for i in range(0, len(job.zoo), NETWORKS))
    first = next(tables)
    with ParquetWriter(job.folder / TABLE, first.schema) as table:
        table.write_table(first)
        for more in tables:
            table.write_table(more)


def _write_some(job: "ExportJob", zoo: Zoo) -> "pa.Table":
    """Write the files of some networks; returns their rows."""
    import pyarrow as pa

    files = []
    for member in zoo:
        (job.folder / "weights" / member.id).mkdir(parents=True)
    for place, state in zoo.samples(job.states):
        files.append(f"weights/{zoo[place].id}/{state:05d}.safetensors")
        (job.folder / files[-1]).write_bytes(state_bytes(zoo[place], state))
        job.bar.update()
    table = state_table(zoo, job.states)
    return table.add_column(0, "file", pa.array(files)).add_column(1, "network", table["id"])


def state_bytes(member: Member, state: int) -> bytes:
    """The state_dict of one state as a safetensors file; a tied tensor is there under each of its names."""
    from safetensors.torch import save

    # The format takes no two names for one memory.
    return save({name: value.clone().contiguous() for name, value in member.state_dict(state).items()})
