"""The compiled kernels of the native trainer, built once for a processor with the system's compiler."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

SOURCES = Path(__file__).parent / "native_kernels"
FLAGS = (
    "-std=c++17 -O3 -march=native -mprefer-vector-width=512 -shared -fPIC "
    # Sums may be added in vectors; infinities and NaN keep their meaning.
    "-fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math -ffp-contract=fast"
).split()


class NoCompilerError(RuntimeError):
    """The kernels cannot be built here; the message says why."""


@cache
def why_not_built() -> str | None:
    """Why the kernels are not to be had on this machine, or None when they are; the first call may compile them."""
    try:
        library()
    except NoCompilerError as error:
        return str(error)
    return None


@cache
def library() -> ctypes.CDLL:
    """The kernels, compiled on first use.

    They lie in ``METAZOO_CACHE`` (``~/.cache/metazoo`` by default) under a digest of sources, flags, compiler and
    processor, so that no process ever loads code made for another machine. Raises NoCompilerError.
    """
    import fcntl

    compiler = _compiler()
    folder = Path(os.environ.get("METAZOO_CACHE", Path.home() / ".cache" / "metazoo"))
    path = folder / f"native-{fingerprint(compiler)}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".native.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _compile(compiler, path)
    return ctypes.CDLL(str(path))


def fingerprint(compiler: str | None = None) -> str:
    """Sixteen digits that name sources, flags, compiler and processor."""
    parts = [source.read_bytes() for source in sorted(SOURCES.iterdir()) if source.suffix in (".cpp", ".h")]
    parts += [" ".join(FLAGS).encode(), _version(compiler or _compiler()).encode(), _processor().encode()]
    return sha256(b"\0".join(parts)).hexdigest()[:16]


def _compiler() -> str:
    found = next((path for name in (os.environ.get("CXX"), "g++") if name and (path := shutil.which(name))), None)
    if found is None:
        raise NoCompilerError("no C++ compiler was found; install g++ (or set CXX) for the native trainer")
    return found


def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


def _processor() -> str:
    """What ``-march=native`` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [platform.processor()]
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(("flags", "model name"))}))


def _compile(compiler: str, path: Path) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    command = [compiler, *FLAGS, str(SOURCES / "network.cpp"), "-o", str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        temporary.unlink(missing_ok=True)
        raise NoCompilerError(f"{compiler} could not compile the native trainer: {done.stderr.strip()[-500:]}")
    os.replace(temporary, path)
