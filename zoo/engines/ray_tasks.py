"""The engine on Ray: one task a shard, retried by Ray where its process or its machine is lost."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.engines.events import Event, Tell
from zoo.engines.options import ATTEMPTS, EngineOptions
from zoo.engines.processes import cores, worker_environment
from zoo.engines.remote import train_remotely


def train_on_ray(root: Path, shards: Sequence[int], options: EngineOptions, tell: Tell) -> None:
    """Train on the Ray cluster at ``options.address``, or on one of this machine that ends with the build.

    Every task takes one CPU, and ``options.gpus`` of a GPU. Raises ImportError that names the extra without Ray.
    """
    ray = _import_ray()
    with _cluster(ray, options):
        has = ray.cluster_resources()
        if options.gpus > has.get("GPU", 0):
            raise ValueError(
                f"gpus: expected a cluster with {options.gpus:g} GPUs for a shard, got {has.get('GPU', 0):g}"
            )
        most = options.workers or max(1, int(has.get("CPU", 1)))
        lease = {"num_cpus": 1, "num_gpus": options.gpus, "max_retries": ATTEMPTS - 1}
        task = ray.remote(**lease)(train_remotely)
        waiting, running = deque(shards), {}
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    shard = waiting.popleft()
                    running[task.remote(str(root.resolve()), shard, options.patience)] = shard
                for reference in ray.wait(list(running))[0]:
                    tell(_outcome(ray, reference, running.pop(reference)))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _import_ray() -> Any:
    # Ray would otherwise report the use of a cluster to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ImportError("the engine ray needs Ray: pip install 'metazoo[ray]'") from error
    return ray


@contextmanager
def _cluster(ray: Any, options: EngineOptions) -> Iterator[None]:
    """Connected inside the block; a connection that the caller made is used as it is, and stays."""
    if ray.is_initialized():
        yield
        return
    mine = {"num_cpus": options.workers or cores(), "include_dashboard": False} if options.address is None else {}
    # What Ray raises where no cluster is to be had at the address.
    try:
        ray.init(options.address, runtime_env={"env_vars": dict(worker_environment())}, logging_level="warning", **mine)
    except ConnectionError as error:
        raise ValueError(f"address: no Ray cluster answers at {options.address!r} ({error})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _outcome(ray: Any, reference: Any, shard: int) -> Event:
    """The last event of a task, also of one whose process died too often."""
    try:
        return Event(**ray.get(reference))
    except ray.exceptions.RayError as error:
        return Event(shard, error=f"shard {shard}: Ray gave it up after {ATTEMPTS} attempts: {error}")
