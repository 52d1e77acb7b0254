"""Public names of a package that are imported on first use, so that `--help` never waits for torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, exports: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its ``__name__``.
        exports: public name -> submodule, or ``submodule:attribute`` where the names differ.

    >>> getter, names = lazy_exports("graphs", {"factorise": "boxes:factor"})
    >>> names(), getter("factorise").__name__
    (['factorise'], 'factor')
    """

    def get(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(exports))}")
        module, _, attribute = exports[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), attribute or name)

    return get, lambda: sorted(exports)
