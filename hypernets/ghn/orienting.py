"""How a stored weight lies as output by input by height by width, and how many values flow into one of its outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphs.op_graph import OpNode
from hypernets.ghn.target import Size4

Shape = tuple[int, ...]
# Layers that store [in, out] and layers that store [out, in], where sizes do not tell.
INPUT_FIRST = frozenset(["Conv1D"])
OUTPUT_FIRST = frozenset(["MultiheadAttention"])


@dataclass(frozen=True)
class Oriented:
    """See :class:`hypernets.ghn.target.Target` for ``canonical`` and ``axes``.

    Args:
        fan_in: products that are summed in one output value.
        beta: variance of the output wanted, times that of the input (GHN-2, https://arxiv.org/abs/2110.13100, eq. 4).
    """

    canonical: Size4
    axes: Shape
    fan_in: float
    beta: float

    @property
    def gain(self) -> float:
        return math.sqrt(self.beta / self.fan_in)


def oriented(node: OpNode, shape: Shape) -> Oriented:
    """The orientation of a weight of two or more axes that the node multiplies with activations.

    Args:
        node: of a reduced computation graph; its layer, arguments and output shape tell what the axes are.
        shape: of the parameter.

    >>> oriented(OpNode("op", "conv", layer="Conv1D", shape=(2, 6)), (4, 6)).canonical
    (6, 4, 1, 1)
    >>> oriented(OpNode("op", "conv", arguments={"groups": 1, "transposed": True}), (8, 3, 2, 2)).canonical
    (3, 8, 2, 2)
    """
    if _is_convolution(node, shape):
        return _transposed(node, shape) if node.arguments.get("transposed") else _convolution(shape)
    if len(shape) > 2:
        return _bilinear(shape) if node.layer == "Bilinear" else _experts(node, shape)
    return _matrix(node, shape)


def _matrix(node: OpNode, shape: Shape) -> Oriented:
    """No rectifier follows the weights of a recurrent layer, whose gates all have the fan-in of one."""
    beta = 1.0 if node.name == "recurrent" else 2.0
    axes = (0, 1) if _is_output_first(node, shape) else (1, 0)
    inputs = shape[axes[1]]
    return Oriented((shape[axes[0]], inputs, 1, 1), axes, inputs, beta)


def _is_convolution(node: OpNode, shape: Shape) -> bool:
    return len(shape) > 2 and ("groups" in node.arguments or "Conv" in node.layer or len(shape) > 3)


def _convolution(shape: Shape) -> Oriented:
    height, width = _kernel(shape[2:])
    beta = 1.0 if shape[1] == 1 or height < width else 2.0
    return Oriented((shape[0], shape[1], height, width), tuple(range(len(shape))), math.prod(shape[1:]), beta)


def _transposed(node: OpNode, shape: Shape) -> Oriented:
    """Stored [in, out a group, ...]; an output pixel meets one tap in ``stride`` of every axis."""
    groups, stride = node.arguments.get("groups", 1), node.arguments.get("stride", [1])
    taps = math.prod(shape[2:]) / math.prod(stride if len(stride) > 1 else list(stride) * len(shape[2:]))
    inputs = shape[0] // groups
    beta = 1.0 if inputs == 1 else 2.0
    axes = (1, 0, *range(2, len(shape)))
    return Oriented((shape[1], shape[0], *_kernel(shape[2:])), axes, inputs * max(1.0, taps), beta)


def _kernel(sizes: Shape) -> tuple[int, int]:
    """Height and width; of a line its length is the height, of a volume depth and height are one axis."""
    return (sizes[0], 1) if sizes[1:] == () else (math.prod(sizes[:-1]), sizes[-1])


def _bilinear(shape: Shape) -> Oriented:
    inputs = math.prod(shape[1:])
    return Oriented((shape[0], inputs, 1, 1), tuple(range(len(shape))), inputs, 1.0)


def _experts(node: OpNode, shape: Shape) -> Oriented:
    """A stack of matrices, one below the other: every matrix has its own fan-in."""
    *stack, first, last = range(len(shape))
    matrix = (first, last) if _is_output_first(node, shape[-2:], default=False) else (last, first)
    axes = (*stack, *matrix)
    inputs = shape[axes[-1]]
    return Oriented((math.prod(shape) // inputs, inputs, 1, 1), axes, inputs, 2.0)


def _is_output_first(node: OpNode, shape: Shape, default: bool = True) -> bool:
    """Whether a matrix is stored [out, in]. Sizes decide, but where both fit the layer's habit."""
    if node.layer in INPUT_FIRST:
        return False
    habitual = node.name == "recurrent" or node.layer in OUTPUT_FIRST or "Linear" in node.layer
    if habitual or not node.shape or shape[0] == shape[1]:
        return default
    out = node.shape[-1]
    return out == shape[0] or out != shape[1]
