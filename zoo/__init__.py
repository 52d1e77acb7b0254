"""Populations of trained networks: describe them, build them, read them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.building import BuildError, build
    from zoo.member import Member
    from zoo.recreation import recreate
    from zoo.report import info, verify
    from zoo.spec import ZooSpec
    from zoo.store import Zoo
    from zoo.store import open_zoo as open

__all__ = ["BuildError", "Member", "Zoo", "ZooSpec", "build", "info", "open", "recreate", "verify"]

# Public name -> "submodule:attribute"; imported on first use, so that `zoo --help` never waits for torch.
_EXPORTS = {
    "BuildError": "building:BuildError",
    "Member": "member:Member",
    "Zoo": "store:Zoo",
    "ZooSpec": "spec:ZooSpec",
    "build": "building:build",
    "info": "report:info",
    "open": "store:open_zoo",
    "recreate": "recreation:recreate",
    "verify": "report:verify",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _EXPORTS[name].split(":")
    return getattr(import_module(f"zoo.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
