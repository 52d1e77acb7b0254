"""Runs of several processes: each takes its own GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metanets import distributed


@pytest.mark.parametrize(("device", "chosen", "backend"), [("cuda", [1], "nccl"), ("cpu", [], "gloo")])
def test_each_process_takes_its_own_gpu(
    device: str, chosen: list[int], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    joined: list[Any] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", joined.append)
    distributed.start(device)
    assert (taken, joined) == (chosen, [backend])
