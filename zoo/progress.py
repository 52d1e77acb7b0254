"""The progress bar of a build, in networks."""

import sys
from collections.abc import Sequence
from types import TracebackType

from zoo.engines import Event
from zoo.plans import Plan, PlannedShard


class BuildProgress:
    """Counts networks: those that are safe, and those that are trained but not yet written.

    Args:
        planned: the whole zoo.
        missing: the shards that this build trains; the networks of the others count from the start.
        visible: whether to draw the bar on standard error.
    """

    def __init__(self, planned: Plan, missing: Sequence[PlannedShard], visible: bool):
        from tqdm import tqdm

        total = len(planned.members)
        self.safe = total - sum(len(shard.members) for shard in missing)
        self._trained: dict[int, int] = {}
        # The rate and the time left are those of this run: what was there before does not count in them.
        self._bar = tqdm(total=total, initial=self.safe, unit="net", disable=not visible, smoothing=0.1)

    def tell(self, event: Event) -> None:
        """Take note of news of a shard; one that was lost starts anew, so the bar may step back."""
        if event.note is not None:
            self._bar.write(f"zoo: {event.note}", file=sys.stderr)
        self._trained.pop(event.shard, None)
        if event.record is not None:
            self.safe += event.record["members"]
        elif event.error is None:
            self._trained[event.shard] = event.finished
        self._bar.update(self.safe + sum(self._trained.values()) - self._bar.n)

    def __enter__(self) -> "BuildProgress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
