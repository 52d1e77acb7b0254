"""Decoders: that a part alone equals the part of the whole, and what becomes of kernels of other sizes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate, linear

from hypernets.ghn.decoders.choosing import Decoder, make_decoder
from hypernets.ghn.decoders.conv import ConvDecoder
from hypernets.ghn.decoders.kernels import CENTRE, CORNER
from hypernets.ghn.decoders.low_rank import LowRankDecoder
from hypernets.ghn.decoders.vector import SHIFT, VectorDecoder
from hypernets.ghn.target import Size4
from hypernets.ghn.tiling import repeat

WHOLE: Size4 = (12, 12, 5, 5)
PARTS: list[Size4] = [(1, 1, 1, 1), (12, 3, 5, 5), (5, 12, 3, 3), (7, 11, 2, 4), (12, 12, 1, 5)]


def decoder(name: str) -> Decoder:
    torch.manual_seed(0)
    return make_decoder(name, 8, WHOLE, num_classes=6, rank=4).double()


@pytest.mark.parametrize("size", PARTS)
@pytest.mark.parametrize(("name", "first"), [("conv", (0, 0)), ("mlp", (0, 0)), ("linear", None)])
def test_a_part_equals_the_part_of_the_whole(name: str, first: tuple[int, int] | None, size: Size4) -> None:
    model, x = decoder(name), torch.randn(3, 8, dtype=torch.float64)
    out, inputs, height, width = size
    top, left = first or (2 - height // 2, 2 - width // 2)
    expected = model(x, WHOLE)[:, :out, :inputs, top : top + height, left : left + width]
    torch.testing.assert_close(model(x, size), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(12, 12, 1, 1), (2, 5, 5, 2), (4, 3, 3, 4), (1, 1, 1, 1)])
def test_low_rank_is_the_product_of_two_factors(size: Size4) -> None:
    model, x = decoder("low_rank"), torch.randn(3, 8, dtype=torch.float64)
    assert isinstance(model, LowRankDecoder)
    rows = linear(model.mlp(x), model.rows.weight, model.rows.bias).view(3, 8, 4)
    factors = model.widen(rows.relu()).view(3, 24, 4)
    out, inputs, height, width = size
    left, right = factors[:, : out * height], factors[:, 12 : 12 + inputs * width]
    expected = torch.einsum("nar,nbr->nab", left, right).view(3, out, height, inputs, width).transpose(2, 3)
    torch.testing.assert_close(model(x, size), expected, rtol=1e-12, atol=1e-12)


def test_low_rank_writes_wide_layers_whole_with_few_parameters() -> None:
    model = LowRankDecoder(16, (2048, 2048, 16, 16), 10, rank=32).double()
    written = model(torch.randn(1, 16, dtype=torch.float64), model.fit((2048, 2048, 1, 1)))[0, :, :, 0, 0]
    assert written.shape == (2048, 2048)
    assert torch.linalg.matrix_rank(written[:64, :64]) == 32
    assert sum(p.numel() for p in model.parameters()) < 2048 * 2048 / 10


@pytest.mark.parametrize("name", ["conv", "mlp", "linear", "low_rank"])
def test_heads(name: str) -> None:
    model, x = decoder(name), torch.randn(3, 8, dtype=torch.float64)
    assert model.classify(x, 7).shape == (3, 6, 7)
    torch.testing.assert_close(model.classify(x, 7), model.classify(x, 12)[..., :7], rtol=1e-12, atol=1e-12)


def test_the_head_mixes_the_out_channels() -> None:
    model, x = decoder("conv"), torch.randn(3, 8, dtype=torch.float64)
    assert isinstance(model, ConvDecoder)
    block = model(x, WHOLE)[..., 0, 0].relu()
    expected = torch.einsum("co,noi->nci", model.classes.weight, block) + model.classes.bias[:, None]
    torch.testing.assert_close(model.classify(x, 12), expected, rtol=1e-12, atol=1e-12)


def test_rows_of_vectors() -> None:
    model, x = VectorDecoder(8, 12, 6).double(), torch.randn(3, 8, dtype=torch.float64)
    both = model.last(model.first(x).relu()).view(3, 2, 12)
    torch.testing.assert_close(model(x, SHIFT, 5), both[:, 1, :5], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.classify(x), model.classes(both[:, 1].relu()), rtol=1e-12, atol=1e-12)


def test_kernels_larger_than_those_of_the_decoder() -> None:
    kernels = torch.randn(2, 3, 5, 5)
    grown = CORNER.grow(kernels, 11, 7)
    assert grown.shape == (2, 3, 11, 7)
    assert torch.equal(grown[:, :, 5:10, :5], kernels)
    assert torch.equal(grown[:, :, 10, 5:], kernels[:, :, 0, :2])
    torch.testing.assert_close(CENTRE.grow(kernels, 11, 7), interpolate(kernels, (11, 7), mode="bilinear"))


@pytest.mark.parametrize("size", [1, 4, 5, 9, 15])
def test_repeat_takes_entries_in_turn(size: int) -> None:
    x = torch.randn(2, 5, 3)
    assert torch.equal(repeat(x, 1, size), x[:, torch.arange(size) % 5])
