"""What a node says of itself, its primitive and the sizes of its parameter, as a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def channel_sizes(num_classes: int) -> Tensor:
    """Numbers of channels that have an embedding: 1, 3, the classes, and ever wider steps up to 8192."""
    steps = [1, 3, num_classes, *range(8, 64, 8), *range(64, 4096, 16), *range(4096, 8193, 32)]
    return torch.tensor(sorted(set(steps)))


def kernel_sizes(largest: int) -> Tensor:
    """Heights and widths that have an embedding: odd ones below ``largest`` (at least 12), 14 and 16."""
    return torch.tensor(sorted({*range(1, max(12, largest), 2), 14, 16}))


def nearest_sizes(sizes: Tensor, exceptions: dict[int, int]) -> Tensor:
    """Of every size from 0 to the largest, the number of the nearest of ``sizes``, the smaller of two equally near.

    Size 0 stands for none and has the number after the last.

    Args:
        exceptions: sizes that go to another than the nearest.

    >>> nearest_sizes(torch.tensor([1, 3, 8]), {5: 8}).tolist()
    [3, 0, 0, 1, 1, 2, 2, 2, 2]
    """
    every = torch.arange(int(sizes[-1]) + 1)
    above = torch.searchsorted(sizes, every).clamp(1)
    closer = (every - sizes[above - 1]) <= (sizes[above] - every)
    found = torch.where(closer, above - 1, above)
    for size, other in exceptions.items():
        found[size] = found[other]
    found[0] = len(sizes)
    return found


class NodeEncoder(nn.Module):
    """Sum of an embedding of the primitive and the concatenation of those of four sizes (GHN-2,
    https://arxiv.org/abs/2110.13100, appendix A.2.1; the buckets are those of the published code).

    Args:
        hidden: width, a multiple of 4. num_classes: has a bucket of its own. largest_kernel: that of the decoder.
        primitives: rows of the table; 15 in published checkpoints.

    Shapes: primitive ``[N]``, shape ``[N, 4]`` int64, 0 for none -> ``[N, hidden]``.

    Raises ValueError for a primitive without a row.
    """

    channels: Tensor
    kernels: Tensor

    def __init__(self, hidden: int, num_classes: int, largest_kernel: int, primitives: int) -> None:
        super().__init__()
        channels, kernels = channel_sizes(num_classes), kernel_sizes(largest_kernel)
        self.primitive = nn.Embedding(primitives, hidden)
        self.channel = nn.Embedding(len(channels) + 1, hidden // 4)
        self.spatial = nn.Embedding(len(kernels) + 1, hidden // 4)
        # Few channels beside 1 and 3 were seen in training: those below 8 are read as 8, kernels of 2 as 3.
        lookup = nearest_sizes(channels, dict.fromkeys(range(4, 8), 8))
        self.register_buffer("channels", lookup, persistent=False)
        self.register_buffer("kernels", nearest_sizes(kernels, {2: 3}), persistent=False)

    def forward(self, primitive: Tensor, shape: Tensor) -> Tensor:
        rows = self.primitive.num_embeddings
        if int(primitive.max()) >= rows:
            raise ValueError(
                f"expected primitives below {rows}, got {int(primitive.max())}; describe the architecture with the "
                f"primitives of the model, PRIMITIVES[:{rows}]"
            )
        channels = self.channels[shape[:, :2].clamp(max=len(self.channels) - 1)]
        kernels = self.kernels[shape[:, 2:].clamp(max=len(self.kernels) - 1)]
        sizes = torch.cat([self.channel(channels).flatten(1), self.spatial(kernels).flatten(1)], dim=1)
        return self.primitive(primitive) + sizes
