"""Code that is compiled on first use, for this processor, with the system's compiler."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

# Headers that all compiled parts share: vectors, elementary functions, small matrix products.
SHARED = Path(__file__).parent / "native"
FLAGS = (
    "-std=c++17 -O3 -march=native -mprefer-vector-width=512 -shared -fPIC -pthread "
    # Sums may be added in vectors; infinities and NaN keep their meaning.
    "-fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math -ffp-contract=fast"
)


class NoCompilerError(RuntimeError):
    """The code cannot be compiled here; the message says why."""


@dataclass(frozen=True)
class CompiledCode:
    """A shared library made of one C++ file.

    It lies in ``METAZOO_CACHE`` (``~/.cache/metazoo`` by default) under a digest of sources, flags, compiler and
    processor, so that no process ever loads code made for another machine; a lock keeps two processes from compiling
    at once.

    Args:
        purpose: what it is for, as messages name it.
        main: the file; the headers beside it and those in :data:`SHARED` count as its sources.
        flags: of the compiler.
    """

    purpose: str
    main: Path
    flags: str = FLAGS

    @property
    def sources(self) -> list[Path]:
        """The files that a change of makes it another library."""
        headers = [*self.main.parent.glob("*.h"), *SHARED.glob("*.h")]
        return [self.main, *sorted(headers)]

    def why_not(self) -> str | None:
        """Why the code is not to be had on this machine, or None when it is; the first call may compile it."""
        return _loaded(self)[1]

    def load(self) -> ctypes.CDLL:
        """The library, compiled on first use. Raises NoCompilerError."""
        library, reason = _loaded(self)
        if library is None:
            raise NoCompilerError(reason)
        return library

    def fingerprint(self) -> str:
        """Sixteen digits that name sources, flags, compiler and processor. Raises NoCompilerError without compiler."""
        parts = [source.read_bytes() for source in self.sources]
        parts += [self.flags.encode(), _version(_compiler(self.purpose)).encode(), _processor().encode()]
        return sha256(b"\0".join(parts)).hexdigest()[:16]


@cache
def _loaded(code: CompiledCode) -> tuple[ctypes.CDLL | None, str | None]:
    try:
        path = _built(code)
    except NoCompilerError as error:
        return None, str(error)
    try:
        return ctypes.CDLL(str(path)), None
    except OSError as error:
        return None, f"{path}, compiled for {code.purpose}, cannot be loaded ({error}); delete it, or set METAZOO_CACHE"


def _built(code: CompiledCode) -> Path:
    import fcntl

    folder = Path(os.environ.get("METAZOO_CACHE", Path.home() / ".cache" / "metazoo"))
    path = folder / f"{code.main.stem}-{code.fingerprint()}.so"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f".{code.main.stem}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _compile(code, path)
    except OSError as error:
        raise NoCompilerError(
            f"the folder for compiled code, {folder}, cannot be written ({error.strerror}); "
            f"set METAZOO_CACHE to one that can, for {code.purpose}"
        ) from error
    return path


def _compile(code: CompiledCode, path: Path) -> None:
    compiler = _compiler(code.purpose)
    temporary = path.with_suffix(f".{os.getpid()}")
    command = [compiler, *code.flags.split(), f"-I{SHARED}", str(code.main), "-o", str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        temporary.unlink(missing_ok=True)
        raise NoCompilerError(f"{compiler} could not compile {code.purpose}: {done.stderr.strip()[-500:]}")
    os.replace(temporary, path)


def _compiler(purpose: str) -> str:
    found = next((path for name in (os.environ.get("CXX"), "g++") if name and (path := shutil.which(name))), None)
    if found is None:
        raise NoCompilerError(f"no C++ compiler was found; install g++ (or set CXX) for {purpose}")
    return found


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True)
    if done.returncode:
        raise NoCompilerError(f"{compiler} --version ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _processor() -> str:
    """What ``-march=native`` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [platform.processor()]
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(("flags", "model name"))}))
