"""Layers of many equal networks at once, with hand-written derivatives.

Autograd would add every weight gradient into the flat matrix of gradients; these write it once. Row e of every tensor
belongs to member e, and a call works on the first k members, those still training. Vectors are ``[k, B, F]``. Images
are ``[k, C, H, B, W]``: a convolution is then one matrix product a member on copies of long runs of pixels.
"""

from __future__ import annotations

from itertools import product
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.population.stacked_buffers import Buffers


class StackedLayer(Protocol):
    """What a stack is made of; ``backward`` writes weight gradients and returns the gradient of the layer's input."""

    def forward(self, x: Tensor, training: bool) -> Tensor: ...

    def backward(self, dy: Tensor) -> Tensor: ...


def rows(tensor: Tensor, k: int) -> Tensor:
    """The first k rows; most steps take all of them."""
    return tensor if len(tensor) == k else tensor[:k]


class StackedLinear:
    """y = scale (x W^T + b).

    Args:
        parameters: weight ``[E, out, in]`` and perhaps bias ``[E, out]``.
        gradients: where to write theirs.
        first: whether nothing before the layer has weights, so that its input needs no gradient.

    ``scale`` is the frequency of a sine that follows: on the weights it costs nothing.

    Shapes: ``[k, B, in]`` -> ``[k, B, out]``.
    """

    scale = 1.0

    def __init__(self, parameters: list[Tensor], gradients: list[Tensor], first: bool):
        self.weight, self.bias = parameters[0], parameters[1] if len(parameters) > 1 else None
        self.gradients, self.first, self.buffers = gradients, first, Buffers()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.x, k = x, len(x)
        self.used = self._scaled("weight", rows(self.weight, k))
        y = self.buffers("y", (k, x.shape[1], self.weight.shape[1]), x)
        if self.bias is None:
            return torch.bmm(x, self.used.mT, out=y)
        return torch.baddbmm(self._scaled("bias", rows(self.bias, k))[:, None], x, self.used.mT, out=y)

    def backward(self, dy: Tensor) -> Tensor:
        k = len(dy)
        # Into a dense matrix first, and the narrow side first: a copy is cheaper than a product in another form.
        a, b = (self.x, dy) if self.x.shape[2] < dy.shape[2] else (dy, self.x)
        gradient = torch.bmm(a.mT, b, out=self.buffers("gradient", (k, a.shape[2], b.shape[2]), dy))
        rows(self.gradients[0], k).copy_(gradient.mT if a is self.x else gradient)
        if self.bias is not None:
            torch.sum(dy, 1, out=rows(self.gradients[1], k))
        if self.scale != 1:
            for own in self.gradients:
                rows(own, k).mul_(self.scale)
        return dy if self.first else self._input_gradient(dy)

    def _input_gradient(self, dy: Tensor) -> Tensor:
        dx = self.buffers("dx", (*dy.shape[:2], self.weight.shape[2]), dy)
        return torch.mul(dy, self.used, out=dx) if dy.shape[2] == 1 else torch.bmm(dy, self.used, out=dx)

    def _scaled(self, name: str, own: Tensor) -> Tensor:
        return own if self.scale == 1 else torch.mul(own, self.scale, out=self.buffers(name, own.shape, own))


class StackedConv2d:
    """A convolution as one matrix product with the unfolded input.

    Args:
        module: one member's layer, for kernel, stride and padding.
        parameters: weight ``[E, O, C, kernel, kernel]`` and perhaps bias ``[E, O]``.
        gradients: where to write theirs.
        first: whether its input needs no gradient.

    Shapes: ``[k, C, H, B, W]`` -> ``[k, O, H', B, W']``.
    """

    def __init__(self, module: nn.Conv2d, parameters: list[Tensor], gradients: list[Tensor], first: bool):
        self.kernel, self.stride = module.kernel_size, module.stride
        assert not isinstance(module.padding, str)
        self.padding: tuple[int, ...] = module.padding
        self.weight = parameters[0].flatten(2)
        self.bias = parameters[1] if len(parameters) > 1 else None
        self.gradients, self.first, self.buffers = gradients, first, Buffers()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        k = len(x)
        if any(self.padding):
            x = functional.pad(x, (self.padding[1], self.padding[1], 0, 0, self.padding[0], self.padding[0]))
        windows = x.unfold(2, self.kernel[0], self.stride[0]).unfold(4, self.kernel[1], self.stride[1])
        self.shape, self.size = x.shape, windows.shape[2:5]
        windows = windows.permute(0, 1, 5, 6, 2, 3, 4)
        self.columns = self.buffers("columns", windows.shape, x).copy_(windows).view(k, self.weight.shape[2], -1)
        y = self.buffers("y", (k, self.weight.shape[1], self.columns.shape[2]), x)
        if self.bias is None:
            torch.bmm(rows(self.weight, k), self.columns, out=y)
        else:
            torch.baddbmm(rows(self.bias, k)[:, :, None], rows(self.weight, k), self.columns, out=y)
        return y.view(k, -1, *self.size)

    def backward(self, dy: Tensor) -> Tensor:
        k, flat = len(dy), dy.view(len(dy), dy.shape[1], -1)
        gradient = self.buffers("gradient", (k, *self.weight.shape[1:]), dy)
        torch.bmm(flat, self.columns.mT, out=gradient)
        self.gradients[0][:k] = gradient.view_as(self.gradients[0][:k])
        if self.bias is not None:
            torch.sum(flat, 2, out=self.gradients[1][:k])
        if self.first:
            return dy
        # The columns have been used: their gradient takes their place.
        return self._fold(torch.bmm(rows(self.weight, k).mT, flat, out=self.columns))

    def _fold(self, columns: Tensor) -> Tensor:
        """Add every window's gradient to the pixels it was read from."""
        parts = columns.view(len(columns), self.shape[1], *self.kernel, *self.size)
        dx = self.buffers("dx", self.shape, columns).zero_()
        height, width = (s * (n - 1) + 1 for s, n in zip(self.stride, (self.size[0], self.size[2]), strict=True))
        for i, j in product(range(self.kernel[0]), range(self.kernel[1])):
            dx[:, :, i : i + height : self.stride[0], :, j : j + width : self.stride[1]] += parts[:, :, i, j]
        (top, left), high, wide = self.padding, self.shape[2], self.shape[4]
        return dx[:, :, top : high - top, :, left : wide - left].contiguous() if top or left else dx


class StackedPool2d:
    """The maximum (gradient to the first of equals, as torch) or the mean over windows that do not overlap.

    Shapes: ``[k, C, H, B, W]`` -> ``[k, C, H // window, B, W // window]``.
    """

    def __init__(self, window: int, maximum: bool):
        self.window, self.maximum, self.buffers = window, maximum, Buffers()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.shape = x.shape
        phases = self._phases(x)
        # Dense copies of the phases: they are read again in the backward pass.
        self.parts = self.buffers("parts", (len(phases), *phases[0].shape), x)
        for phase, part in zip(phases, self.parts, strict=True):
            part.copy_(phase)
        self.y = self.buffers("y", phases[0].shape, x)
        return torch.amax(self.parts, 0, out=self.y) if self.maximum else torch.mean(self.parts, 0, out=self.y)

    def backward(self, dy: Tensor) -> Tensor:
        dx = self.buffers("dx", self.shape, dy).zero_()
        if not self.maximum:
            share = dy / self.window**2
            for into in self._phases(dx):
                into.copy_(share)
            return dx
        rest = self.buffers("rest", dy.shape, dy).copy_(dy)
        taken, equal = self.buffers("taken", dy.shape, dy), self.buffers("equal", dy.shape, dy, torch.bool)
        for part, into in zip(self.parts, self._phases(dx), strict=True):
            torch.mul(rest, torch.eq(part, self.y, out=equal), out=taken)
            rest.sub_(taken)
            into.copy_(taken)
        return dx

    def _phases(self, x: Tensor) -> list[Tensor]:
        """For each place in a window, in row-major order, that pixel of all windows."""
        w = self.window
        height, width = x.shape[2] // w * w, x.shape[4] // w * w
        return [x[:, :, i:height:w, :, j:width:w] for i, j in product(range(w), range(w))]


class StackedMean:
    """The mean over the map. Shapes: ``[k, C, H, B, W]`` -> ``[k, C, 1, B, 1]``."""

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.shape = x.shape
        return x.mean((2, 4), keepdim=True)

    def backward(self, dy: Tensor) -> Tensor:
        return (dy / (self.shape[2] * self.shape[4])).expand(self.shape).contiguous()


class StackedFlatten:
    """Shapes: ``[k, C, H, B, W]`` -> ``[k, B, C * H * W]``; vectors pass unchanged."""

    def __init__(self) -> None:
        self.buffers = Buffers()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.shape = x.shape
        if x.ndim == 3:
            return x
        vectors = x.permute(0, 3, 1, 2, 4)
        # Samples as they were read are already in this order.
        vectors = vectors if vectors.is_contiguous() else self.buffers("y", vectors.shape, x).copy_(vectors)
        return vectors.view(len(x), x.shape[3], -1)

    def backward(self, dy: Tensor) -> Tensor:
        if len(self.shape) == 3:
            return dy
        k, channels, height, batch, width = self.shape
        images = dy.view(k, batch, channels, height, width).permute(0, 2, 3, 1, 4)
        return self.buffers("dx", images.shape, dy).copy_(images)


class StackedShift:
    """Adds a constant to rows of any shape."""

    def __init__(self, amount: float):
        self.amount = amount

    def forward(self, x: Tensor, training: bool) -> Tensor:
        return x + self.amount

    def backward(self, dy: Tensor) -> Tensor:
        return dy


class StackedDropout:
    """Member e's own dropout mask, drawn from its own generator as torch's dropout draws it.

    Shapes: vectors or images, unchanged.
    """

    def __init__(self, rates: list[float], generators: list[torch.Generator]):
        self.rates, self.generators = rates, generators
        self.mask: Tensor | None = None

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.mask = self._draw(x) if training and any(self.rates) else None
        return x if self.mask is None else x * self.mask

    def backward(self, dy: Tensor) -> Tensor:
        return dy if self.mask is None else dy * self.mask

    def _draw(self, x: Tensor) -> Tensor:
        # The order of elements in a network of its own: the batch first.
        own = x if x.ndim == 3 else x.permute(0, 3, 1, 2, 4)
        mask = torch.ones(own.shape, dtype=x.dtype)
        for row, rate, generator in zip(mask, self.rates[: len(x)], self.generators[: len(x)], strict=True):
            if rate > 0:
                row.bernoulli_(1 - rate, generator=generator).div_(1 - rate)
        mask = mask if x.ndim == 3 else mask.permute(0, 2, 3, 1, 4)
        return mask.to(x.device)
