"""Small vision transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphs.families.attention import TransformerBlock
from graphs.families.probe import normal_input


class ViT(nn.Module):
    """Patches, a class token, learned positions, transformer blocks, a linear head; https://arxiv.org/abs/2010.11929.

    Args:
        input_shape: channels, height, width; height and width divisible by ``patch``.
        patch: side of a square patch, in pixels.
        width: width of the residual stream.
        depth: number of blocks.
        heads: number of attention heads.
        expansion: hidden width of a block's MLP in units of ``width``.
        outputs: number of outputs.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.

    Shapes: ``[batch, *input_shape]`` -> ``[batch, outputs]``.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 8, 8),
        patch: int = 4,
        width: int = 16,
        depth: int = 2,
        heads: int = 2,
        expansion: int = 2,
        outputs: int = 10,
        activation: str = "gelu",
    ):
        super().__init__()
        channels, rows, columns = input_shape
        if rows % patch or columns % patch:
            raise ValueError(f"height and width must be divisible by the patch, got {rows}x{columns} and {patch}")
        tokens = (rows // patch) * (columns // patch)
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens + 1, width))
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, expansion, activation, causal=False) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])

    @staticmethod
    def example_input(batch: int, input_shape: Sequence[int] = (3, 8, 8), **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, input_shape)
