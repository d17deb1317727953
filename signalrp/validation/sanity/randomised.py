"""Copies of a model whose weights are drawn anew, layer by layer from the output downwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from signalrp.attribute import eager


def copy_of(model: nn.Module) -> nn.Module:
    """The model again, sharing nothing with it.

    Raises
    ------
    ValueError
        If it has no weights, or cannot be copied.
    """
    original = eager(model)
    if not isinstance(original, nn.Module) or next(original.parameters(), None) is None:
        raise ValueError(
            f"The model ({type(model).__name__}) has no weights to change; give the torch.nn.Module that holds them."
        )
    try:
        return deepcopy(original)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"The model cannot be copied ({error}), and it is not changed itself; let copy.deepcopy(model) work."
        ) from None


def layers_from_output(model: nn.Module, inputs: Tensor) -> list[str]:
    """Paths of the modules that hold weights of their own, the one called last comes first.

    A module is called when it is first called. One that never is (a projection whose weights its parent uses)
    counts as called with the nearest module around it that is.
    """
    probe = copy_of(model)
    called: dict[str, int] = {}
    for path, module in probe.named_modules():
        module.register_forward_pre_hook(partial(_note, called, path))
    with torch.no_grad(), unchanged_random_state(probe):
        probe(inputs)

    def place(path: str) -> int:
        while path not in called:
            path = path.rpartition(".")[0]
        return called[path]

    return sorted(_holders(probe), key=place, reverse=True)


def inside(model: nn.Module, path: str) -> list[str]:
    """Paths of the modules that hold weights, of this one and all within it.

    Raises
    ------
    ValueError
        If there is no such module, or no weight in it.
    """
    found = [holder for holder in _holders(model) if not path or holder == path or holder.startswith(f"{path}.")]
    if not found:
        raise ValueError(
            f"The model has no module {path!r} with weights; it has {', '.join(map(repr, _holders(model)))}."
        )
    return found


def cascade(model: nn.Module, steps: Sequence[Sequence[str]], seed: int) -> Iterator[nn.Module]:
    """Copy the model and yield the copy after every step, which draws the weights that these modules hold anew."""
    copy = copy_of(model)
    for step, holders in enumerate(steps):
        for number, path in enumerate(holders):
            _redraw(copy.get_submodule(path), [seed, step, number])
        yield copy


def _redraw(module: nn.Module, seed: list[int]) -> None:
    """Draw the weights that the module itself holds anew; torch's own random state stays as it is.

    As ``reset_parameters`` does where there is one, which also forgets the statistics of a batch norm. Weights that
    it leaves as they are (or that are not there to be reset, as under a norm constraint) come from a normal
    distribution of their own mean and standard deviation.
    """
    own = list(module.parameters(recurse=False))
    before = [parameter.detach().clone() for parameter in own]
    with torch.no_grad(), unchanged_random_state(module):
        torch.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
        # the method of a container reaches into its parts, whose turn has not come
        reset = getattr(module, "reset_parameters", None)
        if callable(reset) and not list(module.children()):
            reset()
        for parameter, trained in zip(own, before, strict=True):
            if torch.equal(parameter, trained) and parameter.is_floating_point():
                parameter.copy_(trained.mean() + trained.std(correction=0) * torch.randn_like(trained))


def _holders(model: nn.Module) -> list[str]:
    return [path for path, part in model.named_modules() if next(part.parameters(recurse=False), None) is not None]


def _note(called: dict[str, int], path: str, *_: object) -> None:
    called.setdefault(path, len(called))


def unchanged_random_state(model: nn.Module) -> AbstractContextManager[None]:
    """Set torch's random state back afterwards, also on the devices the model is on."""
    return torch.random.fork_rng(sorted({p.device.index for p in model.parameters() if p.is_cuda}))
