"""A network trained again, beside the one in the zoo."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zoo.member import Member
from zoo.recreation import recreate

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.sources import Dataset

# How far each trainer may be from what it gave before, relative to the norm of the weights; 0 is bit for bit. The last
# bits of a stacked network depend on its stack mates, and it is trained again without them.
BOUNDS = {"reference": 0.0, "native": 0.0, "stacked": 1e-3}


@dataclass(frozen=True)
class Comparison:
    """How far a network is from what its row gives again.

    Args:
        id: of the network.
        trainer: that made it, both times.
        bound: what ``difference`` may be; 0 asks for the same bits.
        kept: epochs (or updates) of the kept states.
        same_bits: of each kept state, NaN included.
        differences: of each kept state, relative to its norm; infinite where one is lost and the other is not.
    """

    id: str
    trainer: str
    bound: float
    kept: tuple[int, ...]
    same_bits: tuple[bool, ...]
    differences: tuple[float, ...]

    @property
    def difference(self) -> float:
        """The largest one."""
        return max(self.differences)

    @property
    def holds(self) -> bool:
        """Whether the network is what its row says."""
        return all(self.same_bits) or 0 < self.bound >= self.difference

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.difference, "holds": self.holds}

    def __str__(self) -> str:
        if all(self.same_bits):
            return f"{self.id}: {len(self.kept)} states agree bit for bit ({self.trainer})"
        agree = "agree up to rounding" if self.holds else "DIFFER"
        found = f"difference {self.difference:.2g} of the weights' norm, at most {self.bound:g}"
        return f"{self.id}: {len(self.kept)} states {agree} ({self.trainer}, trained alone): {found}"


def compare(member: Member, data: "Dataset | None" = None) -> Comparison:
    """Train a network of a zoo again from its row alone; see ``zoo.recreate``, which raises what this raises.

    >>> import tempfile, zoo
    >>> spec = zoo.ZooSpec({"source": "digits", "limit": 50}, ("mlp",), members=2, epochs=1, trainer="stacked")
    >>> compare(zoo.build(spec, tempfile.mkdtemp(), workers=0, progress=False)[1]).holds
    True
    """
    import torch

    again, there = recreate(member, data), member.trajectory()
    pairs = list(zip(again, there, strict=True))
    return Comparison(
        member.id,
        member.row["trainer"],
        BOUNDS[member.row["trainer"]],
        tuple(member.epochs),
        tuple(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in pairs),
        tuple(_difference(a.double(), b.double()) for a, b in pairs),
    )


def _difference(a: "Tensor", b: "Tensor") -> float:
    """Relative to b; 0 for two lost states."""
    if bool(a.isnan().all()) and bool(b.isnan().all()):
        return 0.0
    found = float((a - b).norm() / b.norm().clamp_min(1e-30))
    return found if found == found else float("inf")
