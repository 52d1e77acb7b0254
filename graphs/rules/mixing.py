"""Operations that mix positions in their own way along some dimensions and act alike at every other index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from graphs.labelling.labels import Label, grid, support
from graphs.labelling.operation import Operation
from graphs.labelling.recording import place_sources
from graphs.rules import rule


def mix(op: Operation, x: Label, dims: Iterable[int], shape: Sequence[int]) -> Label:
    """The label of ``out[.., d', ..] = f(x[.., :, ..])``, of size ``shape``: every slice along ``dims`` becomes another
    one, in a way that depends on the order along ``dims`` but on no other index.

    Neurons that vary along ``dims`` alone are pinned; those of the slices stay, held together by their order.
    """
    rank = len(shape)
    mixed = {d % rank for d in dims}
    lost = tuple(c for c in x.columns if c.dims and c.dims <= mixed)
    op.pin(replace(x, columns=lost))
    kept = tuple(c for c in x.columns if not c.dims or not c.dims <= mixed)
    fresh = mixed | {d for p in x.positions if support(p) & mixed for d in support(p)}
    aside = tuple(p for p in x.positions if not support(p) & mixed)
    unit = x.unit.union(*(place_sources(c.sources) for c in lost))
    slices = op.algebra.fold(replace(x, positions=aside, columns=kept, unit=unit), mixed)
    return replace(slices, positions=(*aside, *grid(shape, fresh)))


def collapse(op: Operation, x: Label, shape: Sequence[int], dims: Iterable[int]) -> Label:
    """The label of what depends on every element along ``dims``, which become of size 1."""
    gone = {d % len(shape) for d in dims}
    return mix(op, x, gone, [1 if d in gone else n for d, n in enumerate(shape)])


def _first(op: Operation) -> str:
    return "self" if "self" in op.arguments else "input"


def _mixes(op: Operation, dims: Iterable[int]) -> list[Label]:
    """Outputs of the rank of the input."""
    x = op.label(_first(op))
    labels = {shape: mix(op, x, dims, shape) for shape in {tensor.shape for tensor in op.outputs}}
    return [labels[tensor.shape] for tensor in op.outputs]


def _along(op: Operation) -> list[int]:
    dims = op.arguments.get("dim", -1)
    rank = op["self"].dim()
    if dims is None or dims == []:
        return list(range(rank))
    return [dims] if isinstance(dims, int) else list(dims)


@rule(
    *("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", "_cummax_helper", "_cummin_helper"),
    *("sort", "topk", "argsort", "msort", "_fft_r2c", "_fft_c2r", "_fft_c2c"),
)
def along_dims(op: Operation) -> list[Label] | None:
    if op["self"].dim() == 0:
        return None
    return _mixes(op, [0] if op.name == "msort" else _along(op))


@rule("argmax", "argmin", "kthvalue", "median", "nanmedian", "mode", "aminmax")
def choosing(op: Operation) -> list[Label]:
    """One element of each slice, or its index."""
    return choose(op, _along(op) if op.has("dim") else list(range(op["self"].dim())))


def choose(op: Operation, dims: list[int]) -> list[Label]:
    x = op["self"]
    one = collapse(op, op.label("self"), x.shape, dims)
    if op.out.dim() == x.dim():
        return [one for _ in op.outputs]
    left = [d for d in range(x.dim()) if d not in {e % x.dim() for e in dims}]
    return [one.map(lambda v: v.reshape([v.shape[d] for d in left])) for _ in op.outputs]


def _over_space(dims: int) -> Callable[[Operation], list[Label]]:
    return lambda op: _mixes(op, range(-dims, 0))


SPATIAL = {
    1: "avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d upsample_nearest1d upsample_linear1d "
    "_upsample_nearest_exact1d reflection_pad1d replication_pad1d",
    2: "avg_pool2d _adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d max_pool2d_with_indices "
    "fractional_max_pool2d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_nearest_exact2d "
    "_upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa reflection_pad2d replication_pad2d",
    3: "avg_pool3d _adaptive_avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d max_pool3d_with_indices "
    "fractional_max_pool3d upsample_nearest3d upsample_trilinear3d _upsample_nearest_exact3d reflection_pad3d "
    "replication_pad3d",
}
for _dims, _names in SPATIAL.items():
    rule(*_names.split())(_over_space(_dims))


@rule("max_unpool2d", "max_unpool3d")
def unpool(op: Operation) -> Label:
    """Values go to the places that their indices name, channel by channel."""
    space = range(-2 if "2d" in op.name else -3, 0)
    values = [mix(op, op.label(name), space, op.out.shape) for name in ("self", "indices")]
    return op.join(values)


@rule("grid_sampler_2d", "grid_sampler_3d")
def grid_sample(op: Operation) -> Label:
    """Channels read at places that a flow field tells, which all of them share."""
    rank = op.out.dim()
    x = mix(op, op.label("input"), range(2, rank), op.out.shape)
    flow = collapse(op, op.label("grid"), op["grid"].shape, [-1])
    return op.join([x, flow.map(lambda v: v.movedim(-1, 1))])


@rule("tril", "triu")
def triangle(op: Operation) -> Label:
    rank = op.out.dim()
    return op.join([op.label("self"), Label(positions=grid(op.out.shape, (rank - 2, rank - 1)))])
