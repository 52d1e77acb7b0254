"""A user's own network: a factory without arguments and the shapes of its inputs."""

from __future__ import annotations

import torch
from corpus.case import Case, inputs
from torch import nn

from graphs.importing import resolve


def build(factory: str, *shapes: str) -> Case:
    """The network of ``module:factory`` with one input of normal numbers a shape, such as ``1,3,32,32``."""

    def make() -> nn.Module:
        torch.manual_seed(0)
        return resolve(factory)()

    return Case(make, inputs(*(tuple(int(n) for n in shape.split(",")) for shape in shapes)))
