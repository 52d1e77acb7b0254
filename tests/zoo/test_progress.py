"""The progress of a build counts networks, also those of a resumed build and of a shard that is lost."""

from collections.abc import Callable

import pytest

from zoo import ZooSpec
from zoo.engines import Event
from zoo.planning import plan
from zoo.plans import Facts
from zoo.progress import BuildProgress


def test_the_bar_counts_what_was_there_and_steps_back_for_a_lost_shard(
    small_spec: Callable[..., ZooSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"name": "d", "fingerprint": "f", "input_shape": [1, 8, 8], "num_classes": 10, "train_size": 5}
    planned = plan(small_spec(recipes=["mlp"], random={}), Facts(data, {"mlp": ["inputs", "hidden", "outputs"]}))
    with BuildProgress(planned, planned.shards[1:], visible=True) as shown:
        counts = []
        for event in (
            Event(1, finished=2),
            Event(2, finished=1),
            Event(1),
            Event(1, finished=3),
            Event(1, finished=3, record={"members": 3}),
            Event(2, error="lost for good"),
        ):
            shown.tell(event)
            counts.append(shown._bar.n)
    # Three networks were safe at the start.
    assert counts == [5, 6, 4, 7, 7, 6]
    assert shown.safe == 6
    drawn = capsys.readouterr().err
    assert "3/12" in drawn
    assert "net/s" in drawn
