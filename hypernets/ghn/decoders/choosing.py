"""The decoders of weights by name."""

from __future__ import annotations

from collections.abc import Callable

from hypernets.ghn.decoders.conv import ConvDecoder
from hypernets.ghn.decoders.kernels import CENTRE, CORNER
from hypernets.ghn.decoders.low_rank import LowRankDecoder
from hypernets.ghn.decoders.perceptron import PerceptronDecoder
from hypernets.ghn.target import Size4

Decoder = ConvDecoder | PerceptronDecoder | LowRankDecoder


def _linear(hidden: int, max_shape: Size4, num_classes: int) -> ConvDecoder:
    decoder = ConvDecoder(hidden, max_shape, num_classes, CENTRE)
    decoder.shrink_last()
    return decoder


def make_decoder(name: str, hidden: int, max_shape: Size4, num_classes: int, rank: int) -> Decoder:
    """A new decoder. Raises ValueError for an unknown name, and lists the known ones.

    >>> make_decoder("low_rank", 8, (64, 64, 3, 3), 10, rank=4).fit((100, 64, 3, 3))
    (21, 21, 3, 3)
    """
    makers: dict[str, Callable[[], Decoder]] = {
        "conv": lambda: ConvDecoder(hidden, max_shape, num_classes, CORNER),
        "linear": lambda: _linear(hidden, max_shape, num_classes),
        "mlp": lambda: PerceptronDecoder(hidden, max_shape, num_classes),
        "low_rank": lambda: LowRankDecoder(hidden, max_shape, num_classes, rank),
    }
    if name not in makers:
        raise ValueError(f"unknown decoder {name!r}; choose among {', '.join(makers)}")
    return makers[name]()
