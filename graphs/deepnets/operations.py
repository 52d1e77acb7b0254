"""The primitives of a cell as modules, with the parameter names of the published networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphs.deepnets.plan import HEADS


def norm_layer(norm: str | None, channels: int) -> nn.Module:
    """Batch norm over the batch (``bn``) or with running statistics (``bn-track``), or nothing."""
    if norm is None:
        return nn.Identity()
    return nn.BatchNorm2d(channels, track_running_stats=norm == "bn-track")


class ConvNorm(nn.Module):
    """norm(conv(relu(x))), or with a row kernel and then a column kernel in place of a square one.

    Shapes: ``[batch, inputs, h, w]`` -> ``[batch, outputs, ceil(h / stride), ceil(w / stride)]``, so of all here.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: str | None, twice: bool = False):
        super().__init__()
        pad = kernel // 2
        if twice:
            convs = [
                nn.Conv2d(inputs, inputs, (1, kernel), (1, stride), (0, pad), bias=False),
                nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (pad, 0), bias=False),
            ]
        else:
            convs = [nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)]
        self.op = nn.Sequential(nn.ReLU(), *convs, norm_layer(norm, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class DilatedConv(nn.Module):
    """norm(1x1(depthwise(relu(x)))), the kernel spread by 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: str | None):
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, inputs, kernel, stride, kernel - 1, dilation=2, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            norm_layer(norm, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class SeparableConv(nn.Module):
    """norm(1x1(depthwise(relu(x)))) two times, the first with the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: str | None):
        super().__init__()
        layers: list[nn.Module] = []
        for width, step in ((inputs, stride), (outputs, 1)):
            layers += [
                nn.ReLU(),
                nn.Conv2d(inputs, inputs, kernel, step, kernel // 2, groups=inputs, bias=False),
                nn.Conv2d(inputs, width, 1, bias=False),
                norm_layer(norm, width),
            ]
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class FactorizedReduce(nn.Module):
    """Half of the channels from the even pixels of relu(x), half from the odd ones, and a norm."""

    def __init__(self, inputs: int, outputs: int, norm: str | None):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.bn = norm_layer(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        # Past the end of an odd side there is one more pixel, of zeros, so that both halves have one size.
        odd = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(odd)], 1))


class Stride(nn.Module):
    """Every second pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2]


class SqueezeExcitation(nn.Module):
    """x times a gate a channel, hardswish(W2 relu(W1 mean(x))); https://arxiv.org/abs/1709.01507."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.fc1 = nn.Linear(channels, channels // 2)
        self.fc2 = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = functional.hardswish(self.fc2(functional.relu(self.fc1(x.mean((2, 3))))))
        return (x * gate[:, :, None, None])[:, :, :: self.stride, :: self.stride]


class FeedForward(nn.Module):
    """W2 gelu(W1 x + b1) + b2, as wide inside as outside; the identity keeps the published names."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Identity(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class SelfAttention(nn.Module):
    """A transformer block on the pixels: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int):
        super().__init__()
        inner = width // HEADS * HEADS
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2).contiguous()
        tokens = tokens + self.to_out(self.attend(self.to_qkv(self.ln1(tokens))))
        tokens = tokens + self.ff(self.ln2(tokens))
        return tokens.transpose(1, 2).reshape(x.shape)

    def attend(self, qkv: Tensor) -> Tensor:
        batch, count, width = qkv.shape
        q, k, v = qkv.view(batch, count, 3, HEADS, width // 3 // HEADS).permute(2, 0, 3, 1, 4)
        # The queries are scaled, not their products with the keys: there are fewer of them.
        mixed = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        return mixed.transpose(1, 2).reshape(batch, count, width // 3).contiguous()


class PositionEncoding(nn.Module):
    """x plus a learned map."""

    def __init__(self, channels: int, height: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


# Kind of primitive -> (inputs, outputs, kernel, stride, norm) -> module.
OPERATIONS: dict[str, Callable[[int, int, int, int, str | None], nn.Module]] = {
    "max_pool": lambda i, o, k, s, norm: nn.MaxPool2d(k, s, k // 2),
    "avg_pool": lambda i, o, k, s, norm: nn.AvgPool2d(k, s, k // 2, count_include_pad=False),
    "skip_connect": lambda i, o, k, s, norm: nn.Identity() if s == 1 else FactorizedReduce(i, o, norm),
    "sep_conv": SeparableConv,
    "dil_conv": DilatedConv,
    "conv": ConvNorm,
    "conv_twice": lambda i, o, k, s, norm: ConvNorm(i, o, k, s, norm, twice=True),
    "msa": lambda i, o, k, s, norm: SelfAttention(i),
    "cse": lambda i, o, k, s, norm: SqueezeExcitation(i, s),
}
