"""Every parametrised class of torch.nn, standing between two layers, so that its neurons are free to move."""

from __future__ import annotations

from collections.abc import Callable

import torch
from corpus.case import Case, Spec, inputs, whole
from torch import Tensor, nn


class Between(nn.Module):
    """Layers of ``width`` and 2 neurons before and behind a module, along its channel dimension."""

    def __init__(self, module: nn.Module, width: int, out: int, channel: int, how: Callable | None = None) -> None:
        super().__init__()
        self.before, self.module, self.after = nn.Linear(3, width), module, nn.Linear(out, 2)
        self.channel, self.how = channel, how or (lambda module, h: module(h))

    def forward(self, x: Tensor) -> Tensor:
        h = self.how(self.module, torch.tanh(self.before(x)).movedim(-1, self.channel))
        return self.after(h.movedim(self.channel, -1))


class Behind(nn.Module):
    """A layer of 2 neurons behind a module that reads the inputs itself."""

    def __init__(self, module: nn.Module, out: int) -> None:
        super().__init__()
        self.module, self.after = module, nn.Linear(out, 2)

    def forward(self, *x: Tensor) -> Tensor:
        return self.after(self.module(*x))


class Loss(nn.Module):
    """A loss with weights of its own, behind a layer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.before, self.module = nn.Linear(3, 8), module

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return self.module(torch.tanh(self.before(x)), target)


def first(module: nn.Module, h: Tensor) -> Tensor:
    return module(h)[0]


def attend(module: nn.Module, h: Tensor) -> Tensor:
    return module(h, h, h, need_weights=False)[0]


def twice(module: nn.Module, h: Tensor) -> Tensor:
    return module(h, h)


def steps(module: nn.Module, h: Tensor) -> Tensor:
    """A cell, step by step."""
    state = None
    for t in range(h.shape[1]):
        state = module(h[:, t], state)
    return state[0] if isinstance(state, tuple) else state


Entry = tuple[Callable[[], nn.Module], tuple[Spec, ...]]


def features(make: Callable[[], nn.Module], width: int, out: int, how: Callable | None = None) -> Entry:
    """Channels last: [batch, time, width]."""
    return lambda: Between(make(), width, out, -1, how), ((2, 5, 3),)


def maps(make: Callable[[], nn.Module], width: int, out: int, *size: int, how: Callable | None = None) -> Entry:
    """Channels second: [batch, width, *size]."""
    return lambda: Between(make(), width, out, 1, how), ((2, *size, 3),)


MODELS: dict[str, Entry] = {
    "Linear": features(lambda: nn.Linear(6, 7), 6, 7),
    "LazyLinear": features(lambda: nn.LazyLinear(7), 6, 7),
    "NonDynamicallyQuantizableLinear": features(lambda: nn.modules.linear.NonDynamicallyQuantizableLinear(6, 7), 6, 7),
    "Bilinear": features(lambda: nn.Bilinear(6, 6, 7), 6, 7, twice),
    "Conv1d": maps(lambda: nn.Conv1d(6, 7, 3), 6, 7, 8),
    "Conv2d": maps(lambda: nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2), 6, 8, 8, 8),
    "Conv3d": maps(lambda: nn.Conv3d(6, 7, 3), 6, 7, 4, 4, 4),
    "ConvTranspose1d": maps(lambda: nn.ConvTranspose1d(6, 7, 3), 6, 7, 8),
    "ConvTranspose2d": maps(lambda: nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2), 6, 8, 5, 5),
    "ConvTranspose3d": maps(lambda: nn.ConvTranspose3d(6, 7, 2), 6, 7, 3, 3, 3),
    "LazyConv1d": maps(lambda: nn.LazyConv1d(7, 3), 6, 7, 8),
    "LazyConv2d": maps(lambda: nn.LazyConv2d(7, 3), 6, 7, 8, 8),
    "LazyConv3d": maps(lambda: nn.LazyConv3d(7, 3), 6, 7, 4, 4, 4),
    "LazyConvTranspose1d": maps(lambda: nn.LazyConvTranspose1d(7, 3), 6, 7, 8),
    "LazyConvTranspose2d": maps(lambda: nn.LazyConvTranspose2d(7, 3), 6, 7, 5, 5),
    "LazyConvTranspose3d": maps(lambda: nn.LazyConvTranspose3d(7, 2), 6, 7, 3, 3, 3),
    "BatchNorm1d": maps(lambda: nn.BatchNorm1d(6), 6, 6, 8),
    "BatchNorm2d": maps(lambda: nn.BatchNorm2d(6), 6, 6, 4, 4),
    "BatchNorm3d": maps(lambda: nn.BatchNorm3d(6), 6, 6, 2, 2, 2),
    "SyncBatchNorm": maps(lambda: nn.SyncBatchNorm(6), 6, 6, 4, 4),
    "LazyBatchNorm1d": maps(nn.LazyBatchNorm1d, 6, 6, 8),
    "LazyBatchNorm2d": maps(nn.LazyBatchNorm2d, 6, 6, 4, 4),
    "LazyBatchNorm3d": maps(nn.LazyBatchNorm3d, 6, 6, 2, 2, 2),
    "InstanceNorm1d": maps(lambda: nn.InstanceNorm1d(6, affine=True, track_running_stats=True), 6, 6, 8),
    "InstanceNorm2d": maps(lambda: nn.InstanceNorm2d(6, affine=True), 6, 6, 4, 4),
    "InstanceNorm3d": maps(lambda: nn.InstanceNorm3d(6, affine=True), 6, 6, 2, 2, 2),
    "LazyInstanceNorm1d": maps(lambda: nn.LazyInstanceNorm1d(affine=True), 6, 6, 8),
    "LazyInstanceNorm2d": maps(lambda: nn.LazyInstanceNorm2d(affine=True), 6, 6, 4, 4),
    "LazyInstanceNorm3d": maps(lambda: nn.LazyInstanceNorm3d(affine=True), 6, 6, 2, 2, 2),
    "GroupNorm": maps(lambda: nn.GroupNorm(2, 6), 6, 6, 4, 4),
    "LayerNorm": features(lambda: nn.LayerNorm(6), 6, 6),
    "RMSNorm": features(lambda: nn.RMSNorm(6), 6, 6),
    "PReLU": maps(lambda: nn.PReLU(6), 6, 6, 8),
    "Embedding": (lambda: Behind(nn.Embedding(11, 6), 6), (whole(11, 2, 5),)),
    "EmbeddingBag": (lambda: Behind(nn.EmbeddingBag(11, 6), 6), (whole(11, 2, 5),)),
    "RNN": features(lambda: nn.RNN(6, 7, 2, batch_first=True), 6, 7, first),
    "LSTM": features(lambda: nn.LSTM(6, 8, batch_first=True, bidirectional=True), 6, 16, first),
    "GRU": features(lambda: nn.GRU(6, 7, batch_first=True), 6, 7, first),
    "RNNCell": features(lambda: nn.RNNCell(6, 7), 6, 7, steps),
    "LSTMCell": features(lambda: nn.LSTMCell(6, 7), 6, 7, steps),
    "GRUCell": features(lambda: nn.GRUCell(6, 7), 6, 7, steps),
    "MultiheadAttention": features(lambda: nn.MultiheadAttention(8, 2, batch_first=True), 8, 8, attend),
    "TransformerEncoderLayer": features(lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 8, 8),
    "TransformerDecoderLayer": features(lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 8, 8, twice),
    "TransformerEncoder": features(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.LayerNorm(8)), 8, 8
    ),
    "TransformerDecoder": features(
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 2), 8, 8, twice
    ),
    "Transformer": features(lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), 8, 8, twice),
    "LinearCrossEntropyLoss": (
        lambda: Loss(nn.LinearCrossEntropyLoss(8, 12, reduction="none")),
        ((10, 3), whole(12, 10)),
    ),
    "AdaptiveLogSoftmaxWithLoss": features(
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 12, [4, 8], div_value=2.0),
        8,
        12,
        lambda module, h: module.log_prob(h.flatten(0, 1)),
    ),
}


def warm() -> None:
    """Nothing is to be imported."""


def names() -> list[str]:
    """The parametrised classes, in the order of the table."""
    return list(MODELS)


def build(name: str) -> Case:
    """The network around one class; lazy ones are materialised by a first pass."""
    make, specs = MODELS[name]
    draw = inputs(*specs)

    def made() -> nn.Module:
        module = make().eval()
        with torch.no_grad():
            module(*draw(torch.Generator().manual_seed(0)))
        return module

    return Case(made, draw)
