"""A network of the space as a plain module, built from what JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphs.deepnets.genotype import PRIMITIVES, Genotype
from graphs.deepnets.operations import OPERATIONS, ConvNorm, FactorizedReduce, PositionEncoding, Stride, norm_layer
from graphs.deepnets.plan import DEFAULT, CellPlan, Plan
from graphs.families.probe import normal_input


class Cell(nn.Module):
    """Sums of primitives, concatenated; only what the output depends on is there.

    Shapes: two maps ``[batch, channels, h, w]``, None where there is none -> one map.
    """

    def __init__(self, plan: CellPlan, norm: str | None, preproc: bool):
        super().__init__()
        self.plan = plan
        # Read by forward; modules that are unread are not built.
        for number, reads in enumerate(plan.wiring.reads):
            if reads:
                self.add_module(f"preprocess{number}", _preprocess(plan, number, norm, preproc))
        self._ops = nn.ModuleDict(
            {
                str(i): OPERATIONS[PRIMITIVES[name][0]](inputs, plan.width, PRIMITIVES[name][1], stride, norm)
                for i, name, _, inputs, stride in plan.live
            }
        )

    def forward(self, s0: Tensor | None, s1: Tensor | None) -> Tensor:
        states: list[Tensor | None] = []
        for number, (s, reads) in enumerate(zip((s0, s1), self.plan.wiring.reads, strict=True)):
            states.append(getattr(self, f"preprocess{number}")(s) if reads else None)
        for i in range(0, len(self.plan.ops), 2):
            made = [self._ops[str(j)](states[self.plan.ops[j][1]]) for j in (i, i + 1) if self.plan.wiring.alive[j]]
            states.append(made[0] + made[1] if len(made) == 2 else made[0] if made else None)
        return _concat([states[s] for s in self.plan.concat])


def _concat(found: list[Tensor | None]) -> Tensor:
    """The maps, zeros in place of those that are not there."""
    there = [s for s in found if s is not None]
    if len(found) == 1:
        return there[0]
    zeros = torch.zeros_like(there[0]) if len(there) < len(found) else there[0]
    return torch.cat([zeros if s is None else s for s in found], 1)


def _preprocess(plan: CellPlan, number: int, norm: str | None, preproc: bool) -> nn.Module:
    """What makes a cell's input fit in width and size."""
    halve = plan.halve_first and number == 0
    if not preproc:
        return Stride() if halve else nn.Identity()
    inputs = plan.before[number]
    return FactorizedReduce(inputs, plan.width, norm) if halve else ConvNorm(inputs, plan.width, 1, 1, norm)


class DeepNet(nn.Module):
    """A network of DeepNets-1M (https://arxiv.org/abs/2110.13100, section 3): a stem, cells, a head of linear layers.

    It differs from the published one in that what the output does not depend on is not built, that any size of image
    has odd sides halved upwards, and that no layer works in place. Parameters have the published names.

    Args:
        input_shape: channels, height, width.
        outputs: number of outputs.
        genotype: what the cells do, as ``Genotype.to_dict`` gives it; by default a small one.
        C: channels of the first cells; even, at least 8 with attention.
        n_cells: number of cells; the ones at a third and at two thirds follow ``genotype["reduce"]`` and halve the map
            (with attention no cell does).
        ks: side of the stem's kernel, 3, 5 or 7.
        stem_type: 0 for one convolution, 1 for three, the second input of the first cell half as large. With attention
            the stem is patches and learned positions instead.
        stem_pool: whether a stem of type 0 ends in max pooling.
        norm: ``bn`` with the statistics of the batch, as graph hypernetworks are trained, ``bn-track`` with running
            statistics, or None.
        preproc: whether a cell begins with 1x1 convolutions.
        C_mult: 1, or 2 to double the channels at a third and two thirds.
        fc_layers: number of linear layers. fc_dim: width between them.
        glob_avg: whether they read the mean over the map, or all of it.
        large_images: whether the stem shrinks images of ImageNet by 4, or makes patches of 16 pixels and not of 3.
        dropout: probability of dropping an element between the linear layers; with 0 nothing there is random.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.

    Raises ValueError for values that cannot be.

    >>> net = DeepNet(input_shape=(1, 8, 8), C=8)
    >>> net(torch.zeros(2, 1, 8, 8)).shape, len(net.cells)
    (torch.Size([2, 10]), 4)
    """

    # Of these a network has some.
    stem: nn.Module
    stem0: nn.Module
    stem1: nn.Module
    pos_enc: nn.Module

    def __init__(
        self,
        input_shape: Sequence[int] = Plan.input_shape,
        outputs: int = Plan.outputs,
        genotype: Mapping[str, Any] | None = None,
        C: int = Plan.C,
        n_cells: int = Plan.n_cells,
        ks: int = Plan.ks,
        stem_type: int = Plan.stem_type,
        stem_pool: bool = Plan.stem_pool,
        norm: str | None = Plan.norm,
        preproc: bool = Plan.preproc,
        C_mult: int = Plan.C_mult,
        fc_layers: int = Plan.fc_layers,
        fc_dim: int = Plan.fc_dim,
        glob_avg: bool = Plan.glob_avg,
        large_images: bool = Plan.large_images,
        dropout: float = Plan.dropout,
    ):
        super().__init__()
        self.plan = plan = Plan(
            genotype=DEFAULT if genotype is None else Genotype.from_dict(genotype),
            input_shape=input_shape,
            outputs=outputs,
            C=C,
            n_cells=n_cells,
            ks=ks,
            stem_type=stem_type,
            stem_pool=stem_pool,
            norm=norm,
            preproc=preproc,
            C_mult=C_mult,
            fc_layers=fc_layers,
            fc_dim=fc_dim,
            glob_avg=glob_avg,
            large_images=large_images,
            dropout=dropout,
        )
        _add_stem(self, plan)
        self.cells = nn.ModuleDict({str(c.index): Cell(c, plan.norm, plan.preproc) for c in plan.cells})
        self.classifier = nn.Sequential(*_head(plan))

    def forward(self, x: Tensor) -> Tensor:
        s0, s1 = self.stems(x)
        for i in range(self.plan.n_cells):
            s0, s1 = s1, self.cells[str(i)](s0, s1) if i in self.plan.needed else None
        assert s1 is not None
        return self.classifier(s1.mean((2, 3)) if self.plan.glob_avg else s1.flatten(1))

    def stems(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The two inputs of the first cell."""
        if self.plan.is_vit:
            x = self.pos_enc(self.stem0(x))
            return x, x
        if self.plan.stem_type == 0:
            x = self.stem(x)
            return x, x
        x = self.stem0(x)
        return x, self.stem1(x) if -1 in self.plan.needed else None

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = Plan.input_shape, **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)


def _add_stem(net: DeepNet, plan: Plan) -> None:
    inputs, C, ks, large = plan.input_shape[0], plan.C, plan.ks, plan.large_images
    if plan.is_vit:
        net.stem0 = nn.Conv2d(inputs, C, plan.patch, plan.patch, int(plan.patch < 4), bias=False)
        net.pos_enc = PositionEncoding(C, *plan.last_map)
    elif plan.stem_type == 0:
        width, pool = plan.stem_width, nn.MaxPool2d(3, 2, 1) if plan.stem_pool else nn.Identity()
        conv = nn.Conv2d(inputs, width, ks, 4 if large else 1, ks // 2, bias=False)
        net.stem = nn.Sequential(conv, norm_layer(plan.norm, width), pool)
    else:
        stride = 2 if large else 1
        # The published second part begins with a relu in place, so that its input is rectified for the cells as well.
        net.stem0 = nn.Sequential(
            nn.Conv2d(inputs, C // 2, ks, stride, ks // 2, bias=False),
            norm_layer(plan.norm, C // 2),
            nn.ReLU(),
            nn.Conv2d(C // 2, C, 3, stride, 1, bias=False),
            norm_layer(plan.norm, C),
            nn.ReLU(),
        )
        if -1 in plan.needed:
            conv = nn.Conv2d(C, C, 3, 2, 1, bias=False)
            net.stem1 = nn.Sequential(nn.Identity(), conv, norm_layer(plan.norm, C))


def _head(plan: Plan) -> list[nn.Module]:
    height, width = (1, 1) if plan.glob_avg else plan.last_map
    layers: list[nn.Module] = []
    inputs = plan.last_width * height * width
    for _ in range(plan.fc_layers - 1):
        layers += [nn.Linear(inputs, plan.fc_dim), nn.ReLU(), _dropout(plan.dropout)]
        inputs = plan.fc_dim
    return [*layers, nn.Linear(inputs, plan.outputs)]


def _dropout(probability: float) -> nn.Module:
    # vmap refuses a layer that may draw, even where it draws nothing.
    return nn.Dropout(probability) if probability else nn.Identity()
