"""The engine on Slurm: arrays of jobs, one a shard, submitted by submitit."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from zoo.engines.events import Event, Tell
from zoo.engines.options import ATTEMPTS, EngineOptions
from zoo.engines.processes import cores, worker_environment
from zoo.engines.remote import train_remotely

FOLDER = ".slurm"
# Slurm's own default limit of an array is 1001.
LARGEST_ARRAY = 1000
CLUSTERS = ("slurm", "local")
POLL = 0.5
MINUTES = 24 * 60


def train_on_slurm(root: Path, shards: Sequence[int], options: EngineOptions, tell: Tell) -> None:
    """Train in arrays of jobs of one CPU each, ``options.workers`` at a time; a job that dies is submitted again.

    ``options.address`` is ``slurm``, or ``local`` for submitit's processes of this machine: with these alone it is
    tested, never yet on a cluster. sbatch takes partition, account and time limit from SBATCH_PARTITION, SBATCH_ACCOUNT
    and SBATCH_TIMELIMIT.
    Raises ImportError that names the extra without submitit; ValueError where there is no Slurm.
    """
    cluster = options.address or "slurm"
    executor = _executor(root, cluster, options)
    # Processes of this machine know no queue, so no more of them are made than may run.
    size = LARGEST_ARRAY if cluster == "slurm" else options.workers or cores()
    waiting, deaths, lost = list(shards), Counter[int](), 0
    while waiting:
        wave, waiting = waiting[:size], waiting[size:]
        with closing(_train_wave(executor, root, wave, options)) as ends:
            for shard, event in ends:
                deaths[shard] += event is None
                if event is None and deaths[shard] >= ATTEMPTS:
                    lost, event = lost + 1, Event(shard, error=_deadly(root, shard))
                if event is None:
                    waiting.append(shard)
                    event = Event(shard, note=f"the job of shard {shard} ended without a result; it is submitted again")
                tell(event)
    if not lost:
        # A network disk may hold on to the output of a job that has just ended; it is in nobody's way.
        shutil.rmtree(root / FOLDER, ignore_errors=True)


def _executor(root: Path, cluster: str, options: EngineOptions) -> Any:
    if cluster not in CLUSTERS:
        raise ValueError(f"address: the engine slurm expects one of {', '.join(CLUSTERS)}, got {cluster!r}")
    try:
        import submitit
    except ImportError as error:
        raise ImportError("the engine slurm needs submitit: pip install 'metazoo[slurm]'") from error
    if cluster == "slurm" and shutil.which("srun") is None:
        raise ValueError("expected Slurm's commands, but there is no srun; use --engine local, or --address local")
    # Jobs of a killed builder that still wait find nothing to run.
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    executor = submitit.AutoExecutor(root.resolve() / FOLDER, cluster=cluster)
    executor.update_parameters(cpus_per_task=1, tasks_per_node=1, timeout_min=MINUTES)
    if cluster == "slurm":
        gpus = {"slurm_additional_parameters": {"gres": f"gpu:{max(1, round(options.gpus))}"}} if options.gpus else {}
        executor.update_parameters(name="zoo", slurm_array_parallelism=options.workers or LARGEST_ARRAY, **gpus)
    return executor


def _train_wave(
    executor: Any, root: Path, shards: Sequence[int], options: EngineOptions
) -> Generator[tuple[int, Event | None]]:
    """Each shard with its last event as its job ends; None where the job died."""
    with _environment():
        jobs = executor.map_array(
            train_remotely, [str(root.resolve())] * len(shards), shards, [options.patience] * len(shards)
        )
    running = dict(zip(shards, jobs, strict=True))
    try:
        while running:
            for shard in [shard for shard, job in running.items() if job.done()]:
                yield shard, _outcome(running.pop(shard))
            time.sleep(POLL)
    finally:
        for job in running.values():
            job.cancel(check=False)


@contextmanager
def _environment() -> Iterator[None]:
    """Jobs inherit the variables of the process that submits them."""
    before = dict(os.environ)
    os.environ.update(worker_environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _outcome(job: Any) -> Event | None:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return Event(**job.result())
    except (FailedJobError, UncompletedJobError):
        return None


def _deadly(root: Path, shard: int) -> str:
    return (
        f"shard {shard}: its job ended without a result {ATTEMPTS} times; its output is in {root / FOLDER}. If memory "
        "ran out, use a smaller shard_size; if time did, raise SBATCH_TIMELIMIT or --patience"
    )
