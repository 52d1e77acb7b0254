"""Image networks: each shows its image as well as it says."""

import math
from pathlib import Path

import pytest
import torch
from shrinking import built, spec_of

from zoo.sources import coordinates, load, pixels


def test_every_network_shows_its_image_with_the_psnr_that_is_stored(tmp_path: Path) -> None:
    spec = spec_of("inr_psnr", members=8)
    target = spec.fixed["target_psnr"]
    z = built(spec, tmp_path)
    data = load(**spec.data)
    for number, member in enumerate(z):
        assert member.row["image"] == number
        assert member.row["label"] == data.train_y[number]
        image = data.train_x[number]
        with torch.no_grad():
            shown = member.module()(coordinates(*image.shape[1:]))
        mse = (shown.double() - pixels(image).double()).square().mean().item()
        psnr = member.metrics["psnr"]
        assert psnr[-1] == pytest.approx(-10 * math.log10(mse), abs=1e-3)
        # It stopped at the first kept state that is good enough.
        assert psnr[0] < target <= psnr[-1]
        first = int((psnr >= target).argmax())
        assert (psnr[first:] == psnr[first]).all()
        assert torch.equal(member.flat(first), member.flat(-1))


def test_one_that_misses_its_target_is_trained_to_the_end(tmp_path: Path) -> None:
    fixed = spec_of("inr_psnr").fixed | {"target_psnr": 90.0}
    spec = spec_of("inr_psnr", members=2, epochs=30, keep=(0, 10, 20, 30), fixed=fixed)
    for member in built(spec, tmp_path):
        assert member.row["status"] == "ok"
        assert not torch.equal(member.flat(2), member.flat(3))
        assert 10 < member.metrics["psnr"][-1] < 90


def test_frequency_and_offset_are_in_the_recipe(tmp_path: Path) -> None:
    z = built(spec_of("inr_psnr", members=1, epochs=1, keep=(1,)), tmp_path)
    assert {"w0": 30.0, "shift": 0.5}.items() <= z[0].recipe["arguments"].items()
    module = z[0].module()
    zero = {name: torch.zeros_like(value) for name, value in module.state_dict().items()}
    module.load_state_dict(zero)
    assert module(torch.zeros(1, 2)).item() == 0.5
