"""The part that a parameter plays in its network, as the Target that a hypernetwork writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from graphs.op_graph import OpNode
from hypernets.ghn.orienting import Shape, oriented
from hypernets.ghn.own_rule import USUAL_TABLE, OwnRule
from hypernets.ghn.target import Size4, Target

SHIFTS = frozenset("bias beta shift b".split())
Role = Callable[[str, Shape, OpNode, int, OwnRule | None], Target]


def targets_at(node: OpNode, number: int, own: Mapping[str, OwnRule]) -> list[Target]:
    """A target for every parameter of a node.

    Args:
        node: of a reduced computation graph.
        number: of that node in the architecture.
        own: the module's own rules; without one the usual ones are taken.
    """
    found = []
    for name, shape in node.parameters.items():
        role = _norm_row(name, list(node.parameters)) if node.name in NORMS else ROLES.get(node.name, _weight)
        found.append(role(name, shape, node, number, own.get(name)))
    return found


def _weight(name: str, shape: Shape, node: OpNode, number: int, own: OwnRule | None) -> Target:
    """What multiplies activations and sums; a vector beside it is the length of a weight-normalised row."""
    if is_vector(shape):
        return _free(name, shape, node, number, own)
    found = oriented(node, shape)
    return Target(name, shape, number, "weight", "weight", found.canonical, found.axes, found.gain)


def _norm_row(name: str, names: list[str]) -> Role:
    """Of the parameters of a norm the scale or the shift: told by name, else by order."""
    last = name.rpartition(".")[2]
    is_shift = last in SHIFTS or (len(names) > 1 and name == names[1] and last != "weight")
    return _shift if is_shift else _norm_scale


def _norm_scale(name: str, shape: Shape, node: OpNode, number: int, own: OwnRule | None) -> Target:
    # A norm of a user's own that starts at zero multiplies by one plus it.
    if own and own.zero and node.name == "ln" and node.layer != "LayerNorm":
        return _vector(name, shape, number, "shift")
    return _vector(name, shape, number, "scale", own.mean if own and own.constant and not own.zero else 1.0)


def _shift(name: str, shape: Shape, node: OpNode, number: int, own: OwnRule | None) -> Target:
    """Around zero, or around the number that the module's own rule puts there on purpose."""
    if not is_vector(shape):
        return _table(name, shape, node, number, own)
    if own and own.constant and not own.zero:
        return _vector(name, shape, number, "scale", own.mean)
    return _vector(name, shape, number, "shift")


def _table(name: str, shape: Shape, node: OpNode, number: int, own: OwnRule | None) -> Target:
    """Rows that are looked up or added: at the scale of the module's own rule."""
    canonical, axes = _laid_out(shape)
    scale = own.rms if own and not own.zero else USUAL_TABLE
    return Target(name, shape, number, "weight", "position", canonical, axes, scale)


def _free(name: str, shape: Shape, node: OpNode, number: int, own: OwnRule | None) -> Target:
    """What meets activations in a way of its own: around the mean where the own rule has one sign, else a table."""
    usual = 1.0 if node.name == "scale" else 0.0
    around = own.mean if own and own.one_sign else (usual if own is None else 0.0)
    if not around:
        return _table(name, shape, node, number, own)
    if is_vector(shape):
        return _vector(name, shape, number, "scale", around)
    canonical, axes = _laid_out(shape)
    return Target(name, shape, number, "weight", "scale", canonical, axes, around)


def _vector(name: str, shape: Shape, number: int, kind: str, gain: float = 1.0) -> Target:
    canonical = (math.prod(shape), 1, 1, 1)
    return Target(name, shape, number, "vector", kind, canonical, tuple(range(len(shape))), gain)


def is_vector(shape: Shape) -> bool:
    """Whether at most one axis is longer than one."""
    return max(shape, default=1) == math.prod(shape)


def _laid_out(shape: Shape) -> tuple[Size4, Shape]:
    """A table as rows by channels; a map of positions as channels by height by width, wherever its channels are."""
    axes = tuple(range(len(shape)))
    if len(shape) == 4 and shape[0] == 1:
        last = shape[1] == shape[2] != shape[3]
        return ((1, shape[3], shape[1], shape[2]), (0, 3, 1, 2)) if last else ((1, *shape[1:]), axes)
    channels = shape[-1] if len(shape) > 1 and not is_vector(shape) else 1
    return (math.prod(shape) // channels, channels, 1, 1), axes


NORMS = frozenset(["bn", "ln", "gn"])
ROLES: dict[str, Role] = {
    "bias": _shift,
    "embedding": _table,
    "pos_enc": _table,
    "scale": _free,
    "parameter": _free,
    "output": _free,
}
