"""A planned network as its operations in order, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphs.deepnets.composing import TOLD, conv_norm, skip_connect
from graphs.deepnets.genotype import PRIMITIVES
from graphs.deepnets.layers import Layers, Listener, Place, Shape, Value
from graphs.deepnets.plan import CellPlan, Plan


def walk(plan: Plan, listener: Listener, batch: int, known: Any = None) -> Value:
    """Tell the listener of every operation of one forward pass, in the order of :mod:`graphs.deepnets.network`.

    Args:
        plan: the network. listener: who is told.
        batch: number of images.
        known: what the listener knows the images by.

    Returns the network's output.
    """
    tell = Layers(listener, plan.norm)
    place = tell.run("", "DeepNet")
    first, second = _stems(tell, plan, Value((batch, *plan.input_shape), known))
    cells = {c.index: c for c in plan.cells}
    for i in range(plan.n_cells):
        first, second = second, _cell(tell, plan, cells[i], first, second) if i in cells else None
    assert second is not None
    return _head(tell, plan, place, second)


class Count:
    """A listener that counts parameters.

    >>> from graphs.deepnets.network import DeepNet
    >>> net, count = DeepNet(), Count()
    >>> _ = walk(net.plan, count, batch=1)
    >>> count.parameters == sum(p.numel() for p in net.parameters())
    True
    """

    def __init__(self) -> None:
        self.parameters = 0

    def op(
        self,
        place: Place,
        name: str,
        shape: Shape,
        reads: Sequence[Value],
        parameters: Mapping[str, Shape],
        arguments: Mapping[str, Any],
    ) -> None:
        self.parameters += sum(map(math.prod, parameters.values()))

    def passed(self, read: Value) -> None:
        return None


def _stems(tell: Layers, plan: Plan, x: Value) -> tuple[Value, Value | None]:
    if plan.is_vit:
        x = tell.square("stem0", x, plan.C, plan.patch, plan.patch, int(plan.patch < 4))
        place, table = tell.run("pos_enc", "PositionEncoding"), {"pos_enc.weight": (1, *x.shape[1:])}
        x = tell.op(place, "add", x.shape, x, parameters=table)
        return x, x
    tell.idle()
    if plan.stem_type == 0:
        x = tell.square("stem.0", x, plan.stem_width, plan.ks, 4 if plan.large_images else 1, plan.ks // 2)
        x = tell.norm("stem.1", x)
        x = tell.pool("stem.2", x, "max_pool", 3, 2) if plan.stem_pool else tell.same(x)
        return x, x
    return _two_stems(tell, plan, x)


def _two_stems(tell: Layers, plan: Plan, x: Value) -> tuple[Value, Value | None]:
    C, stride = plan.C, 2 if plan.large_images else 1
    x = tell.norm("stem0.1", tell.square("stem0.0", x, C // 2, plan.ks, stride, plan.ks // 2))
    x = tell.relu(tell.norm("stem0.4", tell.square("stem0.3", tell.relu(x), C, 3, stride, 1)))
    if -1 not in plan.needed:
        return x, None
    tell.idle(2)
    return x, tell.norm("stem1.2", tell.square("stem1.1", x, C, 3, 2, 1))


def _cell(tell: Layers, plan: Plan, cell: CellPlan, *given: Value | None) -> Value:
    path = f"cells.{cell.index}"
    place, states = tell.run(path, "Cell"), []
    for number, (x, reads) in enumerate(zip(given, cell.wiring.reads, strict=True)):
        states.append(_preprocess(tell, plan, cell, number, x) if x is not None and reads else None)
    live = {i: (name, state, stride) for i, name, state, _, stride in cell.live}
    for i in range(0, len(cell.ops), 2):
        made = []
        for j in (j for j in (i, i + 1) if j in live):
            name, state, stride = live[j]
            kind, kernel = PRIMITIVES[name]
            made.append(TOLD[kind](tell, f"{path}._ops.{j}", states[state], cell.width, kernel, stride))
        total = made[0] if made else None
        states.append(tell.op(place, "add", made[0].shape, *made) if len(made) == 2 else total)
    return _concat(tell, place, [states[s] for s in cell.concat])


def _preprocess(tell: Layers, plan: Plan, cell: CellPlan, number: int, x: Value) -> Value:
    path, halve = f"cells.{cell.index}.preprocess{number}", cell.halve_first and number == 0
    if plan.preproc:
        return skip_connect(tell, path, x, cell.width, 0, 2) if halve else conv_norm(tell, path, x, cell.width, 1, 1)
    x = tell.same(x)
    return Value((*x.shape[:2], *(-(-n // 2) for n in x.shape[2:])), x.known) if halve else x


def _concat(tell: Layers, place: Place, found: list[Value | None]) -> Value:
    there = [s for s in found if s is not None]
    if len(found) == 1:
        return there[0]
    # Zeros in place of states that are not there.
    read = there if len(there) == len(found) else [*there, tell.passed(there[0])]
    batch, width, *sides = there[0].shape
    return tell.op(place, "cat", (batch, width * len(found), *sides), *read, dim=1)


def _head(tell: Layers, plan: Plan, place: Place, x: Value) -> Value:
    batch, width, *sides = x.shape
    if plan.glob_avg:
        x = tell.op(place, "mean", (batch, width), x, dim=[2, 3])
    else:
        x = Value((batch, width * math.prod(sides)), x.known)
    tell.idle()
    for i in range(plan.fc_layers - 1):
        x = tell.same(tell.relu(tell.linear(f"classifier.{3 * i}", x, plan.fc_dim)))
    return tell.linear(f"classifier.{3 * plan.fc_layers - 3}", x, plan.outputs)
