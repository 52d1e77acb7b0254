"""Populations of trained networks: describe them, build them, read them."""

from typing import TYPE_CHECKING

from graphs.lazy import lazy_exports

if TYPE_CHECKING:
    from zoo.building import BuildError, build
    from zoo.exporting.rows import module_of, state_dict_of
    from zoo.exporting.targets import export
    from zoo.member import Member
    from zoo.pushing import push
    from zoo.recreation import recreate
    from zoo.report import info, verify
    from zoo.reporting import write_report
    from zoo.spec import ZooSpec
    from zoo.store import Zoo
    from zoo.store import open_zoo as open

__all__ = [
    "BuildError",
    "Member",
    "Zoo",
    "ZooSpec",
    "build",
    "export",
    "info",
    "module_of",
    "open",
    "push",
    "recreate",
    "state_dict_of",
    "verify",
    "write_report",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BuildError": "building",
        "Member": "member",
        "Zoo": "store",
        "ZooSpec": "spec",
        "build": "building",
        "export": "exporting.targets",
        "info": "report",
        "module_of": "exporting.rows",
        "open": "store:open_zoo",
        "push": "pushing",
        "recreate": "recreation",
        "state_dict_of": "exporting.rows",
        "verify": "report",
        "write_report": "reporting",
    },
)
