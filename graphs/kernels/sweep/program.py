"""What a sweep over the edges does: the choices that are fixed before it starts, and the tensors it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

ENCODERS = ("stored", "relu")
MESSAGES = ("edge", "add", "film", "mul")
ACTIVATIONS = ("identity", "relu", "silu", "gelu", "tanh", "sigmoid")
STATISTICS = ("sum", "square", "max", "min")
EXTREMES = ("max", "min")
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@dataclass(frozen=True)
class Program:
    """One sweep: edge states are loaded or encoded, updated, read by a message, and reduced into nodes.

    With j the source and i the destination of an edge, ``*`` elementwise, and K updates (0 or more)::

        e_0     = e                                 encoder "stored"
                  relu(e enc_a + enc_b)             encoder "relu": e are raw weights
        z_k     = U_k[j] + V_k[i] + e_k Wu_k + bu_k
        h_k     = update_act(z_k) Wo_k + bo_k       (update_act(z_k) without Wo)
        e_{k+1} = e_k + h_k                         (h_k without residual)
        r       = e_0 or e_K                        reads "old" or "new"
        m       = r                                 message "edge"
                  act(P[j] + Q[i] + r We + be)      "add"
                  act((P[j] + Q[i]) * s + t)        "film", [s, t] = r We + be
                  act((P[j] + Q[i]) * (r We + be))  "mul"

    Without We, r stands for r We (not for "film"). Without U, V, P, Q or a bias, nothing is added.

    Args:
        encoder, message, act, update_act, residual, reads: as above.
        keep: whether e_K is returned.
        statistics: of the messages into each node, among sum, square (sum of squares), max, min.

    Raises ValueError for an unknown choice.
    """

    encoder: str = "stored"
    message: str = "edge"
    act: str = "identity"
    update_act: str = "identity"
    residual: bool = True
    reads: str = "new"
    keep: bool = False
    statistics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        choices = {
            "encoder": ENCODERS,
            "message": MESSAGES,
            "act": ACTIVATIONS,
            "update_act": ACTIVATIONS,
            "reads": ("old", "new"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; choose among {', '.join(known)}")
        for name in self.statistics:
            if name not in STATISTICS:
                raise ValueError(f"unknown statistic {name!r}; choose among {', '.join(STATISTICS)}")
        if len(set(self.statistics)) < len(self.statistics):
            raise ValueError(f"expected each statistic once, got {', '.join(self.statistics)}")

    @property
    def text(self) -> str:
        """The program as one line, which a torch operator can take as an argument."""
        words = (self.encoder, self.message, self.act, self.update_act, self.reads)
        return " ".join([*words, str(int(self.residual)), str(int(self.keep)), *self.statistics])

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> Program:
        """The program of a text."""
        encoder, message, act, update_act, reads, residual, keep, *statistics = text.split(" ")
        flags = residual == "1", reads, keep == "1"
        return Program(encoder, message, act, update_act, *flags, statistics=tuple(statistics))


class Operands(NamedTuple):
    """The tensors of a sweep; None for those that its program does not read.

    Shapes: e ``[E, D]`` (``[E, C]`` raw weights with an encoder), enc_a ``[C, D]``, enc_b ``[D]``, U, V ``[K, N, H]``,
    Wu ``[K, D, H]``, bu ``[K, H]``, Wo ``[K, H, D]``, bo ``[K, D]``, P and Q ``[N, G]``, We ``[D, G]``, be ``[G]``
    (``[D, 2 G]`` and ``[2 G]`` for "film"). U and P have a row a source, V and Q a row a destination.
    """

    e: Tensor
    enc_a: Tensor | None = None
    enc_b: Tensor | None = None
    U: Tensor | None = None
    V: Tensor | None = None
    Wu: Tensor | None = None
    bu: Tensor | None = None
    Wo: Tensor | None = None
    bo: Tensor | None = None
    P: Tensor | None = None
    Q: Tensor | None = None
    We: Tensor | None = None
    be: Tensor | None = None

    @property
    def number_of_updates(self) -> int:
        return 0 if self.Wu is None else self.Wu.shape[0]

    @property
    def compute_dtype(self) -> torch.dtype:
        """What sums are made in: float64 for float64, else float32."""
        return torch.float64 if self.e.dtype == torch.float64 else torch.float32

    def edge_width(self) -> int:
        """D."""
        return self.e.shape[1] if self.enc_a is None else self.enc_a.shape[1]

    def message_width(self, program: Program) -> int:
        """G."""
        if program.message == "edge" or self.We is None:
            return self.edge_width()
        return self.We.shape[1] // 2 if program.message == "film" else self.We.shape[1]


OPERANDS = Operands._fields
