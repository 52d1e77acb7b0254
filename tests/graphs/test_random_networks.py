"""Networks that nobody wrote down: random convolutions, norms, residuals and concatenations are certified."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import graphs


def random_network(seed: int) -> tuple[nn.Module, tuple[Tensor]]:
    """A convolutional network of random operations on a random stream of width 2 to 6."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    class Block(nn.Module):
        def __init__(self, width: int, out: int, kind: int) -> None:
            super().__init__()
            self.kind, groups = kind, width if kind == 3 else 1
            self.conv = nn.Conv2d(width, out, 3, padding=1, groups=groups)
            self.norm = [nn.Identity(), nn.BatchNorm2d(out), nn.GroupNorm(1, out)][draw(3)]
            self.act = [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.PReLU(out)][draw(4)]

        def forward(self, x: Tensor) -> Tensor:
            y = self.act(self.norm(self.conv(x)))
            return {0: y, 1: x + y if x.shape == y.shape else y, 2: torch.cat([x, y], 1), 3: y}[self.kind]

    layers, width = [], 3
    for _ in range(1 + draw(4)):
        kind = draw(4)
        out = width if kind in (1, 3) else 2 + draw(5)
        layers.append(Block(width, out, kind))
        width = width + out if kind == 2 else out
    head = (
        [nn.Flatten(), nn.Linear(width * 16, 2)]
        if draw(2)
        else [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)]
    )
    return nn.Sequential(*layers, *head), (torch.randn(2, 3, 4, 4),)


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_are_certified_and_move(seed: int) -> None:
    module, inputs = random_network(seed)
    certificate = graphs.certify(module, *inputs, scale=True)
    assert certificate.max_error < 1e-12
    assert not certificate.pinned
