"""One parameter that a graph hypernetwork writes: which node speaks of it, and how decoded numbers become it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

# What writes a parameter: the decoder of weights, the heads of the last layer, or one of the two rows of vectors.
DECODERS = ("weight", "classifier", "vector", "classifier_bias")
# How decoded numbers are brought to a scale; see hypernets.ghn.normalising.
KINDS = ("weight", "scale", "shift", "position")
Size4 = tuple[int, int, int, int]


@dataclass(frozen=True)
class Target:
    """A parameter to be written.

    Args:
        name: its state_dict entry (of a tied parameter the first name).
        shape: as the module stores it.
        node: number of the node of the architecture whose embedding it is written from.
        decoder: one of ``DECODERS``. ``vector`` decodes ``[2, C]`` from a node: row 0 for scales, row 1 for shifts.
        kind: one of ``KINDS``.
        canonical: ``(out, in, height, width)``, the sizes a decoder is asked for.
        axes: the axes of the stored tensor in the order of ``canonical``.
        gain: factor of a ``weight`` after decoding, ``sqrt(beta / fan_in)`` in GHN-2 (section 3.4).

    >>> swapped = Target("w", (3, 5), 1, "weight", "weight", (5, 3, 1, 1), (1, 0))
    >>> import torch
    >>> swapped.stored(torch.zeros(5, 3, 1, 1)).shape
    torch.Size([3, 5])
    """

    name: str
    shape: tuple[int, ...]
    node: int
    decoder: str
    kind: str
    canonical: Size4
    axes: tuple[int, ...]
    gain: float = 1.0

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS or self.kind not in KINDS:
            raise ValueError(f"{self.name}: no decoder {self.decoder!r} for a {self.kind!r}; see DECODERS and KINDS")
        if sorted(self.axes) != list(range(len(self.shape))) or math.prod(self.canonical) != math.prod(self.shape):
            raise ValueError(
                f"{self.name}: expected all axes of {self.shape} and as many numbers in the canonical shape, "
                f"got axes {self.axes} and {self.canonical}"
            )

    def stored(self, decoded: Tensor) -> Tensor:
        """The parameter as the module stores it. Shapes: decoded ``[out, in, height, width]``."""
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        if inverse == list(self.axes) == sorted(inverse):
            return decoded.reshape(self.shape)
        return decoded.reshape([self.shape[a] for a in self.axes]).permute(inverse)
