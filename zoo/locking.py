"""One builder for one folder: a lock that the operating system drops when its holder dies."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def builder_lock(root: Path) -> Iterator[None]:
    """Hold the folder's lock, or raise ValueError that names the process that holds it.

    The file stays behind; only the lock on it counts, so nothing has to be cleaned up after a crash.
    """
    import fcntl

    with (root / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ValueError(
                f"expected {root} to be free, but another build is at work in it ({file.read() or 'unknown process'}); "
                "wait for it to end, or stop it and start again"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
