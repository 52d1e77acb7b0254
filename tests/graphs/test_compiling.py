"""Code that is compiled on first use: what it is keyed by, and what is left when it cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from graphs.compiling import CompiledCode, NoCompilerError, _compiler

try:
    _compiler("the tests")
except NoCompilerError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompiledCode:
    """A library of one function, in a cache of its own."""
    monkeypatch.setenv("METAZOO_CACHE", str(tmp_path / "cache"))
    main = tmp_path / "sources" / "answer.cpp"
    main.parent.mkdir()
    main.write_text('#include "answer.h"\nextern "C" int answer() { return ANSWER; }')
    (main.parent / "answer.h").write_text("#define ANSWER 42")
    return CompiledCode("the answer", main)


def test_a_library_is_built_once(code: CompiledCode, tmp_path: Path) -> None:
    assert code.load().answer() == 42
    (built,) = (tmp_path / "cache").glob("*.so")
    before = built.stat().st_mtime_ns
    again = replace(code, purpose="the same answer")
    assert again.load().answer() == 42
    assert [p.stat().st_mtime_ns for p in (tmp_path / "cache").glob("*.so")] == [before]


def test_without_a_compiler_the_reason_is_told(code: CompiledCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "install g++ (or set CXX) for the answer" in str(code.why_not())


def test_code_that_does_not_compile_leaves_nothing_behind(code: CompiledCode, tmp_path: Path) -> None:
    code.main.write_text("this is no C++")
    with pytest.raises(NoCompilerError, match="could not compile the answer"):
        code.load()
    assert not list((tmp_path / "cache").glob("answer-*"))


def test_a_cache_that_cannot_be_written_says_what_to_do(code: CompiledCode, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder below a file: also for root, to whom no folder is read-only.
    monkeypatch.setenv("METAZOO_CACHE", str(code.main / "cache"))
    assert "cannot be written (Not a directory); set METAZOO_CACHE" in str(code.why_not())


def test_a_library_that_cannot_be_loaded_says_which(code: CompiledCode, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"answer-{code.fingerprint()}.so").write_bytes(b"")
    assert "compiled for the answer, cannot be loaded" in str(code.why_not())
    with pytest.raises(NoCompilerError, match="file too short"):
        code.load()


def test_other_flags_and_other_headers_are_another_library(code: CompiledCode) -> None:
    names = {code.fingerprint(), replace(code, flags=code.flags + " -O1").fingerprint()}
    (code.main.parent / "answer.h").write_text("#define ANSWER 43")
    assert len(names | {code.fingerprint()}) == 3


def test_two_processes_compile_it_once(code: CompiledCode, tmp_path: Path) -> None:
    counting = tmp_path / "counting"
    counting.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) ;; *) echo x >> {tmp_path}/calls; sleep 1 ;; esac\nexec g++ "$@"\n'
    )
    counting.chmod(0o755)
    script = (
        "from pathlib import Path; from graphs.compiling import CompiledCode;"
        f"print(CompiledCode('the answer', Path({str(code.main)!r})).load().answer())"
    )
    environment = {**os.environ, "CXX": str(counting)}
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["42", "42"]
    assert (tmp_path / "calls").read_text() == "x\n"
