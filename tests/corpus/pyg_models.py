"""Every model of torch_geometric.nn.models, on a small graph; parts of models stand in one.

The radius graph and the triplets of the networks on atoms are written out here: PyG's own need compiled extensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn as pyg
from corpus.case import Case, Spec, inputs, whole
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import models
from torch_geometric.nn.models import dimenet, gnnff, schnet, tgn, visnet

ROWS = [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 0, 0, 3, 2, 5]
COLUMNS = [1, 0, 2, 1, 3, 2, 4, 3, 5, 4, 0, 5, 3, 0, 5, 2]
EDGES = torch.tensor([ROWS, COLUMNS])
BATCH = torch.tensor([0, 0, 0, 1, 1, 1])
NODES, IN, HIDDEN, OUT, EDGE_FEATURES = 6, 5, 8, 3, 4
X: Spec = (NODES, IN)
EDGE_ATTR: Spec = (len(ROWS), EDGE_FEATURES)


class Net(nn.Module):
    """A forward function over named parts."""

    def __init__(self, function: Callable, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


Entry = tuple[Callable[[], nn.Module], tuple[Spec, ...]]


def gnn(kind: type, **arguments: Any) -> Entry:
    return lambda: kind(IN, HIDDEN, 3, OUT, **arguments), (X, EDGES)


def between(part: Callable[[], nn.Module], run: Callable | None = None) -> Entry:
    """A part that maps ``HIDDEN`` channels to as many, between two layers."""

    def function(net: Net, x: Tensor, edges: Tensor) -> Tensor:
        h = net.before(x)
        return net.after(run(net.part, h, edges) if run else net.part(h, edges))

    make = lambda: Net(function, before=nn.Linear(IN, HIDDEN), part=part(), after=nn.Linear(HIDDEN, OUT))  # noqa: E731
    return make, (X, EDGES)


def molecules(make: Callable[[], nn.Module]) -> Entry:
    """Networks on atoms with positions."""

    def made() -> nn.Module:
        for module in (dimenet, gnnff, schnet, visnet):
            module.radius_graph = all_pairs
        dimenet.triplets = gnnff.triplets = triplets
        return make()

    return made, (whole(10, NODES, low=1), (NODES, 3), BATCH)


def all_pairs(pos: Tensor, r: float, batch: Tensor, **_: Any) -> Tensor:
    """The radius graph of a radius that reaches everything."""
    return ((batch[:, None] == batch) & ~torch.eye(len(pos), dtype=torch.bool)).nonzero().T


def triplets(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, ...]:
    """Paths k -> j -> i: ends of the edges, nodes and edges of the paths."""
    row, col = edge_index
    kj, ji = ((col[:, None] == row) & (row[:, None] != col)).nonzero().T
    return col, row, col[ji], row[ji], row[kj], kj, ji


def jumping(make: Callable[[], nn.Module], pick: Callable) -> Entry:
    def function(net: Net, x: Tensor, edges: Tensor) -> Tensor:
        first = net.one(x, edges).relu()
        return net.out(pick(net.jump, [first, net.two(first, edges).relu()]))

    parts = lambda: dict(one=pyg.GCNConv(IN, HIDDEN), two=pyg.GCNConv(HIDDEN, HIDDEN), out=nn.Linear(HIDDEN, OUT))  # noqa: E731
    return lambda: Net(function, jump=make(), **parts()), (X, EDGES)


def autoencoder(kind: Callable[[nn.Module], nn.Module], variational: bool = False) -> Entry:
    def latent(net: Net, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        h = net.base(x, edges).relu()
        return net.mean(h, edges), net.log_std(h, edges)

    def make() -> nn.Module:
        parts = {"base": pyg.GCNConv(IN, HIDDEN), "mean": pyg.GCNConv(HIDDEN, 4), "log_std": pyg.GCNConv(HIDDEN, 4)}
        encoder = Net(latent, **parts) if variational else models.GCN(IN, HIDDEN, 2, 4)
        return Net(function, model=kind(encoder))

    def function(net: Net, x: Tensor, edges: Tensor) -> list[Tensor]:
        z = net.model.encode(x, edges)
        judge = getattr(net.model, "discriminator", None)
        return [net.model.decode(z, edges), *([judge(z)] if judge else [])]

    return make, (X, EDGES)


def discriminator() -> nn.Module:
    return models.MLP([4, HIDDEN, 1])


def embeddings(make: Callable[[], nn.Module], *first: Any) -> Entry:
    """Tables of vectors by node, read by a layer."""
    function = lambda net, i: net.out(net.table(*first, i))  # noqa: E731
    return lambda: Net(function, table=make(), out=nn.Linear(HIDDEN, OUT)), (whole(NODES, 9),)


def metapath() -> nn.Module:
    edges = {("a", "to", "b"): EDGES, ("b", "to", "a"): EDGES}
    return models.MetaPath2Vec(edges, HIDDEN, list(edges), 4, 3)


def meta_layer() -> nn.Module:
    def edge(net: Net, src: Tensor, dst: Tensor, edge_attr: Tensor, u: Tensor, batch: Tensor) -> Tensor:
        return net.mlp(torch.cat([src, dst, edge_attr, u[batch]], 1))

    def node(net: Net, x: Tensor, edges: Tensor, edge_attr: Tensor, u: Tensor, batch: Tensor) -> Tensor:
        messages = net.one(torch.cat([x[edges[0]], edge_attr], 1))
        return net.two(torch.cat([x, pyg.global_add_pool(messages, edges[1], len(x)), u[batch]], 1))

    def whole_graph(net: Net, x: Tensor, edges: Tensor, edge_attr: Tensor, u: Tensor, batch: Tensor) -> Tensor:
        return net.mlp(torch.cat([u, pyg.global_mean_pool(x, batch)], 1))

    def mlp(inside: int, out: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inside, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, out))

    return models.MetaLayer(
        Net(edge, mlp=mlp(2 * IN + EDGE_FEATURES + 3, 6)),
        Net(node, one=mlp(IN + 6, 7), two=mlp(IN + 7 + 3, 7)),
        Net(whole_graph, mlp=mlp(3 + 7, OUT)),
    )


def infomax() -> nn.Module:
    def function(net: Net, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        positive, negative, summary = net.model(x, edges)
        return net.model.discriminate(positive, summary), net.model.discriminate(negative, summary)

    encoder = models.GCN(IN, HIDDEN, 2, 6)
    summary = lambda z, *_, **__: z.mean(0).sigmoid()  # noqa: E731
    corruption = lambda x, edges: (x.flip(0), edges)  # noqa: E731
    return Net(function, model=models.DeepGraphInfomax(6, encoder, summary, corruption))


def signed() -> nn.Module:
    function = lambda net, x, plus, minus: net.model.discriminate(net.model(x, plus, minus), plus)  # noqa: E731
    return Net(function, model=models.SignedGCN(IN, HIDDEN, 2))


def events() -> nn.Module:
    """RE-Net reads a batch of events with their history."""

    def function(net: Net, sub: Tensor, rel: Tensor, obj: Tensor, history: Tensor) -> Any:
        times, batch = torch.tensor([0, 1] * 3), torch.tensor([0, 0, 1, 1, 2, 2])
        told = {"h_sub": history, "h_obj": history, "h_sub_t": times, "h_obj_t": times}
        return net.model(Data(sub=sub, rel=rel, obj=obj, h_sub_batch=batch, h_obj_batch=batch, **told))

    return Net(function, model=models.RENet(NODES, 3, HIDDEN, seq_len=2, num_layers=1))


def gpse() -> nn.Module:
    def function(net: Net, x: Tensor, edges: Tensor, batch: Tensor) -> Any:
        targets = {"y": x.new_zeros(NODES, 51), "y_graph": x.new_zeros(2, 11)}
        return net.model(Data(x=x, edge_index=edges, batch=batch, **targets))

    model = models.GPSE(IN, 51, HIDDEN, layers_mp=2, virtual_node=False, multi_head_dim_inner=4)
    return Net(function, model=model)


def tgn_memory() -> nn.Module:
    def function(net: Net, message: Tensor) -> Tensor:
        nodes = torch.arange(NODES)
        net.model.reset_state()
        net.model.update_state(nodes, nodes.roll(1), nodes + 1, message)
        return net.out(net.model(nodes)[0])

    memory = models.TGNMemory(
        NODES, EDGE_FEATURES, HIDDEN, 5, tgn.IdentityMessage(EDGE_FEATURES, HIDDEN, 5), tgn.LastAggregator()
    )
    return Net(function, model=memory, out=nn.Linear(HIDDEN, OUT))


def lpformer() -> nn.Module:
    ppr = torch.rand(NODES, NODES, generator=torch.Generator().manual_seed(0)).to_sparse()
    model = models.LPFormer(IN, HIDDEN, num_gnn_layers=2, num_transformer_layers=1, num_heads=1)
    return Net(lambda net, x, edges, pairs: net.model(pairs, x, edges, ppr.to(x.dtype)), model=model)


def mask_label() -> nn.Module:
    def function(net: Net, x: Tensor, y: Tensor, edges: Tensor) -> Tensor:
        return net.out(net.conv(net.label(net.before(x), y, torch.arange(NODES) < 3), edges).relu())

    parts = {"before": nn.Linear(IN, HIDDEN), "label": models.MaskLabel(OUT, HIDDEN)}
    return Net(function, **parts, conv=pyg.GCNConv(HIDDEN, HIDDEN), out=nn.Linear(HIDDEN, OUT))


def positions() -> nn.Module:
    function = lambda net, x, codes: net.out(net.encoder(x, codes))  # noqa: E731
    return Net(function, encoder=models.GPSENodeEncoder(16, 6, HIDDEN, IN, expand_x=True), out=nn.Linear(16, OUT))


PNA = {
    "aggregators": ["mean", "max", "std"],
    "scalers": ["identity", "amplification"],
    "deg": torch.tensor([0, 0, 4, 2]),
}
MODELS: dict[str, Entry] = {
    "MLP": (lambda: models.MLP([IN, HIDDEN, HIDDEN, OUT]), (X,)),
    "GCN": gnn(models.GCN),
    "GraphSAGE": gnn(models.GraphSAGE),
    "GIN": gnn(models.GIN),
    "GAT": gnn(models.GAT, heads=2, v2=True),
    "PNA": gnn(models.PNA, **PNA),
    "EdgeCNN": gnn(models.EdgeCNN),
    "JumpingKnowledge": jumping(lambda: models.JumpingKnowledge("lstm", HIDDEN, 2), lambda jump, xs: jump(xs)),
    "HeteroJumpingKnowledge": jumping(
        lambda: models.HeteroJumpingKnowledge(["a"], "lstm", HIDDEN, 2), lambda jump, xs: jump({"a": xs})["a"]
    ),
    "MetaLayer": (meta_layer, (X, EDGES, EDGE_ATTR, (2, 3), BATCH)),
    "Node2Vec": embeddings(lambda: models.Node2Vec(EDGES, HIDDEN, 4, 3, num_nodes=NODES)),
    "DeepGraphInfomax": (infomax, (X, EDGES)),
    "InnerProductDecoder": between(models.InnerProductDecoder, lambda part, h, e: h.relu() * part(h, e).sum()),
    "GAE": autoencoder(models.GAE),
    "VGAE": autoencoder(models.VGAE, variational=True),
    "ARGA": autoencoder(lambda encoder: models.ARGA(encoder, discriminator())),
    "ARGVA": autoencoder(lambda encoder: models.ARGVA(encoder, discriminator()), variational=True),
    "SignedGCN": (signed, (X, EDGES[:, :8], EDGES[:, 8:])),
    "RENet": (events, (whole(NODES, 3), whole(3, 3), whole(NODES, 3), whole(NODES, 6))),
    "GraphUNet": (lambda: models.GraphUNet(IN, HIDDEN, OUT, 2), (X, EDGES)),
    "SchNet": molecules(lambda: models.SchNet(HIDDEN, HIDDEN, 2, 6)),
    "DimeNet": molecules(lambda: models.DimeNet(HIDDEN, 2, 2, 4, 3, 3, output_initializer="glorot_orthogonal")),
    "DimeNetPlusPlus": molecules(
        lambda: models.DimeNetPlusPlus(HIDDEN, 2, 2, 6, 4, HIDDEN, 3, 3, output_initializer="glorot_orthogonal")
    ),
    "GPSE": (gpse, (X, EDGES, BATCH)),
    "GPSENodeEncoder": (positions, (X, (NODES, 6))),
    "MetaPath2Vec": embeddings(metapath, "a"),
    "DeepGCNLayer": between(
        lambda: models.DeepGCNLayer(pyg.GENConv(HIDDEN, HIDDEN), nn.LayerNorm(HIDDEN), nn.ReLU()),
    ),
    "TGNMemory": (tgn_memory, ((NODES, EDGE_FEATURES),)),
    "LabelPropagation": (lambda: models.LabelPropagation(2, 0.9), ((NODES, OUT), EDGES)),
    "CorrectAndSmooth": (lambda: models.CorrectAndSmooth(2, 0.5, 2, 0.5), ((NODES, OUT), EDGES)),
    "AttentiveFP": (lambda: models.AttentiveFP(IN, HIDDEN, OUT, EDGE_FEATURES, 2, 2), (X, EDGES, EDGE_ATTR, BATCH)),
    "RECT_L": (lambda: models.RECT_L(IN, HIDDEN), (X, EDGES)),
    "LINKX": (lambda: models.LINKX(NODES, IN, HIDDEN, OUT, 2), (X, EDGES)),
    "LightGCN": (lambda: models.LightGCN(NODES, HIDDEN, 2), (EDGES,)),
    "MaskLabel": (mask_label, (X, whole(OUT, NODES), EDGES)),
    "GroupAddRev": between(lambda: models.GroupAddRev(pyg.SAGEConv(HIDDEN // 2, HIDDEN // 2), num_groups=2)),
    "GNNFF": molecules(lambda: models.GNNFF(HIDDEN, HIDDEN, 2)),
    "PMLP": (lambda: models.PMLP(IN, HIDDEN, OUT, 3), (X, EDGES)),
    "NeuralFingerprint": (lambda: models.NeuralFingerprint(IN, HIDDEN, OUT, 2), (X, EDGES, BATCH)),
    "ViSNet": molecules(lambda: models.ViSNet(num_heads=2, num_layers=2, hidden_channels=HIDDEN, num_rbf=6)),
    "LPFormer": (lpformer, (X, EDGES, torch.tensor([[0, 1, 2], [3, 4, 5]]))),
    "SGFormer": (lambda: models.SGFormer(IN, HIDDEN, OUT), (X, EDGES, BATCH)),
    "Polynormer": (
        lambda: models.Polynormer(IN, HIDDEN, OUT, local_layers=2, global_layers=1, heads=2),
        (X, EDGES, BATCH),
    ),
    "ARLinkPredictor": (lambda: models.ARLinkPredictor(IN, HIDDEN, HIDDEN), (X, EDGES)),
}
# Functions about explanations, which the package exports beside its models.
NO_MODELS = ("to_captum_model", "to_captum_input", "captum_output_to_dicts")


def warm() -> None:
    """Nothing is to be imported."""


def names() -> list[str]:
    """The models that the installed version exports."""
    return [name for name in models.__all__ if name not in NO_MODELS]


def build(name: str) -> Case:
    """The network of one model or around it."""
    make, specs = MODELS[name]
    return Case(make, inputs(*specs))
