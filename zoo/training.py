"""Training one shard of the zoo in a folder."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.durable import write_durably
from zoo.manifest import Manifest, file_record
from zoo.planning import plan
from zoo.plans import PlannedMember
from zoo.shards import Shard, shard_bytes
from zoo.spec import ZooSpec

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.population import TrainingJob
    from zoo.sources import Dataset


class ShardTrainer:
    """What a worker needs to train any shard of one zoo, loaded once.

    It holds no lock and writes no manifest: whoever asks for a shard acknowledges its record.
    """

    def __init__(self, root: Path):
        manifest = Manifest.read(root)
        self.root, self.header = root, manifest.header
        self.spec = ZooSpec.from_yaml(root / "spec.yaml")
        self.plan = plan(self.spec, manifest.facts)

    @cached_property
    def data(self) -> "Dataset":
        """The data, checked to be those the zoo was begun with."""
        return load_checked(self.spec.data, self.header["data"]["fingerprint"])

    def members(self, index: int) -> list[PlannedMember]:
        """The networks of shard ``index``."""
        return [self.plan.members[i] for i in self.plan.shards[index].members]

    def trainer(self, index: int) -> str:
        """The trainer that was chosen for shard ``index`` when the zoo was begun."""
        return self.header["trainers"][self.plan.shards[index].architecture]["name"]

    def train(self, index: int, progress: Callable[[int], None]) -> dict[str, Any]:
        """Train and write shard ``index``; returns its record for the manifest.

        ``progress`` is called with the number of networks finished since the last call; with 0 as a sign of life.
        """
        from zoo.population import train

        began, shard, members = time.perf_counter(), self.plan.shards[index], self.members(index)
        starts = [self._start(member.parent) for member in members if member.parent is not None]
        job = make_job(members, self.spec.length, self.spec.batch_size, self.spec.keep or (), starts)
        with one_thread():
            result = train(job, self.data, trainer=self.trainer(index), progress=progress, **self._how(index))
        facts = {"shard": index, "recipe": job.recipe, "loss": job.loss, "layout": _layout(job)}
        facts |= {"ids": [member.id for member in members], "epochs": list(job.keep)}
        path = self.root / shard.file
        write_durably(path, shard_bytes(result, facts, self._labels(members)))
        record = {"shard": index, "file": shard.file, **file_record(path), "members": len(members)}
        seconds = round(time.perf_counter() - began, 3)
        return {**record, "diverged": result.status.count("diverged"), "seconds": seconds}

    def _start(self, parent: str) -> "dict[str, Tensor]":
        """The last state of a network that is safely there."""
        shard, place = self.plan.places[parent]
        opened = Shard.open(self.root / shard.file)
        return opened.layout.unflatten(opened.flat(-1, place), opened.other(-1, place))

    def _how(self, index: int) -> dict[str, Any]:
        """What was frozen for the stacked trainer; zoos that are older than these facts follow its rule."""
        row = self.header["trainers"][self.plan.shards[index].architecture]
        return {name: row[name] for name in ("stack", "device") if name in row}

    def _labels(self, members: Sequence[PlannedMember]) -> "Tensor | None":
        """Classes ``[E]`` of the images that image networks fit."""
        images = [member.settings["image"] for member in members]
        return self.data.train_y[images] if None not in images and self.data.num_classes else None


def make_job(
    members: Sequence[PlannedMember],
    length: Mapping[str, Any],
    batch_size: int,
    keep: Sequence[int],
    starts: "Sequence[Mapping[str, Tensor]]" = (),
) -> "TrainingJob":
    """The training job of networks of one architecture; ``length`` is its ``epochs``, or ``steps``; ``starts`` are the
    state_dicts that children start from."""
    from zoo.population import TrainingJob

    settings = tuple({k: v for k, v in member.settings.items() if v is not None} for member in members)
    return TrainingJob(
        recipe=members[0].recipe,
        members=settings,
        batch_size=batch_size,
        keep=tuple(keep),
        loss=members[0].loss,
        starts=tuple(starts) or None,
        **{"epochs": 0, **length},
    )


def load_checked(source: dict[str, Any], fingerprint: str) -> "Dataset":
    """The data of a spec; raises ValueError when they are not those with this fingerprint."""
    from zoo.sources import load

    data = load(**source)
    if data.fingerprint != fingerprint:
        raise ValueError(
            f"expected the data that the zoo was begun with (fingerprint {fingerprint[:16]}), but "
            f"{source['source']!r} now holds others ({data.fingerprint[:16]}); restore them, or build a new zoo"
        )
    return data


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread inside the block: sums are then added in one order on every machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _layout(job: "TrainingJob") -> list[dict[str, Any]]:
    from graphs.layout import flat_layout
    from zoo.population.initialising import initialise

    return flat_layout(initialise(job.recipe, job.settings[0])).to_json()
