"""Networks as users write them, for the trial that decides whether they can be stacked."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphs.families.gpt import GPT


class PixelGPT(nn.Module):
    """Guesses the class of an 8x8 image, read as 16 tokens of 17 grey levels, at its last token."""

    def __init__(self, activation: str = "gelu"):
        super().__init__()
        self.body = GPT(vocabulary=17, context=16, width=8, depth=2, heads=2, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        tokens = functional.avg_pool2d(x, 2).flatten(1).mul(16).round().long()
        return self.body(tokens)[:, -1]


class Plain(nn.Module):
    """A layer, with a normalisation of the whole batch, a tied weight and a counter."""

    def __init__(self, activation: str = "relu"):
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(64, 64), nn.Linear(64, 64), nn.BatchNorm1d(64)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, 10)
        self.register_buffer("scale", torch.rand(64), persistent=False)
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches += 1
        return self.head(self.norm(self.second(self.first(x.flatten(1)).relu()).relu() * self.scale))


class Dropping(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(super().forward(x), 0.5, self.training)


class Branching(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if y.sum() > 0 else -y


class Counting(Plain):
    """Puts another tensor in the place of its counter."""

    def forward(self, x: Tensor) -> Tensor:
        self.batches = self.batches + 1
        return super().forward(x)


class Hiding(Plain):
    """Keeps random numbers where no one sees them."""

    def __init__(self, activation: str = "relu"):
        super().__init__()
        self.hidden = torch.rand(10)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.hidden


class Unused(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x.flatten(1))


class Frozen(Plain):
    def __init__(self, activation: str = "relu"):
        super().__init__()
        self.head.weight.requires_grad_(False)
