"""Which trainer takes an architecture, and why; chosen once, when a zoo is begun."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.plans import Plan, PlannedMember
from zoo.spec import ZooSpec
from zoo.users import blamed_on

if TYPE_CHECKING:
    from zoo.population import TrainingJob
    from zoo.sources import Dataset

ADVANTAGES = {"native": "compiled, one network at a time", "stacked": "many networks of one architecture train at once"}
# What auto tries, the best first. Who leases a GPU means to train on it.
PREFERRED = {"cpu": ("native", "stacked"), "cuda": ("stacked", "native")}


def choose_trainers(spec: ZooSpec, planned: Plan, data: "Dataset", device: str) -> dict[str, dict[str, Any]]:
    """The trainer of each architecture: its name, why, and for the stacked one the stack's size and the device."""
    members: dict[str, list[PlannedMember]] = {}
    for member in planned.members:
        members.setdefault(member.architecture, []).append(member)
    return {name: _choose(spec, of_one, data, device) for name, of_one in members.items()}


def _choose(spec: ZooSpec, members: Sequence[PlannedMember], data: "Dataset", device: str) -> dict[str, Any]:
    if spec.trainer == "reference":
        return {"name": "reference", "why": "the spec asks for it"}
    job, reasons = _job(spec, _different(members)), {}
    for name in PREFERRED[device] if spec.trainer == "auto" else (spec.trainer,):
        with blamed_on(job.recipe["factory"]):
            reasons[name] = WHY_NOT[name](job, data)
        if (spec.trainer, name, device, reasons[name]) == ("auto", "stacked", "cpu", None):
            reasons[name] = _why_not_worthwhile(_job(spec, members[: spec.shard_size]), data)
        if reasons[name] is None:
            how = _how(job, data, device) if name == "stacked" else {}
            return {"name": name, "why": "; ".join([ADVANTAGES[name], *_told(reasons)]), **how}
    if spec.trainer != "auto":
        raise ValueError(
            f"recipe {members[0].recipe['factory']}: the {spec.trainer} trainer does not take it "
            f"({reasons[spec.trainer]}); set trainer to auto or reference"
        )
    return {"name": "reference", "why": "; ".join(_told(reasons))}


def _job(spec: ZooSpec, members: Sequence[PlannedMember]) -> "TrainingJob":
    from zoo.training import make_job

    return make_job(members, spec.length, spec.batch_size, spec.keep or ())


def _different(members: Sequence[PlannedMember]) -> list[PlannedMember]:
    """The first member of each activation and dropout rate; a trainer takes all members when it takes these."""
    found: dict[tuple, PlannedMember] = {}
    for member in members:
        found.setdefault((member.settings["activation"], member.settings["dropout"]), member)
    return list(found.values())


def _told(reasons: dict[str, str | None]) -> list[str]:
    """Why trainers were passed over; the same reason once."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if reason is not None:
            names.setdefault(reason, []).append(name)
    return [f"not {' or '.join(who)}: {reason}" for reason, who in names.items()]


def _why_not_native(job: "TrainingJob", data: "Dataset") -> str | None:
    from zoo.population.initialising import member_recipe
    from zoo.population.losses import loss_name
    from zoo.population.native import why_not_compiled

    loss = loss_name(job.loss, job.fits_images)
    recipes = (member_recipe(job.recipe, settings).to_dict() for settings in job.settings)
    return next((reason for recipe in recipes if (reason := why_not_compiled(recipe, loss))), None)


def _why_not_stacked(job: "TrainingJob", data: "Dataset") -> str | None:
    from zoo.population.stacked_ways import why_not_trained

    return why_not_trained(job, data)


def _why_not_worthwhile(job: "TrainingJob", data: "Dataset") -> str | None:
    from zoo.population.stacked import why_not_worthwhile

    return why_not_worthwhile(job, data)


def _how(job: "TrainingJob", data: "Dataset", device: str) -> dict[str, Any]:
    """What the last bits of stacked networks depend on beside the spec: networks in a stack, and where they train."""
    from zoo.population.stacked_sizes import stack_size

    return {"stack": stack_size(job, data), "device": device}


WHY_NOT = {"native": _why_not_native, "stacked": _why_not_stacked}
