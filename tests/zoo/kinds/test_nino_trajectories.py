"""Trajectories: states after exactly the updates that the spec names, those of a training that stops there."""

from pathlib import Path

import torch
from shrinking import built, spec_of


def test_states_are_those_of_trainings_that_stop_there(tmp_path: Path) -> None:
    small = {"members": 8, "data": {"source": "digits", "limit": 100}, "trainer": "reference"}
    z = built(spec_of("nino_trajectories", steps=30, keep={"every": 10}, **small), tmp_path)
    assert [member.epochs for member in z] == [[0, 10, 20, 30]] * 8
    assert {(row["train_steps"], row["train_epochs"], row["optimiser"]) for row in z.table.to_pylist()} == {
        (30, None, "adam")
    }
    stopped = built(spec_of("nino_trajectories", steps=20, keep=(20,), **small), tmp_path / "stopped")
    for long, short in zip(z, stopped, strict=True):
        assert long.row["seed"] == short.row["seed"]
        assert torch.equal(long.flat(2), short.flat(-1))
        assert not torch.equal(long.flat(1), long.flat(2))


def test_a_run_has_as_many_states_as_those_of_the_paper() -> None:
    assert spec_of("nino_trajectories").keep == tuple(range(0, 2501, 20))  # 126 states
