"""Engines run the training of shards; they never hold weights, so each of them may lose workers at any time.

An engine is called as ``engine(root, shards, options, tell)``, calls ``tell(event)`` with what happens, and returns
when every shard is written or given up. However it ends, it leaves no worker behind. A task is the folder and a
shard's number; its result is the small record that the manifest keeps.
"""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from zoo.engines.choosing import ENGINES, choose
    from zoo.engines.events import DISK_ERRORS, Event, Tell, attempt
    from zoo.engines.options import ATTEMPTS, PATIENCE, EngineOptions

__all__ = ["ATTEMPTS", "DISK_ERRORS", "ENGINES", "EngineOptions", "Event", "PATIENCE", "Tell", "attempt", "choose"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ATTEMPTS": "options",
        "DISK_ERRORS": "events",
        "ENGINES": "choosing",
        "EngineOptions": "options",
        "Event": "events",
        "PATIENCE": "options",
        "Tell": "events",
        "attempt": "events",
        "choose": "choosing",
    },
)
