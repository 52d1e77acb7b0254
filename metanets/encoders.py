"""Encoders of weights: one for all kernels up to a size, small kernels lying in the middle of the largest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metanets.fourier import FourierLinear


class TapEncoder(nn.Module):
    """Fourier features of the taps of an edge (a kernel, or one weight), then Linear.

    A kernel smaller than the largest is what zero-padding it would give, but nothing is padded: only the columns of the
    encoder that it covers are used (Kofinas et al. 2024, https://arxiv.org/abs/2403.12143, section 3). A linear weight
    is a kernel of one tap.

    Args:
        kernel: largest kernel; () for weights alone.
        width: of the encoding.
        features, sigma: see FourierLinear.
        centred: whether small kernels lie in the middle of the largest; else at its start.
        channels: kernels side by side, of which a call fills some (the directions of an edge).

    Shapes: values ``[n, prod(taps)]``; output ``[n, width]``. Raises ValueError for a kernel that does not fit.
    """

    def __init__(
        self,
        kernel: tuple[int, ...],
        width: int,
        features: int = 128,
        sigma: float = 3.0,
        centred: bool = True,
        channels: int = 1,
    ) -> None:
        super().__init__()
        if any(size < 1 for size in kernel):
            raise ValueError(f"expected a kernel of sizes >= 1, got {kernel}")
        self.kernel, self.centred = tuple(kernel), centred
        self.size = torch.Size(kernel).numel()
        self.fourier = FourierLinear(channels * self.size, width, features, sigma)

    def fits(self, taps: tuple[int, ...]) -> bool:
        """Whether a kernel of this size can be encoded."""
        large, small = _aligned(self.kernel, taps)
        return all(inner <= outer for inner, outer in zip(small, large, strict=True))

    def forward(self, values: Tensor, taps: tuple[int, ...] = (), channels: tuple[int, ...] = (0,)) -> Tensor:
        """``values`` stand in each of ``channels``; the other channels are 0."""
        if not self.fits(taps):
            raise ValueError(f"expected kernels of at most {self.kernel}, got one of {taps}; create a larger model")
        columns = self.columns(taps)
        return self.fourier(values, torch.stack([columns + channel * self.size for channel in channels]))

    def columns(self, taps: tuple[int, ...]) -> Tensor:
        """Which taps of the largest kernel a kernel of this size covers. Shapes: ``[prod(taps)]``."""
        index = torch.arange(self.size, device=self.fourier.frequencies.device)
        large, small = _aligned(self.kernel, taps)
        index = index.view(large)
        for axis, (outer, inner) in enumerate(zip(large, small, strict=True)):
            index = index.narrow(axis, (outer - inner) // 2 if self.centred else 0, inner)
        return index.reshape(-1)


def _aligned(kernel: tuple[int, ...], taps: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both sizes with as many axes: missing ones come first and have size 1."""
    rank = max(len(kernel), len(taps))
    return (1,) * (rank - len(kernel)) + tuple(kernel), (1,) * (rank - len(taps)) + tuple(taps)
