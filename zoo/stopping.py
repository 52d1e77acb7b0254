"""What ends a build from outside, Ctrl-C or the disk, told with what is safe and how to go on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.engines import DISK_ERRORS
from zoo.manifest import NAME, Manifest
from zoo.spec import ZooSpec


class BuildError(RuntimeError):
    """Some shards could not be trained; all others are safe."""


@contextmanager
def told(spec: ZooSpec, root: Path, out: str | Path) -> Iterator[None]:
    """Say what is safe and how to go on when the block is interrupted, or the disk is full or read-only."""
    again = f"give the same command again: zoo build {root / 'spec.yaml'} {out}"
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"stopped; {_safe(spec, root)} in {root}. To go on, {again}") from error
    except OSError as error:
        # The data and the user's own code have files too.
        ours = error.filename is None or Path(error.filename).is_relative_to(root)
        if not ours or error.errno not in DISK_ERRORS | {errno.EACCES, errno.EPERM}:
            raise
        raise BuildError(
            f"cannot write into {root} ({error}); {_safe(spec, root)}. Make room, or make the folder writable, and "
            f"{again}"
        ) from error


def _safe(spec: ZooSpec, root: Path) -> str:
    shards = Manifest.read(root).shards.values() if (root / NAME).exists() else ()
    return f"{sum(row['members'] for row in shards)} of {spec.count} networks are safe"
