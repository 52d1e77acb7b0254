"""Gaussian Fourier features of a few numbers, read by a linear map, without the features ever existing all at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphs.kernels import BlockTable, fourier_linear


class FourierLinear(nn.Module):
    """``Linear([cos(2 pi B z), sin(2 pi B z)])`` with B drawn once from N(0, sigma^2) and never trained.

    Random Fourier features (Tancik et al. 2020, https://arxiv.org/abs/2006.10739), by
    :func:`graphs.kernels.fourier_linear`, which makes them anew in the backward pass.

    Args:
        size: numbers a row, K.
        width: of the output.
        features: frequencies; the linear map has twice as many inputs.
        sigma: standard deviation of the frequencies, in 1 / (unit of z).

    Shapes: values ``[n, K']`` with K' = columns.shape[-1] or K; output ``[n, width]``.

    >>> FourierLinear(9, 32, features=16)(torch.zeros(5, 1), torch.tensor([4])).shape
    torch.Size([5, 32])
    """

    frequencies: Tensor

    def __init__(self, size: int, width: int, features: int = 128, sigma: float = 3.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(features, size) * sigma)
        self.linear = nn.Linear(2 * features, width)

    def forward(
        self,
        values: Tensor,
        columns: Tensor | None = None,
        *,
        table: BlockTable | None = None,
        nodes: Tensor | None = None,
        kinds: Tensor | None = None,
        kind: Tensor | None = None,
    ) -> Tensor:
        """``columns`` names the entries of z that ``values`` holds; the others are 0, and cost nothing. Of several rows
        ``[R, K']``, the values stand in each.

        table, nodes, kinds, kind: what is added; see :func:`graphs.kernels.fourier_linear`.
        """
        frequencies = self.frequencies if columns is None else self.frequencies[:, columns]
        # Equal entries of z share an angle, whose frequency is the sum of theirs.
        frequencies = frequencies.sum(1) if frequencies.dim() == 3 else frequencies
        if values.shape[1:] != frequencies.shape[1:]:
            raise ValueError(f"expected values of shape [n, {frequencies.shape[1]}], got {list(values.shape)}")
        values = values.to(self.linear.weight.dtype)
        with torch.autocast(values.device.type, enabled=False):
            parameters = frequencies, self.linear.weight, self.linear.bias
            return fourier_linear(values, *parameters, table, nodes=nodes, kinds=kinds, kind=kind)
