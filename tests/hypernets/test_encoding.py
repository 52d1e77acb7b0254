"""Sizes and the buckets they fall into."""

from __future__ import annotations

import pytest
import torch

from hypernets.ghn.encoding import NodeEncoder, channel_sizes, kernel_sizes, nearest_sizes


def test_buckets_are_as_many_as_in_published_tables() -> None:
    assert len(channel_sizes(10)) == 391
    assert channel_sizes(10)[:5].tolist() == [1, 3, 8, 10, 16]
    assert kernel_sizes(7).tolist() == [1, 3, 5, 7, 9, 11, 14, 16]
    assert kernel_sizes(16).tolist() == [1, 3, 5, 7, 9, 11, 13, 14, 15, 16]


@pytest.mark.parametrize("classes", [5, 10, 1000, 9000])
def test_every_size_goes_to_the_nearest(classes: int) -> None:
    sizes = channel_sizes(classes)
    found = nearest_sizes(sizes, {})
    for size in [*range(1, 300), 4095, 4096, 4112, 8191, 8192]:
        assert int(found[size]) == int((sizes - size).abs().argmin())
    assert int(found[0]) == len(sizes)


def test_what_the_encoder_reads() -> None:
    torch.manual_seed(0)
    encoder = NodeEncoder(8, 10, 7, 15)
    shape = torch.tensor([[6, 20000, 2, 99], [8, 8192, 3, 16], [0, 0, 0, 0], [0, 0, 0, 0]])
    rows = encoder(torch.tensor([4, 4, 4, 5]), shape)
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[1], rows[2])
    expected = encoder.primitive.weight[5] + torch.cat(
        [encoder.channel.weight[-1]] * 2 + [encoder.spatial.weight[-1]] * 2
    )
    assert torch.equal(rows[3], expected)
