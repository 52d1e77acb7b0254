"""Finding an object a user names as ``module:attribute``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any


def resolve(name: str) -> Any:
    """The object at ``module:attribute``; modules in the current folder are found too.

    Raises ValueError when the name has no colon, the module cannot be imported, or it has no such attribute.

    >>> resolve("math:sqrt")(9.0)
    3.0
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"expected 'module:attribute', such as 'my_nets:make_net', got {name!r}")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = import_module(module_name)
    except ImportError as error:
        raise ValueError(
            f"cannot import the module {module_name!r} of {name!r} ({error}); "
            f"install it, or run the command in the folder that holds it (now: {os.getcwd()})"
        ) from error
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        public = [n for n in vars(import_module(module_name)) if not n.startswith("_")]
        raise ValueError(f"the module {module_name!r} has no {attribute!r}; it has {', '.join(public)}") from error
    return found
