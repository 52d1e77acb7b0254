"""The trainers that this machine has."""

import pytest

from zoo.population.native_build import TRAINER

_reason = TRAINER.why_not()
NATIVE = pytest.param("native", marks=pytest.mark.skipif(_reason is not None, reason=_reason or ""))
TRAINERS = ["reference", "stacked", NATIVE]
