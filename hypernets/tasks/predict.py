"""``hypernets predict``: all parameters of a user's architecture into a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphs.execution.probes import Probe
    from hypernets.ghn.report import Report

EXAMPLES = """examples:
  hypernets predict CHECKPOINT --arch my_code:make_net --input-shape 1,3,32,32 --out weights.safetensors --report
  hypernets predict ghn2-digits --arch resnet --arch-args '{"widths": [16, 32]}' --out resnet.safetensors
  hypernets predict CHECKPOINT --arch my_code:make_gpt --input-shape 1,16 --input-max 50257 --out gpt.safetensors
  hypernets predict CHECKPOINT --arch my_code:huge --input-shape 1,3,224,224 --out huge.safetensors --stream

load the file with safetensors.torch.load_model(net, "weights.safetensors"), then see to batch norms: the report says
how. Small input shapes that run will do."""


@dataclass(frozen=True)
class PredictRun:
    """Predict all parameters of an architecture, and tell of each how.

    Args:
        checkpoint: a shipped one (`hypernets list`), a saved folder, a hub repository, or a published .pt file.
        arch: a built-in family or module:factory.
        out: file that gets the weights, .safetensors.
        arch_args: keywords of the factory, such as '{"width": 16}'.
        input_shape: shape of an input, batch included, such as 1,3,32,32; again for every further input.
        input_dtype: of all inputs, or once a shape.
        input_max: whole numbers below it (tokens); for all inputs, or once a shape.
        report: print the row of every parameter.
        json: file that gets the report.
        within: how many times larger or smaller than at the own initialisation a layer may put out; null for any.
        stream: build on the meta device and write tensor by tensor, for networks larger than the memory.
    """

    checkpoint: str
    arch: str
    out: str
    arch_args: dict[str, Any] = field(default_factory=dict)
    input_shape: list[str] = field(default_factory=list)
    input_dtype: list[str] = field(default_factory=list)
    input_max: list[int] = field(default_factory=list)
    report: bool = False
    json: str | None = None
    within: float | None = 4.0
    stream: bool = False

    def __post_init__(self) -> None:
        if not self.out.endswith(".safetensors"):
            raise ValueError(f"expected --out FILE.safetensors, got {self.out!r}")


def predict(run: PredictRun) -> None:
    """Write the weights; print the report."""
    from pathlib import Path

    from graphs.durable import write_durably

    report = _predicted(run)
    if run.json:
        write_durably(Path(run.json), (report.to_json() + "\n").encode())
    print(report if run.report else report.summary)
    print(f"{run.out}: load it with safetensors.torch.load_model")


def _predicted(run: PredictRun) -> Report:
    import warnings

    from hypernets.ghn.streaming import predict_to_file, save_weights

    ghn = checkpoint(run.checkpoint)
    module, probe = _network(run)
    # The report says it too.
    warnings.filterwarnings("ignore", message="the hypernetwork is untrained")
    if run.stream:
        return predict_to_file(ghn, module, probe.args, run.out, **probe.kwargs)
    weights, report = ghn.predict(module, *probe.args, within=run.within, **probe.kwargs)
    save_weights(run.out, module, weights)
    return report


def _network(run: PredictRun) -> tuple[Any, Probe]:
    import json

    from graphs.arguments import network

    given = (run.input_shape, run.input_dtype, run.input_max, "meta" if run.stream else "cpu")
    return network(run.arch, json.dumps(run.arch_args), *given)


def checkpoint(path: str) -> Any:
    """The hypernetwork of a shipped name, a saved folder or a hub repository, or of a published file."""
    if path.endswith((".pt", ".pth")):
        from hypernets.ghn.published import load_published

        return load_published(path)
    from hypernets import load

    return load(path)
