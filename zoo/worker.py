"""The process that trains shards for a builder: shard numbers come in, one JSON line an event goes out."""

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path

from zoo.engines import Event, attempt


def main(root: Path) -> None:
    """Train the shards whose numbers arrive on standard input, until it closes."""
    # What the user's code prints must not mix with the events.
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    # A builder that takes this process for hung asks where it is before it kills it.
    faulthandler.register(signal.SIGUSR1)
    tasks: queue.Queue[int] = queue.Queue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()

    from zoo.training import ShardTrainer

    trainer = ShardTrainer(root)

    def tell(event: Event) -> None:
        events.write(json.dumps(event.to_dict()) + "\n")

    tell(Event(shard=-1))
    while True:
        attempt(trainer, tasks.get(), tell)


def _receive(tasks: "queue.Queue[int]") -> None:
    for line in sys.stdin:
        tasks.put(int(line))
    # Closed: the builder has ended or was killed. Whatever is being trained was not acknowledged.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
