"""Training of graph hypernetworks: streams repeat, gradients are those of autograd, runs resume bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import hypernets
from graphs import Recipe
from hypernets.ghn.architecture import collate_architectures
from hypernets.ghn.training.augmenting import AUGMENTATIONS, mirror, shift
from hypernets.ghn.training.running import logits, run, storage_free
from hypernets.ghn.training.sampled import Sampled, describe_recipe, sample
from hypernets.ghn.training.starting import start_near_identity, start_near_nodes
from hypernets.ghn.training.stream import HELD_OUT, ArchitectureDraws, ArchitectureStream, MetaBatch
from hypernets.ghn.training.task import ArchitectureTask
from metanets.fitting import NonFiniteError, fit

DIGITS = partial(sample, "deepnets_small", input_shape=(1, 8, 8), outputs=10)
# Small ones, to take many steps.
CNNS = partial(sample, "cnn", input_shape=(1, 8, 8), outputs=10)
TINY: dict[str, Any] = {"hidden": 8, "max_shape": (8, 8, 3, 3)}


def model(seed: int = 0, name: str = "ghn2") -> Any:
    torch.manual_seed(seed)
    return hypernets.create(name, **TINY)


def stream(count: int = 2, pool: int = 6, draw: Any = DIGITS, **keywords: Any) -> ArchitectureStream:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 1, 8, 8, generator=generator), torch.arange(40) % 10
    return ArchitectureStream(ArchitectureDraws(draw, count, pool=pool, **keywords), x, y, image_batch=8)


def batch(count: int = 2) -> MetaBatch:
    return next(iter(stream(count)))


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


@pytest.mark.parametrize("space", ["deepnets_small", "cnn", "resnet"])
def test_networks_without_storage_run_as_the_real_ones(space: str) -> None:
    sampled = sample(space, 2, input_shape=(1, 8, 8), outputs=10)
    assert {p.device.type for p in sampled.module.parameters()} == {"meta"}
    assert not list(sampled.module.buffers())
    assert {t.name for t in sampled.architecture.targets} == {n for n, _ in sampled.module.named_parameters()}
    torch.manual_seed(0)
    real = sampled.recipe.build()
    # Statistics of the batch and no dropout.
    for module in real.modules():
        module.training = isinstance(module, nn.BatchNorm2d)
    x = torch.randn(5, 1, 8, 8)
    given = run(sampled.module, dict(real.named_parameters()), x)
    torch.testing.assert_close(given, real(x))


class WithBuffer(nn.BatchNorm1d):
    def __init__(self) -> None:
        super().__init__(2)
        self.register_buffer("place", torch.ones(2))


def test_networks_with_buffers_of_their_own_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nets_of_this_test", sys.modules[__name__])
    with pytest.raises(ValueError, match="has a buffer 'place' without a value"):
        storage_free(Recipe("nets_of_this_test:WithBuffer", input_shape=(2,)))


def test_recipes_are_described_as_their_traces_are() -> None:
    sampled = DIGITS(4)
    traced = describe_recipe(Recipe("graphs.deepnets.network:DeepNet", sampled.recipe.arguments, (1, 8, 8)))
    for name in ("primitive", "shape", "distance"):
        assert torch.equal(getattr(sampled.architecture, name), getattr(traced, name))
    assert sampled.architecture.targets == traced.targets


def test_a_step_is_a_function_of_seed_step_and_process() -> None:
    whole = iter(stream(seed=3))
    batches = [next(whole) for _ in range(4)]
    later = stream(seed=3)
    later.load_state_dict({"step": 3})
    again = next(iter(later))
    assert torch.equal(again.x, batches[3].x)
    assert [s.recipe for s in again.samples] == [s.recipe for s in batches[3].samples]
    assert later.state_dict() == {"step": 4}
    other = next(iter(stream(seed=3, rank=1)))
    assert not torch.equal(other.x, batches[0].x)
    assert len({s.recipe for b in batches for s in b.samples}) > 1


def test_held_out_architectures_are_never_drawn() -> None:
    asked: list[int] = []
    draws = ArchitectureDraws(lambda seed: asked.append(seed) or DIGITS(seed), 4, pool=3)
    for step in range(10):
        draws[step]
    assert set(asked) == {HELD_OUT, HELD_OUT + 1, HELD_OUT + 2}


def test_networks_are_kept_where_they_are_few() -> None:
    few = iter(stream(2, pool=1))
    assert len({id(sampled) for _ in range(2) for sampled in next(few).samples}) == 1
    many = stream(2, pool=10**6)
    assert many.draws.draw is DIGITS


def test_nodes_of_a_batch_are_limited() -> None:
    draws = ArchitectureDraws(DIGITS, 8)
    sizes = [s.architecture.num_nodes for s in draws[0]]
    limit = sizes[0] + sizes[1]
    kept = ArchitectureDraws(DIGITS, 8, max_nodes=limit)[0]
    assert [s.architecture.num_nodes for s in kept] == sizes[:2]
    assert len(ArchitectureDraws(DIGITS, 8, max_nodes=1)[0]) == 1


def test_workers_draw_the_same() -> None:
    plain, ahead = stream(seed=1), stream(seed=1)
    ahead.workers = 2
    for mine, theirs, _ in zip(plain, ahead, range(3), strict=False):
        assert [s.recipe for s in mine.samples] == [s.recipe for s in theirs.samples]
        assert torch.equal(mine.x, theirs.x)


@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_gradients_are_those_of_one_backward_pass(penalty: float) -> None:
    net, given = model(), batch()
    ArchitectureTask(norm_penalty=penalty, label_smoothing=0.1).step(net, given)["loss"].backward()
    found = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad(set_to_none=True)
    loss = torch.tensor(0.0)
    for sampled, w in zip(given.samples, net([s.architecture for s in given.samples]), strict=True):
        loss = loss + cross_entropy(run(sampled.module, w, given.x), given.y, label_smoothing=0.1)
        loss = loss + penalty * torch.stack([p.norm() for p in w.values()]).sum()
    (loss / len(given.samples)).backward()
    expected = [p.grad for p in net.parameters() if p.grad is not None]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_gradients_of_one_network_are_clipped() -> None:
    given = batch(1)
    norms = []
    for clip in (None, 1e-3):
        net = model()
        (written,) = net([given.samples[0].architecture])
        passed = ArchitectureTask(clip=clip)._pass(given.samples[0], written, given)
        assert passed is not None
        norms.append(float(torch.cat([g.reshape(-1) for g in passed.gradients]).norm()))
    assert norms[0] > 1e-3
    assert norms[1] == pytest.approx(1e-3, rel=1e-4)


class Poisoned(nn.Module):
    """Writes weights that are not finite for one recipe."""

    def __init__(self, bad: Sampled) -> None:
        super().__init__()
        self.inner, self.bad = model(), bad.architecture

    def forward(self, architectures: Any) -> Any:
        written = self.inner(architectures)
        return [
            {n: w * float("nan") for n, w in own.items()} if a is self.bad else own
            for a, own in zip(architectures, written, strict=True)
        ]


@pytest.mark.parametrize("count", [1, 2])
def test_networks_that_are_not_finite_are_left_out_and_named(count: int) -> None:
    given = batch(count)
    told: list[Any] = []
    net = Poisoned(given.samples[0])
    before = weights(net)
    fit(net, ArchitectureTask(report=told.append), [given], steps=1, weight_decay=0.0, progress=False)
    assert [record["recipe"] for record in told] == [given.samples[0].recipe.to_dict()]
    assert torch.isfinite(weights(net)).all()
    assert torch.equal(weights(net), before) == (count == 1)


def test_training_lowers_the_loss_of_unseen_architectures() -> None:
    net = model()
    x = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = (x.mean((1, 2, 3)) > 0).long()
    x = x + 2.0 * y[:, None, None, None]
    draws = ArchitectureDraws(CNNS, 1, pool=8)
    held = [MetaBatch((draws.draw(seed),), x, y) for seed in range(4)]
    task = ArchitectureTask(clip=1.0)
    before = task.evaluate(net, held)
    fit(net, task, ArchitectureStream(draws, x, y), steps=60, lr=5e-3, clip=5.0, progress=False)
    after = task.evaluate(net, held)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["accuracy"] > 0.6


@pytest.mark.parametrize("accumulate", [1, 2])
def test_interrupted_and_resumed_equals_uninterrupted(accumulate: int, tmp_path: Path) -> None:
    common: Any = {"steps": 12, "accumulate": accumulate, "optimiser": "adam", "progress": False}
    whole = model()
    fit(whole, ArchitectureTask(), stream(1, pool=2, draw=CNNS), **common)

    def stop(record: Any) -> None:
        if record["event"] == "train":
            raise KeyboardInterrupt

    common |= {"checkpoint": tmp_path, "checkpoint_minutes": 0.0}
    with pytest.raises(KeyboardInterrupt):
        fit(model(), ArchitectureTask(), stream(1, pool=2, draw=CNNS), callbacks=[stop], **common)
    resumed = model(seed=9)
    torch.manual_seed(99)
    fit(resumed, ArchitectureTask(), stream(1, pool=2, draw=CNNS), resume=True, **common)
    assert torch.equal(weights(resumed), weights(whole))


def test_amounts_are_logged_a_second() -> None:
    rows: list[Any] = []
    fit(model(), ArchitectureTask(), stream(2), steps=2, callbacks=[rows.append], progress=False)
    row = next(r for r in rows if r["event"] == "train")
    assert row["images_per_second"] == pytest.approx(8 * row["steps_per_second"])
    assert row["architectures_per_second"] == pytest.approx(2 * row["steps_per_second"])
    assert 0 <= row["accuracy"] <= 1
    assert row["skipped"] == 0


def test_bf16_is_close_to_fp32() -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        rows: list[Any] = []
        fit(
            model(),
            ArchitectureTask(),
            stream(2),
            steps=1,
            precision=precision,
            callbacks=[rows.append],
            progress=False,
        )
        losses.append(next(r["loss"] for r in rows if r["event"] == "train"))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_weights_that_are_not_finite_stop_the_run() -> None:
    net = model()
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteError):
        fit(net, ArchitectureTask(), stream(1), steps=3, progress=False)


def test_augmentations_move_and_mirror() -> None:
    x = torch.arange(2 * 8 * 8.0).view(2, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    moved = shift(x, generator)
    known = [torch.roll(x, (a, b), (2, 3))[:, :, 1:-1, 1:-1] for a in (-1, 0, 1) for b in (-1, 0, 1)]
    for i in range(2):
        assert any(torch.equal(moved[i, :, 1:-1, 1:-1], k[i]) for k in known)
    twice = mirror(x, generator)
    assert all(torch.equal(t, o) or torch.equal(t, o.flip(-1)) for t, o in zip(twice, x, strict=True))
    assert set(AUGMENTATIONS) == {"none", "shift", "shift-mirror"}


def test_a_start_near_the_identity_keeps_channels_apart() -> None:
    net = model()
    start_near_identity(net, strength=3.0, seed=0)
    given = batch(2)
    with torch.no_grad():
        written = net([s.architecture for s in given.samples])
    for sampled, own in zip(given.samples, written, strict=True):
        for target in sampled.architecture.targets:
            out, inputs, *_ = target.canonical
            if target.decoder == "weight" and out == inputs:
                block = (own[target.name] / target.gain).reshape(target.canonical)[:8, :8].mean((2, 3))
                apart = block.diagonal().mean() - (block - block.diagonal().diag()).abs().mean()
                assert float(apart) > 2.0
    with pytest.raises(ValueError, match="needs the decoder conv or linear, got 'low_rank'"):
        start_near_identity(hypernets.create("logah", hidden=8, max_shape=(8, 8, 3, 3), rank=4, heads=2), 1.0, 0)


def test_a_start_near_the_nodes_changes_them_little() -> None:
    architecture = batch(1).samples[0].architecture
    moved = []
    for strength in (0.0, 3.0, 30.0):
        net = model()
        start_near_nodes(net, strength)
        with torch.no_grad():
            own = net.encoder(architecture.primitive, architecture.shape)
            change = net.propagation(own, collate_architectures([architecture])) - own
        moved.append(float(change.norm() / own.norm()))
    assert moved[2] < 1e-6 < moved[1] < 0.6 * moved[0]
    with pytest.raises(ValueError, match="needs the propagation gated, got 'none'"):
        start_near_nodes(hypernets.create("mlp"), 1.0)


def test_scoring_sees_batches_of_images() -> None:
    given = batch(1)
    (written,) = model()([given.samples[0].architecture])
    whole = logits(given.samples[0].module, written, given.x, batch=4)
    parts = [run(given.samples[0].module, written, part) for part in given.x.split(4)]
    torch.testing.assert_close(whole, torch.cat(parts).detach())


def test_no_image_is_scored_alone() -> None:
    """A batch norm refuses a batch of one 1x1 map, and no other has statistics to speak of."""
    module = storage_free(Recipe("deepnet", {"input_shape": [1, 2, 2], "C": 8, "stem_type": 1}))
    own = {name: torch.randn(p.shape) for name, p in module.named_parameters()}
    x = torch.randn(9, 1, 2, 2)
    expected = torch.cat([run(module, own, part) for part in (x[:4], x[4:])])
    torch.testing.assert_close(logits(module, own, x, batch=4), expected)


WORKER = """
import sys, torch, hypernets
sys.path.insert(0, {here!r})
from test_training import TINY, ArchitectureTask, fit, model, stream, weights
from metanets import distributed
distributed.start()
rank = distributed.rank()
net = model(seed=rank)
rows = []
fit(net, ArchitectureTask(), stream(1, rank=rank), steps=2, progress=False, callbacks=[rows.append])
torch.save({{"weights": weights(net), "rows": len(rows)}}, f"{folder}/{{rank}}.pt")
"""


def test_two_processes_take_the_same_step(tmp_path: Path) -> None:
    code = tmp_path / "worker.py"
    code.write_text(WORKER.format(here=str(Path(__file__).parent), folder=tmp_path))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(code)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, timeout=200)
    first, second = (torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(2))
    assert torch.equal(first["weights"], second["weights"])
    assert (first["rows"] > 0, second["rows"]) == (True, 0)

    # The mean over processes is that over two meta-batches of one.
    class Both(list):
        """The batches of process 0 and of process 1 in turn."""

        def __iter__(self):
            for pair in zip(stream(1), stream(1, rank=1), strict=True):
                yield from pair

    net = model(seed=0)
    fit(net, ArchitectureTask(), Both(), steps=2, accumulate=2, progress=False)
    torch.testing.assert_close(first["weights"], weights(net), rtol=1e-4, atol=1e-6)
