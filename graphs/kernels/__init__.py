"""The only door through which models pass messages."""

from graphs.kernels.reference import gather_message_reduce, segment_reduce
from graphs.kernels.table import BlockTable

__all__ = ["BlockTable", "gather_message_reduce", "segment_reduce"]
