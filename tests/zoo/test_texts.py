"""Texts as data: windows, splits, fingerprints, clear errors, and what a zoo makes of them."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import zoo
from graphs import Recipe
from zoo import sources
from zoo.planning import plan
from zoo.plans import Facts
from zoo.population import TrainingJob
from zoo.population.losses import cross_entropy
from zoo.population.samples import JobSamples, Part, Samples, check_network
from zoo.population.text_metrics import text_metrics

MakeSpec = Callable[..., zoo.ZooSpec]
SENTENCE = "The quick brown fox jumps over the lazy dog, naïvely.\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text(SENTENCE * 20, encoding="utf-8")
    return tmp_path / "book.txt"


def text_of(windows: torch.Tensor) -> str:
    return bytes(windows.flatten().tolist()).decode()


def test_a_file_becomes_windows_of_bytes_and_the_bytes_that_follow(book: Path) -> None:
    data, whole = sources.load(f"text:{book}", context=11), (SENTENCE * 20).encode()
    held_out = round(0.2 * len(whole))
    assert data.train_x.dtype == data.train_y.dtype == torch.int64
    assert data.train_x.shape == data.train_y.shape == ((len(whole[:-held_out]) - 1) // 11, 11)
    assert (data.num_classes, data.vocabulary) == (256, 256)
    # Every byte of both parts once, but for what is left over at the end.
    assert bytes(data.train_x.flatten().tolist()) == whole[: data.train_x.numel()]
    assert bytes(data.train_y.flatten().tolist()) == whole[1 : data.train_x.numel() + 1]
    assert bytes(data.test_x.flatten().tolist()) == whole[-held_out:][: data.test_x.numel()]


def test_strides_overlap_windows_for_training_alone(book: Path) -> None:
    plain, dense = sources.load(f"text:{book}", context=10), sources.load(f"text:{book}", context=10, stride=3)
    assert torch.equal(dense.train_x[1], torch.cat([plain.train_x[0, 3:], plain.train_x[1, :3]]))
    assert torch.equal(dense.test_x, plain.test_x)


def test_a_limit_is_a_fixed_choice_of_windows(book: Path) -> None:
    everything, few = sources.load(f"text:{book}", context=8), sources.load(f"text:{book}", context=8, limit=5)
    assert len(few.train_x) == len(few.test_x) == 5
    assert set(map(tuple, few.train_x.tolist())) <= set(map(tuple, everything.train_x.tolist()))
    assert few.fingerprint == sources.load(f"text:{book}", context=8, limit=5).fingerprint != everything.fingerprint


def test_files_of_a_pattern_are_joined_by_name_and_line_ends_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.txt").write_bytes("\ufefftwo ends\r\n".encode())
    (tmp_path / "a.txt").write_bytes(b"first file\n")
    (tmp_path / "c.md").write_bytes(b"not of them\n")
    joined = sources.load(f"text:{tmp_path}/*.txt", context=2)
    (tmp_path / "one").write_bytes(b"first file\ntwo ends\n")
    monkeypatch.chdir(tmp_path)
    assert joined.fingerprint == sources.load("text:one", context=2).fingerprint


def test_the_built_in_text_is_english_and_there() -> None:
    data = sources.load("text")
    assert data.train_x.shape[1] == 32
    assert len(data.train_x) > 500
    assert "Number of Instances" in text_of(data.train_x[:200])
    assert data.name == "text"


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (None, {}, r"text:.*book.txt: there is no such file in .*text:books/\*\.txt"),
        (b"", {}, "expected a text in .*book.txt, but it is empty"),
        (b" \n\n", {}, "expected a text in .*book.txt, but it is empty"),
        (b"caf\xe9 au lait", {}, "expected UTF-8 text in .*book.txt, got byte 0xe9 at 3.*iconv"),
        (b"x" * 100, {}, "more than 32 bytes in the last fifth .*, got 20 of 100; give more text, or set a smaller"),
        (b"x" * 160, {}, "more than 32 bytes in the last fifth .*, got 32 of 160"),
        (b"x" * 165, {"context": 0}, "context must be at least 1, got 0"),
        (b"x" * 165, {"stride": "4"}, "stride must be a whole number, got '4'"),
        (b"x" * 165, {"resize": 4}, "unknown option 'resize'; expected one of context, stride, limit"),
    ],
)
def test_mistakes_say_what_to_do(tmp_path: Path, content: bytes | None, options: dict, told: str) -> None:
    if content is not None:
        (tmp_path / "book.txt").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        sources.load(f"text:{tmp_path / 'book.txt'}", **options)


def test_the_shortest_text_has_one_window_for_testing(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_bytes(b"x" * 165)
    assert len(sources.load(f"text:{tmp_path / 'short.txt'}").test_x) == 1


def test_a_folder_is_told_how_to_name_its_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"got a folder; write text:{tmp_path}/\*\.txt"):
        sources.load(f"text:{tmp_path}")


def test_cross_entropy_of_tokens_is_that_of_each_by_itself() -> None:
    outputs, targets = torch.randn(3, 5, 7), torch.randint(7, (3, 5))
    alone = torch.stack([functional.cross_entropy(o, t) for o, t in zip(outputs, targets, strict=True)])
    assert torch.allclose(cross_entropy(outputs, targets), alone.mean())
    assert torch.equal(
        cross_entropy(outputs[:, 0], targets[:, 0]), functional.cross_entropy(outputs[:, 0], targets[:, 0])
    )
    assert torch.allclose(torch.func.vmap(cross_entropy)(outputs[:, None], targets[:, None]), alone)


class Repeat(nn.Module):
    """Is sure that a token is followed by itself."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return functional.one_hot(tokens, 4).float() * 2


def test_metrics_of_tokens_over_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.population.text_metrics.TOKENS_AT_ONCE", 7)
    x = torch.tensor([[9, 9, 9], [0, 1, 2], [3, 3, 3], [2, 2, 1], [0, 0, 0], [1, 0, 1]])
    y = torch.tensor([[1, 2, 2], [3, 3, 0], [2, 1, 1], [0, 0, 0], [0, 1, 1]])
    told = text_metrics(cross_entropy, Repeat(), {"test": Part(x, torch.arange(1, 6), y)})
    right, total = 9, math.log(math.exp(2) + 3)
    assert told["test_accuracy"] == pytest.approx(right / 15)
    assert told["test_loss"] == pytest.approx((right * (total - 2) + (15 - right) * total) / 15, rel=1e-6)


def test_networks_that_do_not_fit_the_text_are_told(book: Path) -> None:
    data = sources.load(f"text:{book}", context=8)
    samples = gpt_samples(data)
    for arguments, told in (
        ({"vocabulary": 300, "context": 4}, "at most 4 tokens, got 8; raise context"),
        ({"vocabulary": 50, "context": 8}, "does not take inputs of shape .8.: index out of range"),
        (
            {"vocabulary": 200, "context": 8},
            r"the data has 8 tokens out of 256 to tell, the network 'gpt' \[8, 200\] outputs",
        ),
    ):
        recipe = {"factory": "gpt", "arguments": {"width": 4, "depth": 1, **arguments}}
        with pytest.raises(ValueError, match=told):
            check_network(Recipe.from_dict(recipe).build(), recipe, samples, "cross_entropy")


def gpt_samples(data: sources.Dataset, **settings: object) -> Samples:
    job = TrainingJob({"factory": "gpt"}, ({"seed": 0, **settings},), epochs=0, batch_size=4, keep=(0,))
    return JobSamples(job, data, torch.float64).of(job.settings[0])


def test_tokens_stay_whole_numbers_and_validation_is_the_end_of_what_is_trained_on(book: Path) -> None:
    data, whole = sources.load(f"text:{book}", context=8, val_fraction=0.25), sources.load(f"text:{book}", context=8)
    samples = gpt_samples(data)
    assert samples.train_x.dtype == samples.held_out["val"].x.dtype == samples.held_out["test"].x.dtype == torch.int64
    assert torch.equal(torch.cat([samples.train_x, samples.held_out["val"].x]), whole.train_x)
    assert len(samples.held_out["val"].x) == round(len(whole.train_x) / 4)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"label_noise": 0.5}, "label_noise is for images with classes, the data are text"),
        ({"poison_fraction": 0.5}, "poison_fraction is for images"),
    ],
)
def test_what_is_for_images_is_refused(book: Path, settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        gpt_samples(sources.load(f"text:{book}", context=8), **settings)


TEXT = {"name": "t", "fingerprint": "f", "input_shape": [9], "num_classes": 256, "train_size": 5, "vocabulary": 256}
TAKEN = {"gpt": ["vocabulary", "context", "width"], "mlp": ["inputs"], "siren": ["inputs"], "mine:net": ["width"]}


def planned(recipe: str, data: dict, **fields: object) -> dict:
    spec = zoo.ZooSpec.from_dict({"data": "text", "recipes": [recipe], "members": 1, **fields})
    return plan(spec, Facts(data, TAKEN)).members[0].recipe


def test_the_text_decides_the_sizes_of_a_gpt_and_the_inputs_of_ones_own() -> None:
    assert planned("gpt", TEXT, fixed={"width": 8})["arguments"] == {"vocabulary": 256, "context": 9, "width": 8}
    assert planned("mine:net", TEXT) == {
        "factory": "mine:net",
        "arguments": {},
        "input_shape": [9],
        "vocabulary": 256,
    }


def test_random_architectures_of_gpts_fit_the_text() -> None:
    taken = {"gpt": [*TAKEN["gpt"], "depth", "heads", "expansion", "activation"]}
    spec = zoo.ZooSpec.from_dict({"data": "text", "recipes": [{"space": "gpt", "architectures": 3}], "members": 3})
    recipes = [member.recipe for member in plan(spec, Facts(TEXT, taken)).members]
    assert all((r["arguments"]["vocabulary"], r["arguments"]["context"]) == (256, 9) for r in recipes)
    assert len({str(r) for r in recipes}) == 3


@pytest.mark.parametrize(
    ("recipe", "data", "fields", "told"),
    [
        ("mlp", TEXT, {}, "recipe mlp expects images, got the data t; take gpt"),
        ("siren", TEXT, {}, "recipe siren expects images"),
        (
            "gpt",
            {k: v for k, v in TEXT.items() if k != "vocabulary"},
            {},
            "recipe gpt expects text, got the data t; set",
        ),
        ("mine:net", TEXT, {"fixed": {"image": 1}}, "image: expected images to fit, got the text t; leave image out"),
    ],
)
def test_text_for_images_and_images_for_text_are_refused(recipe: str, data: dict, fields: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        planned(recipe, data, **fields)


def test_the_native_trainer_says_why_it_does_not_take_it(small_spec: MakeSpec, tmp_path: Path) -> None:
    spec = small_spec(data={"source": "text", "limit": 8}, recipes=["gpt"], members=1, random={}, trainer="native")
    with pytest.raises(ValueError, match=r"recipe gpt: the native trainer does not take it \(GPT is not"):
        zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)


OWN = """
from torch import nn

class Bigram(nn.Sequential):
    def __init__(self, width=4):
        super().__init__(nn.Embedding(256, width), nn.Linear(width, 256))
"""


def test_ones_own_language_model_trains_and_has_a_graph(
    small_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_text_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    data = {"source": "text", "limit": 20}
    spec = small_spec(data=data, recipes=["own_text_nets:Bigram"], members=1, random={"lr": [0.1]})
    member = zoo.build(spec, tmp_path / "zoo", workers=0, progress=False)[0]
    assert member.metrics["train_loss"][-1] < member.metrics["train_loss"][0]
    assert torch.equal(zoo.recreate(member), member.trajectory())
    assert member.graph().state_dict()["0.weight"].shape == (256, 4)
