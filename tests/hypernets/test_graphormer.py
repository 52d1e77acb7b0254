"""The Graphormer: what its bias is, and that the graphs of a batch are apart."""

from __future__ import annotations

from dataclasses import replace

import torch
from some_architectures import random_architecture

from hypernets.ghn.architecture import collate_architectures
from hypernets.ghn.graphormer import DistanceBias, Graphormer


def test_bias_is_the_mlp_of_every_pair() -> None:
    torch.manual_seed(0)
    bias = DistanceBias(8, 2).double()
    distance = torch.stack([random_architecture(11, 0.3, seed).distance for seed in range(2)])
    pairs = torch.stack([distance, distance.transpose(1, 2)], dim=-1) + 2
    expected = bias.mlp(bias.distance(pairs).flatten(3)).permute(0, 3, 1, 2)
    torch.testing.assert_close(bias(distance), expected, rtol=1e-12, atol=1e-12)


def test_architectures_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    model = Graphormer(8, layers=2, heads=2).double()
    batch = [random_architecture(n, 0.3, seed=n) for n in (7, 1, 12)]
    parts = [torch.randn(a.num_nodes, 8, dtype=torch.float64) for a in batch]
    together = model(torch.cat(parts), collate_architectures(batch)).split([len(p) for p in parts])
    for architecture, x, found in zip(batch, parts, together, strict=True):
        torch.testing.assert_close(found, model(x, collate_architectures([architecture])), rtol=1e-12, atol=1e-12)


def test_degrees_and_distances_beyond_the_tables() -> None:
    torch.manual_seed(0)
    model = Graphormer(8, layers=1, heads=2)
    architecture = random_architecture(120, 1.0, seed=0)
    for distance in (architecture.distance, 2000 * architecture.distance):
        batch = replace(collate_architectures([architecture]), distances=(distance,))
        assert model(torch.randn(120, 8), batch).isfinite().all()
