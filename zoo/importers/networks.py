"""Published architectures that no built-in family gives exactly."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from graphs.families.activations import activation as make_activation


def unknown(why: str, shapes: Mapping[str, Sequence[int]]) -> NoReturn:
    """Stands for an architecture that its source does not tell; always raises ValueError that says why."""
    raise ValueError(
        f"this network's architecture is not known ({why}), so that its module cannot be built; its {len(shapes)} "
        "tensors can be read all the same with member.state_dict()"
    )


class WildParkCNN(nn.Module):
    """A network of the CNN Wild Park (https://arxiv.org/abs/2403.12143).

    A convolution may add the output of an earlier one to its own, before its activation: the channels that both have.

    Args:
        channels: of the image, then of each convolution.
        kernel, stride, padding: one a convolution.
        residual: the convolution whose output is added, one a convolution; -1 for none.
        activations: one a convolution.
        outputs: number of classes.

    Shapes: ``[batch, channels[0], height, width]`` -> ``[batch, outputs]``.

    >>> net = WildParkCNN([3, 4, 8, 4], [3, 5, 3], [1, 1, 1], [1, 2, 1], [-1, -1, 0], ["relu", "tanh", "gelu"], 10)
    >>> net(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        residual: Sequence[int],
        activations: Sequence[str],
        outputs: int,
    ):
        super().__init__()
        sizes = zip(pairwise(channels), kernel, stride, padding, strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(*ends, k, s, p) for ends, k, s, p in sizes)
        self.activations = nn.ModuleList(map(make_activation, activations))
        self.residual = list(residual)
        self.fc = nn.Linear(channels[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for layer, activation, earlier in zip(self.layers, self.activations, self.residual, strict=True):
            x = layer(x)
            x = activation(x if earlier < 0 else _added(x, kept[earlier]))
            kept.append(x)
        return self.fc(x.mean((2, 3)))


def _added(x: Tensor, earlier: Tensor) -> Tensor:
    """``x`` with ``earlier`` added to the channels that both have."""
    shared = min(x.shape[1], earlier.shape[1])
    return (
        torch.cat([x[:, :shared] + earlier[:, :shared], x[:, shared:]], 1)
        if shared < x.shape[1]
        else (x + earlier[:, :shared])
    )


class GptConvNet(nn.Module):
    """The CIFAR-10 network of G.pt (https://arxiv.org/abs/2209.12892): two convolutions without bias, their mean.

    Shapes: ``[batch, 3, height, width]`` -> ``[batch, 10]``.

    >>> sum(p.numel() for p in GptConvNet().parameters())
    5370
    """

    def __init__(self, widths: Sequence[int] = (16, 32)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 3, 1, 1, bias=False)
        self.fc = nn.Linear(widths[1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


class GptActor(nn.Module):
    """The Cartpole policy of G.pt: the mean action of a multilayer perceptron with SELU, beside its log deviation.

    Args:
        sizes: observations, hidden widths, actions.

    Shapes: ``[batch, sizes[0]]`` -> ``[batch, sizes[-1]]``.

    >>> list(GptActor([4, 32, 1]).state_dict())
    ['log_std', 'actor.0.weight', 'actor.0.bias', 'actor.2.weight', 'actor.2.bias']
    """

    def __init__(self, sizes: Sequence[int]):
        super().__init__()
        layers: list[Any] = []
        for ends in pairwise(sizes):
            layers += [nn.Linear(*ends), nn.SELU()]
        self.actor = nn.Sequential(*layers[:-1])
        self.log_std = nn.Parameter(torch.zeros(sizes[-1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.actor(x)
