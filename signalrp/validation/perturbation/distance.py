"""How far a filled trial lies from the data, where the model itself looks at it: in its last features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# so many trials of the reference are drawn: the 95th percentile stands, and comparing costs little beside the model
REFERENCE_TRIALS = 200
_FEWEST = 3


@dataclass
class LastFeatures:
    """The input of the weighted module that a forward pass called last."""

    taken: Tensor | None = field(default=None, repr=False)

    def of(self, trials: int) -> Tensor | None:
        """Features (trial, feature) of the pass just made, and forget them; None where it left none per trial."""
        taken, self.taken = self.taken, None
        if taken is None or taken.ndim < 2 or len(taken) != trials:
            return None
        features = taken.flatten(1)
        return features if features.dtype in (torch.float32, torch.float64) else features.float()


@contextmanager
def watched(model: object) -> Iterator[LastFeatures]:
    """Note at every pass of the model what its last module with a weight matrix or kernel is given.

    A module that has several inputs counts with the first. Nothing is noted of a plain function or a scripted
    module, which have no modules to watch. The model is left as it was on every way out.
    """
    features = LastFeatures()

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        # an embedding's input are numbers of words, no features
        if args and isinstance(args[0], Tensor) and args[0].is_floating_point():
            features.taken = args[0].detach()

    handles = [module.register_forward_pre_hook(note) for module in _weighted(model)]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def _weighted(model: object) -> list[nn.Module]:
    """Modules without parts that have a matrix or a kernel of weights."""
    if not isinstance(model, nn.Module):
        return []
    return [
        module
        for module in model.modules()
        if not isinstance(module, torch.jit.ScriptModule)
        and not any(True for _ in module.children())
        and any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
    ]


class Neighbours:
    """Distances to the nearest of some trials, in units of these trials' own median nearest-neighbour distance.

    Parameters
    ----------
    features
        (reference trial, feature).
    positions
        (reference trial,), which trials of the whole reference these are, ascending.

    Attributes
    ----------
    usual
        95th percentile of the reference trials' distances to their nearest neighbours, in the same units.
    """

    def __init__(self, features: Tensor, positions: NDArray[np.int64]) -> None:
        self._centre = features.mean(0)
        self._features = features - self._centre
        self._squares = self._features.square().sum(1)
        self._positions = torch.from_numpy(positions).to(features.device)
        distances = self._nearest(self._features, self._positions)
        self._unit = distances.quantile(0.5)
        self.usual = float((distances / self._unit).quantile(0.95))

    def distances(self, features: Tensor, own: Tensor) -> Tensor:
        """Distance (step·trial,) of features (step·trial, feature); `own` (trial,) are positions that do not count."""
        return self._nearest(features - self._centre, own) / self._unit

    def _nearest(self, features: Tensor, own: Tensor) -> Tensor:
        # smallest where the distance is; the distance itself is computed of the nearest alone, free of cancellation
        order = torch.addmm(self._squares, features, self._features.T, alpha=-2)
        place = torch.searchsorted(self._positions, own).clamp(max=len(self._positions) - 1)
        drawn = (self._positions[place] == own).nonzero()[:, 0]
        order.view(-1, len(own), order.shape[1])[:, drawn, place[drawn]] = torch.inf
        # on the processor NumPy is many times faster at this
        nearest = torch.from_numpy(order.numpy().argmin(1)) if order.device.type == "cpu" else order.argmin(1)
        return torch.linalg.vector_norm(features - self._features[nearest], dim=1)


def neighbours(features: Tensor, positions: NDArray[np.int64]) -> Neighbours | None:
    """Neighbours, where there are enough and they differ, so that their distances are a measure."""
    if len(features) < _FEWEST:
        return None
    found = Neighbours(features, positions)
    return found if np.isfinite(found.usual) else None
