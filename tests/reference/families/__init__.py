"""Small classifiers of signals, written in the styles that third parties write them.

Every file here exports

``MODELS``
    Name -> function without arguments that returns a model and a batch for it (a tensor, or a tuple or dict of
    them; two or three samples), in the precision torch has set.
``CONSTANTS_LEFT``
    Name -> why relevance ends in constants even where all additive parameters are 0. Of the models that are not
    named here the relevance must then sum to the output.
``ANY_LENGTH``
    Name -> the dimension of time of models that take a sequence of length 1 as well.

Additive parameters are told by their names: see :data:`ADDITIVE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from . import audio, eeg, sequences, series, video

FAMILIES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {}
CONSTANTS_LEFT: dict[str, str] = {}
ANY_LENGTH: dict[str, int] = {}

for _file in (eeg, series, audio, video, sequences):
    _twice = FAMILIES.keys() & _file.MODELS.keys()
    if _twice:
        raise ValueError(f"two models are called {_twice.pop()!r}")
    FAMILIES.update(_file.MODELS)
    CONSTANTS_LEFT.update(_file.CONSTANTS_LEFT)
    ANY_LENGTH.update(_file.ANY_LENGTH)

ADDITIVE = re.compile(r"(^|_)(bias|biases|beta|pos|position|positions|pe|cls|token|tokens|running_mean)(_|$)")
"""The last word in the path of a parameter or table that is added: ``bias_ih_l0``, ``cls_token``, ``biases.2``."""


def randomise(model: nn.Module) -> nn.Module:
    """Give every parameter and statistic a value of its own, about the one it was made with.

    Scales stay near 1, what was 0 becomes small, weights keep the size that their owner gave them; tables that the
    model computes (windows, masks, sinusoids) are left alone.
    """
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point() or (not isinstance(value, nn.Parameter) and "running_" not in name):
                continue
            noise = torch.randn_like(value)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif bool((value == 0).all()):
                value.copy_(0.2 * noise)
            elif bool((value == value.flatten()[0]).all()):
                value.mul_(1 + 0.1 * noise)
            elif value.dim() > 1 and name.endswith("weight"):
                value.copy_(noise / value[0].numel() ** 0.5)
    return model


def build(name: str, seed: int = 0) -> tuple[nn.Module, Any]:
    """Return a model of the table, randomised, in float64 and in evaluation mode, and a batch for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, inputs = FAMILIES[name]()
        return randomise(model.double()).eval(), converted(inputs, torch.float64)


def converted(inputs: Any, dtype: torch.dtype) -> Any:
    """Return a batch with its tensors of floating point in another precision."""
    return changed(inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)


def changed(inputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a batch with each of its tensors changed."""
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, dict):
        return {key: change(value) for key, value in inputs.items()}
    return tuple(change(value) for value in inputs)


def run(model: nn.Module, inputs: Any) -> Any:
    """Call a model with a batch, as ``signalrp.attribute`` does."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    return model(**inputs) if isinstance(inputs, dict) else model(*inputs)


def without_constants(model: nn.Module) -> nn.Module:
    """Set to 0 what a model adds: biases, the means of batch norms, positions, class tokens."""
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            word = [part for part in name.split(".") if not part.isdigit()][-1]
            if ADDITIVE.search(word) and value.is_floating_point():
                value.zero_()
    return model
