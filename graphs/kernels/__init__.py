"""The only door through which models pass messages.

``sweep`` makes messages, reduces them and updates edges in one pass: one
:class:`~graphs.kernels.sweep.program.Program`, whose uses ``messages`` names. ``attending`` is attention over edges,
``fourier`` the encoder of raw weights. In each, ``reference`` says in plain torch what is computed, ``cpu`` and ``gpu``
do it fast and ``operators`` make torch operators of it; ``backends`` chooses.
"""

from graphs.kernels.attending.attending import attention, segment_softmax
from graphs.kernels.attending.pairs import Pairs
from graphs.kernels.backends import backend_info
from graphs.kernels.fourier.operators import fourier_linear
from graphs.kernels.sweep.messages import (
    Update,
    fused_chain,
    fused_layer,
    fused_message,
    lazy_chain,
    lazy_message,
    segment_reduce,
)
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
