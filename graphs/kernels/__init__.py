"""The only door through which models pass messages.

``reference`` says in plain torch what every operation computes; ``cpu`` and ``gpu`` do it fast. All of them execute one
:class:`~graphs.kernels.program.Program` per sweep over the edges; ``messages`` names the sweeps that models use.
"""

from graphs.kernels.attending import attention, segment_softmax
from graphs.kernels.backends import backend_info
from graphs.kernels.fourier import fourier_linear
from graphs.kernels.messages import (
    Update,
    fused_chain,
    fused_layer,
    fused_message,
    lazy_chain,
    lazy_message,
    segment_reduce,
)
from graphs.kernels.pairs import Pairs
from graphs.kernels.table import BlockTable

__all__ = [
    "BlockTable",
    "Pairs",
    "Update",
    "attention",
    "backend_info",
    "fourier_linear",
    "fused_chain",
    "fused_layer",
    "fused_message",
    "lazy_chain",
    "lazy_message",
    "segment_reduce",
    "segment_softmax",
]
