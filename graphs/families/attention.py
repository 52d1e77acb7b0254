"""The transformer block of the ViT and GPT families."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphs.families.activations import activation as make_activation


class SelfAttention(nn.Module):
    """Multi-head attention softmax(q k^T / sqrt(d)) v with one fused linear layer for q, k and v.

    Args:
        width: width of the residual stream, divisible by ``heads``.
        heads: number of heads.
        causal: whether a token sees only itself and those before it.

    Shapes: ``[batch, tokens, width]`` -> the same.
    """

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        if width % heads:
            raise ValueError(f"the width must be divisible by the number of heads, got {width} and {heads}")
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        if self.causal:
            future = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Shapes: ``[batch, tokens, width]`` -> the same.
    """

    def __init__(self, width: int, heads: int, expansion: int, activation: str, causal: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width), make_activation(activation), nn.Linear(expansion * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))
