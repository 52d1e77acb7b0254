"""The compiled kernels of the native trainer."""

from __future__ import annotations

from pathlib import Path

from graphs.compiling import CompiledCode

TRAINER = CompiledCode("the native trainer", Path(__file__).parent / "native_kernels" / "network.cpp")
