"""Record one eager forward pass and propagate labels through it.

Any module runs under a dispatch mode on a small probe; every storage element carries a label, so views need no rule
(:mod:`graphs.labelling.storages`), pointwise operations join labels, contractions reduce them
(:mod:`graphs.labelling.labels`), and an operation without a rule pins what it touches, which is always sound.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from graphs.assembling.assembly import assemble
from graphs.execution.evaluation import plain_evaluation, traceable_layout
from graphs.execution.trees import map_tensors, tensors_in
from graphs.labelling.recorder import Recorder
from graphs.topology import Topology


def trace(module: nn.Module, *inputs: Any, **kwargs: Any) -> Topology:
    """The Topology of ``module``, from one forward pass in evaluation mode on a small probe.

    The module keeps its weights, buffers, attributes and training flags, with a warning where the pass writes weights
    or buffers in place. Neither the values nor the sizes of the probe matter, as
    long as it takes every path of the network; a dimension of size 1 hides the positions along it, so give at least 2
    tokens or time steps.

    Args:
        module: any network.
        inputs: example tensors, or dicts, lists and objects that hold them; smallest sizes that run.
        kwargs: keyword inputs.

    Raises UntraceableError when the forward pass fails or returns no tensor, and for a module that holds what is no
    dense tensor, that is compiled to TorchScript, or whose shapes are not known yet.

    >>> topology = trace(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), torch.zeros(1, 2))
    >>> topology.num_nodes, topology.num_edges
    (6, 9)
    """
    layout = traceable_layout(module)
    inputs, kwargs = map_tensors(torch.clone, (inputs, kwargs))
    recorder = Recorder(module, layout)
    for i, tensor in enumerate(tensors_in((inputs, kwargs))):
        recorder.watch_input(i, tensor)
    with plain_evaluation(module), recorder.where.within(module):
        outputs = recorder.run(module, inputs, kwargs)
    if recorder.written:
        names = ", ".join(recorder.written)
        warnings.warn(f"{type(module).__name__} writes its own {names} as it runs; they were put back", stacklevel=2)
    recorder.watch_outputs(outputs)
    recorder.pin_unread()
    return assemble(recorder.recording, recorder.classes, layout).attach(module)
