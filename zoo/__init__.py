"""Populations of trained networks: describe them, build them, read them."""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from zoo.building import BuildError, build
    from zoo.member import Member
    from zoo.recreation import recreate
    from zoo.report import info, verify
    from zoo.reporting import write_report
    from zoo.spec import ZooSpec
    from zoo.store import Zoo
    from zoo.store import open_zoo as open

__all__ = ["BuildError", "Member", "Zoo", "ZooSpec", "build", "info", "open", "recreate", "verify", "write_report"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BuildError": "building",
        "Member": "member",
        "Zoo": "store",
        "ZooSpec": "spec",
        "build": "building",
        "info": "report",
        "open": "store:open_zoo",
        "recreate": "recreation",
        "verify": "report",
        "write_report": "reporting",
    },
)
