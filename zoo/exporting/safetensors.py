"""A zoo as safetensors files, one a kept state, with a table beside them."""

import json
import math
from typing import TYPE_CHECKING, Any

from zoo.exporting.rows import state_table
from zoo.member import Member

if TYPE_CHECKING:
    from zoo.exporting.targets import ExportJob

TABLE = "metadata.jsonl"


def write(job: "ExportJob") -> None:
    """Write ``weights/ID/STATE.safetensors`` and ``metadata.jsonl``, whose column ``file`` names them.

    A line is a state with all that the zoo's table says of it; what is not finite is null, as JSON has it.
    """
    with (job.folder / TABLE).open("w") as table:
        for place, member in enumerate(job.zoo):
            (job.folder / "weights" / member.id).mkdir(parents=True)
            for row in state_table(job.zoo[place : place + 1], job.states).to_pylist():
                file = f"weights/{member.id}/{row['state']:05d}.safetensors"
                (job.folder / file).write_bytes(state_bytes(member, row["state"]))
                table.write(json.dumps({"file": file, **_plain(row)}, allow_nan=False) + "\n")
                job.bar.update()


def state_bytes(member: Member, state: int) -> bytes:
    """The state_dict of one state as a safetensors file; a tied tensor is there under each of its names."""
    from safetensors.torch import save

    # The format takes no two names for one memory.
    return save({name: value.clone().contiguous() for name, value in member.state_dict(state).items()})


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
