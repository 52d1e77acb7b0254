"""Small GPT-like language models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphs.families.attention import TransformerBlock
from graphs.families.probe import token_input


class GPT(nn.Module):
    """Token and position embeddings, causal transformer blocks, a head tied to the token embedding; after GPT-2.

    Args:
        vocabulary: number of tokens.
        context: greatest number of tokens.
        width: width of the residual stream.
        depth: number of blocks.
        heads: number of attention heads.
        expansion: hidden width of a block's MLP in units of ``width``.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.

    Shapes: tokens ``[batch, tokens]`` -> ``[batch, tokens, vocabulary]``.
    """

    def __init__(
        self,
        vocabulary: int = 32,
        context: int = 16,
        width: int = 16,
        depth: int = 2,
        heads: int = 2,
        expansion: int = 4,
        activation: str = "gelu",
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(
            *(TransformerBlock(width, heads, expansion, activation, causal=True) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.shape[1] > self.positions.num_embeddings:
            raise ValueError(f"at most {self.positions.num_embeddings} tokens, got {tokens.shape[1]}; raise context")
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions(places))))

    @staticmethod
    def example_input(batch: int, vocabulary: int = 32, context: int = 16, **_: Any) -> tuple[Tensor, ...]:
        return token_input(batch, (context,), vocabulary)
