"""Label rules by operation name: what an operation does to the names of elements. One short file a family.

An operation without a rule pins all it touches, which is always sound.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from graphs.labelling.labels import Label
from graphs.labelling.operation import Operation

Rule = Callable[[Operation], "Label | list[Label] | None"]

FAMILIES = (
    "concatenation contraction convolution indexing mixing movement normalisation pointwise reduction scattering "
    "shuffling"
)
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for these operations. It returns the label of the output, a list for several outputs, or None
    where it does not cover the call."""

    def register(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, name
            RULES[name] = function
        return function

    return register


def load() -> dict[str, Rule]:
    """All rules, with their files imported."""
    for name in FAMILIES.split():
        import_module(f"graphs.rules.{name}")
    return RULES
