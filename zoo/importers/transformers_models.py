"""Models of the transformers library, built from a configuration without code from outside that library."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.users import MISTAKES

if TYPE_CHECKING:
    from torch import nn

LARGEST = 2**22


def network(config: Mapping[str, Any]) -> "nn.Module":
    """The untrained model of a configuration; raises ValueError for a class that transformers does not have.

    Args:
        config: the content of config.json: model_type, architectures and the arguments of the configuration.
    """
    try:
        import transformers
    except ImportError as error:
        raise ValueError("rebuilding this model takes transformers: pip install 'metazoo[corpus]'") from error
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    mapping = transformers.CONFIG_MAPPING
    if not isinstance(name, str) or not name.isidentifier() or config.get("model_type") not in mapping:
        raise ValueError(f"transformers has no model {config.get('model_type')!r} with the class {name!r}")
    make = getattr(transformers, name, None)
    if not (isinstance(make, type) and issubclass(make, transformers.PreTrainedModel)):
        raise ValueError(f"transformers has no model class {name!r}")
    made = mapping[config["model_type"]].from_dict({k: v for k, v in config.items() if k != "auto_map"})
    return make(made)


def why_not_rebuilt(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Why the class of a configuration does not give a network of these weights; None where it does.

    It is tried without memory for the weights.
    """
    import torch

    # More layers than tensors cannot be; a loop over them need not end.
    large = [k for k, v in config.items() if isinstance(v, int) and v > (len(shapes) if "layer" in k else LARGEST)]
    if large:
        return f"its configuration has {large[0]} {config[large[0]]}, more than its weights"
    try:
        with torch.device("meta"):
            module = network(config)
    except (*MISTAKES, ImportError, NotImplementedError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    tied = {n for n, _ in module.named_parameters(remove_duplicate=False)} - {n for n, _ in module.named_parameters()}
    if any(expected.get(name) != shape for name, shape in shapes.items()) or expected.keys() - shapes.keys() - tied:
        return "its weights are not those that its configuration gives"
    return None
