"""Embeddings of architectures, and what is found by them."""

import pytest
import torch
from torch import Tensor, nn

import hypernets
from graphs import Recipe
from hypernets.ghn.architecture import PRIMITIVES, Architecture, ArchitectureBatch
from hypernets.ghn.describing import describe
from hypernets.ghn.embedding import embed_architectures, embed_recipes
from hypernets.ghn.retrieval import nearest, same_first


class Counting(nn.Module):
    """A hypernetwork whose nodes know their primitive, and which counts its calls."""

    calls = 0

    def embed(self, batch: ArchitectureBatch) -> Tensor:
        self.calls += 1
        return nn.functional.one_hot(batch.primitive, len(PRIMITIVES)).float().requires_grad_()


def chain(*primitives: int) -> Architecture:
    nodes = len(primitives)
    distance = torch.arange(nodes)[None] - torch.arange(nodes)[:, None]
    return Architecture(torch.tensor(primitives), torch.zeros(nodes, 4).long(), distance.clamp(min=0), ())


def test_the_embedding_is_the_mean_over_the_own_nodes_in_whatever_batch() -> None:
    architectures = [chain(0, 0, 1), chain(2), chain(1, 2, 2, 2)]
    alone = torch.stack([torch.tensor(row) for row in ([2 / 3, 1 / 3, 0], [0, 0, 1], [0, 1 / 4, 3 / 4])])
    for nodes, calls in ((1, 3), (4, 2), (100, 1)):
        ghn = Counting()
        found = embed_architectures(ghn, architectures, nodes=nodes)
        torch.testing.assert_close(found[:, :3], alone)
        assert ghn.calls == calls
        assert not found.requires_grad


def test_statistics_stand_one_behind_the_other() -> None:
    found = embed_architectures(Counting(), [chain(0, 1), chain(3)], ("mean", "std", "max", "size"))
    width = len(PRIMITIVES)
    assert found.shape == (2, 3 * width + 1)
    assert found[0, [0, width, 2 * width]].tolist() == [0.5, 0.5, 1.0]
    assert found[1, width : 2 * width].abs().max() == 0
    torch.testing.assert_close(found[:, -1].exp(), torch.tensor([2.0, 1.0]))


@pytest.mark.parametrize(
    "recipe", [Recipe("resnet", {"widths": [4, 8]}), Recipe("deepnet", {"input_shape": [1, 8, 8]})]
)
def test_a_network_has_one_embedding_however_it_is_given(recipe: Recipe) -> None:
    """As a module, also without storage; as a recipe, whose graph may be known without tracing; as an architecture."""
    ghn = hypernets.create("ghn2").eval()
    inputs = recipe.example_input()
    found = ghn.embed_architecture(recipe)
    with torch.device("meta"):
        bare = recipe.build()
    torch.testing.assert_close(ghn.embed_architecture(recipe.build(), *inputs), found)
    torch.testing.assert_close(ghn.embed_architecture(bare, *(x.to("meta") for x in inputs)), found)
    torch.testing.assert_close(ghn.embed_architecture(describe(recipe.build(), *inputs)), found)
    torch.testing.assert_close(embed_recipes(ghn, [Recipe("mlp"), recipe])[1], found)
    assert ghn.embed_architecture(recipe, statistics=("mean", "size")).shape == (33,)


@pytest.mark.parametrize(
    ("architectures", "statistics", "message"),
    [
        ([], ("mean",), "one architecture or more, got none"),
        ([chain(0), chain()], ("mean",), "architecture 1 has no nodes"),
        ([chain(0)], ("median",), "mean, std, max, size, got median"),
        ([chain(0)], (), "got none"),
    ],
)
def test_what_has_no_embedding_is_refused(architectures: list, statistics: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed_architectures(Counting(), architectures, statistics)


def test_the_nearest_are_those_of_the_greatest_cosine() -> None:
    generator = torch.Generator().manual_seed(0)
    among, queries = torch.randn(70, 5, generator=generator), torch.randn(130, 5, generator=generator)
    similar, rows = nearest(queries, among, 4)
    centre, spread = among.mean(0), among.std(0, correction=0)
    expected = nn.functional.cosine_similarity(
        ((queries - centre) / spread)[:, None], ((among - centre) / spread)[None], dim=2
    )
    torch.testing.assert_close(similar.float(), expected.topk(4).values)
    torch.testing.assert_close(expected.gather(1, rows), similar.float())


def test_an_architecture_of_the_collection_finds_itself_and_scales_do_not_matter() -> None:
    among = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    stretched = among * torch.tensor([1e-3, 1.0, 1e3, 7.0, 1.0, 1.0]) + 100
    for embeddings in (among, stretched):
        similar, rows = nearest(embeddings, embeddings, 1)
        assert rows[:, 0].tolist() == list(range(20))
        torch.testing.assert_close(similar, torch.ones(20, 1).double())
    assert nearest(among, among, 5)[1].equal(nearest(stretched, stretched, 5)[1])


def test_a_feature_that_all_share_counts_nothing() -> None:
    among = torch.randn(9, 3, generator=torch.Generator().manual_seed(2))
    shared = torch.cat([among, torch.full((9, 1), 0.1)], 1)
    other = torch.cat([among[:2], torch.full((2, 1), 55.0)], 1)
    assert nearest(other, shared, 3)[1].equal(nearest(among[:2], among, 3)[1])


@pytest.mark.parametrize(
    ("queries", "among", "count", "message"),
    [
        ((2, 3), (4, 5), 1, r"\[2, 3\] and \[4, 5\]"),
        ((3,), (4, 3), 1, "of one width"),
        ((2, 3), (4, 3), 5, "from 1 to 4, the number of architectures, got 5"),
        ((2, 3), (4, 3), 0, "got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(queries: tuple, among: tuple, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest(torch.zeros(queries), torch.zeros(among), count)


def test_same_first_leaves_the_query_itself_out() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [-0.9, 0.2], [1.0, -0.1]])
    assert same_first(embeddings, ["a", "a", "b", "b", "c"]).tolist() == [False, True, True, True, False]
    with pytest.raises(ValueError, match="got 1 for"):
        same_first(embeddings[:1], ["a"])
