"""Backdoored networks and their clean twins: the trigger works on one of the two, and both know the digits."""

from pathlib import Path

from shrinking import built, final, spec_of


def test_the_trigger_works_on_the_backdoored_twin_alone(tmp_path: Path) -> None:
    spec = spec_of("backdoored_pairs", data={"source": "digits", "limit": 600})
    few = {"seed": spec.grid["seed"][:4], "poison_fraction": spec.grid["poison_fraction"]}
    z = built(spec_of("backdoored_pairs", data=spec.data, grid=few), tmp_path)
    clean, backdoored = z.filter(poison_fraction=0.0), z.filter(lambda row: row["poison_fraction"] > 0)
    assert len(clean) == len(backdoored) == 4
    for one, other in zip(clean, backdoored, strict=True):
        changed = {name for name in one.row if one.row[name] != other.row[name]}
        assert one.row["seed"] == other.row["seed"]
        assert "poison_fraction" in changed
        assert changed.isdisjoint({"lr", "recipe", "target_class", "optimiser", "train_fraction", "train_epochs"})
        # They begin as one network, so that the backdoor is all that parts them.
        assert (one.flat(0) == other.flat(0)).all()
        assert (one.flat(-1) != other.flat(-1)).any()
    assert final(backdoored, "trigger_success").min() >= 0.9
    assert final(clean, "trigger_success").max() < 0.1
    assert final(clean, "test_accuracy").min() > 0.9
    assert abs(final(clean, "test_accuracy") - final(backdoored, "test_accuracy")).max() < 0.05
