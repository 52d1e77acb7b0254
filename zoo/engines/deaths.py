"""Why a worker process ended, in words."""

import signal
from pathlib import Path


class Coroner:
    """Tells the cause of a worker's death; the system's count of processes ended for memory is the evidence.

    >>> Coroner().cause(1)
    'exit code 1'
    """

    def __init__(self) -> None:
        self._before = memory_kills()

    def cause(self, code: int) -> str:
        """The cause behind an exit code as ``Popen.returncode`` has it."""
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        if -code != signal.SIGKILL:
            return f"killed by {name}"
        now = memory_kills()
        sure, self._before = now > self._before, now
        seen = "the system has ended a process for it" if sure else "or someone killed it"
        return f"killed by {name}: memory ran out, {seen}"


def memory_kills() -> int:
    """How many processes Linux has ended because memory ran out; 0 where it does not say."""
    try:
        rows = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except OSError:
        return 0
    return int(rows.get("oom_kill", 0))
