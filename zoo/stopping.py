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
def told(spec: ZooSpec, root: Path) -> Iterator[None]:
    """Say what is safe and how to go on when the block is interrupted, or the disk is full or read-only."""
    try:
        yield
    except KeyboardInterrupt as error:
        again = f"To go on, give the same command again: zoo build {root / 'spec.yaml'} {root}"
        raise KeyboardInterrupt(f"stopped; {_safe(spec, root)} in {root}. {again}") from error
    except OSError as error:
        if error.errno not in DISK_ERRORS | {errno.EACCES, errno.EPERM}:
            raise
        raise BuildError(disk_trouble(spec, root, str(error))) from error


def disk_trouble(spec: ZooSpec, root: Path, error: str) -> str:
    """What to do about an error of the disk."""
    return (
        f"cannot write into {root} ({error}); {_safe(spec, root)}. Make room, or make the folder writable, and give "
        f"the same command again: zoo build {root / 'spec.yaml'} {root}"
    )


def _safe(spec: ZooSpec, root: Path) -> str:
    shards = Manifest.read(root).shards.values() if (root / NAME).exists() else ()
    return f"{sum(row['members'] for row in shards)} of {spec.count} networks are safe"
