"""A float64 copy of a network with random weights, which runs from the same state every time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphs.certifying.comparing import difference
from graphs.certifying.randomising import randomise
from graphs.execution.evaluation import plain_evaluation, seeded, traceable_layout
from graphs.execution.paths import Path
from graphs.execution.probes import Probe
from graphs.execution.trees import described
from graphs.execution.whereabouts import Whereabouts
from graphs.execution.widening import double_copy, in_double

# Two runs on the same weights and inputs may differ by roundoff where threads share a sum.
SAME = 1e-12


class Replica:
    """The copy as ``module``, its own state_dict as ``weights``."""

    def __init__(self, module: nn.Module, generator: torch.Generator, seed: int) -> None:
        traceable_layout(module)
        if any(t.is_meta for t in module.state_dict().values()):
            raise ValueError(
                f"expected a {type(module).__name__} with weights, got one on the device meta; trace() takes it, to "
                "certify it needs values: build it on the CPU"
            )
        self.module, self.seed = double_copy(module).eval(), seed
        randomise(self.module, generator)
        self.weights = {k: v.clone() for k, v in self.module.state_dict().items()}

    def run(self, probe: Probe, weights: dict[str, Tensor] | None = None) -> tuple[Any, Path]:
        """Outputs and path, with these weights or with its own."""
        self.module.load_state_dict(self.weights if weights is None else weights)
        where = Whereabouts()
        path = Path(where)
        try:
            with in_double(), seeded(self.seed), plain_evaluation(self.module), where.within(self.module), path:
                return probe.copy().run(self.module), path
        except Exception as error:
            raise ValueError(
                f"{type(self.module).__name__} failed in {where.name} on the inputs {described(tuple(probe))}: "
                f"{type(error).__name__}: {error}; give inputs that it takes with inputs=[...]"
            ) from error

    def check_repeats(self, probe: Probe, expected: Any) -> None:
        """Raise ValueError where a second run tells something else."""
        error = difference(expected, self.run(probe)[0])
        if not error <= SAME:
            raise ValueError(
                f"{type(self.module).__name__} is not deterministic: two runs in evaluation mode on the same inputs, "
                f"weights and torch seed differ by {error:.1e}; it keeps a state between runs or draws random numbers "
                "outside torch, so there is no function to certify"
            )

    def like(self, example: Probe, generator: torch.Generator) -> Probe:
        """A random probe that the network takes; whole numbers stay those of the example where it fails on others."""
        probe = example.like(generator)
        try:
            self.run(probe)
        except ValueError:
            return example.like(generator, whole=False)
        return probe
