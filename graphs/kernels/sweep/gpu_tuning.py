"""Which tile a kernel runs with: measured once for a device, program and size, then kept in a file."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

import torch
import triton
from triton.errors import TritonError
from triton.testing import do_bench

from graphs.durable import write_durably
from graphs.kernels.backends import interpreted
from graphs.kernels.sweep.gpu_shape import Shape

# Set to 0 to run with the default tiles.
VARIABLE = "METAZOO_TUNE"
# Fewer edges take less time than a launch, whatever the tile.
WORTHWHILE = 2**15


@dataclass(frozen=True)
class Tile:
    """Args: T: edges a tile. warps, stages: what Triton calls ``num_warps`` and ``num_stages``."""

    T: int
    warps: int
    stages: int


def default_tile(shape: Shape) -> Tile:
    """The tile that fits every device: the wider the features and the dearer the products, the fewer edges."""
    cheap = shape.precision in ("tf32", "bf16") and not shape.double
    widest = max(shape.DP, shape.HP, shape.GP) * (1 if cheap else 2)
    return Tile(*next(tile for limit, tile in _DEFAULTS if widest <= limit))


# By the widest feature: edges, warps, stages.
_DEFAULTS = ((32, (64, 4, 1)), (64, (32, 4, 1)), (2**31, (32, 8, 1)))


def candidates(shape: Shape) -> list[Tile]:
    """The tiles worth trying, the default first."""
    default = default_tile(shape)
    others = [Tile(T, warps, stages) for T in (32, 64, 128) for warps in (2, 4, 8) for stages in (1, 2, 3)]
    kept = [tile for tile in others if default.T // 2 <= tile.T <= 2 * default.T and 8 <= tile.T // tile.warps <= 32]
    return [default, *(tile for tile in kept if tile != default)]


def tile_for(kernel: str, shape: Shape, edges: int, run: Callable[[Tile], None], device: torch.device) -> Tile:
    """The tile to launch a kernel with.

    Args:
        kernel: its name. shape: its choices. edges: of the launch, of which only the power of two counts.
        run: launches the kernel with a tile, any number of times.
    """
    if not _tunable(shape, edges, device):
        return default_tile(shape)
    key = "|".join([_device_name(device), triton.__version__, kernel, repr(shape), str(edges.bit_length())])
    table = _table(_file())
    if key not in table:
        table[key] = astuple(_fastest(shape, run))
        _keep(_file(), {key: table[key]})
    return Tile(*table[key])


def _tunable(shape: Shape, edges: int, device: torch.device) -> bool:
    # The gradient of max and min needs the messages of the forward pass bit for bit, hence the same tile in all.
    extreme = shape.max or shape.min
    on = device.type == "cuda" and not interpreted() and os.environ.get(VARIABLE, "1") != "0"
    return on and not extreme and edges >= WORTHWHILE and not torch.cuda.is_current_stream_capturing()


def _fastest(shape: Shape, run: Callable[[Tile], None]) -> Tile:
    times = {tile: _seconds(tile, run) for tile in candidates(shape)}
    return min(times, key=lambda tile: times[tile])


def _seconds(tile: Tile, run: Callable[[Tile], None]) -> float:
    try:
        return float(do_bench(lambda: run(tile), warmup=5, rep=20, return_mode="median"))  # pyright: ignore[reportArgumentType]
    except (TritonError, RuntimeError):
        # Too large for the device, or for Triton's compiler; what is wrong with the device itself, the launch shows.
        return float("inf")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device)


# ---- the file


def _file() -> Path:
    return Path(os.environ.get("METAZOO_CACHE", Path.home() / ".cache" / "metazoo")) / "triton-tiles.json"


@cache
def _table(file: Path) -> dict[str, tuple[int, int, int]]:
    return _read(file)


def _read(file: Path) -> dict[str, tuple[int, int, int]]:
    """What a file holds; nothing where it is missing, or not one of ours."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return {key: tuple(tile) for key, tile in found.items()} if isinstance(found, dict) else {}


def _keep(file: Path, more: dict[str, tuple[int, int, int]]) -> None:
    """Add to a file, with what other processes have added meanwhile."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(file, json.dumps(_read(file) | more, indent=0, sort_keys=True).encode())
    except OSError as error:
        _warn(f"tile sizes are measured again in every process: {file} cannot be written ({error.strerror})")


@cache
def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)
