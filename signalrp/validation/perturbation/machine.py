"""The model with everything it takes to run it on manipulated trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from signalrp.explanation import type_and_place
from signalrp.validation.perturbation.distance import REFERENCE_TRIALS, LastFeatures, Neighbours, neighbours

Model = Callable[[Tensor], Tensor]
# Samples that go through the model at once: on a processor more leave its caches, and memory for them is taken from
# the system anew each time; on an accelerator fewer leave it idle.
_SAMPLES_A_THREAD, _SAMPLES_ELSEWHERE = 2**19, 2**26
_MOST_AT_ONCE = 1024
# keeps the draw of reference trials apart from random orders and fills
_REFERENCE_STREAM = 2**31 + 16


class Answers(NamedTuple):
    """What the model says to filled trials, each (step, trial)."""

    output: NDArray[np.float64]
    chosen: NDArray[np.int64]
    distance: NDArray[np.float64] | None


@dataclass
class Machine:
    """Runs a model on trials of which pieces are replaced.

    ``inverse`` turns what pieces are removed from, (trial, …), into what the transform, if any, and the model
    take; ``features`` watches the model; ``near`` measures distances in these features, once `learn` has run.
    """

    model: Model
    transform: Callable[[Tensor], Tensor] | None
    inverse: Callable[[Tensor], Tensor] | None
    features: LastFeatures
    device: torch.device
    dtype: torch.dtype
    batch_size: int
    near: Neighbours | None = field(default=None, init=False)

    def tensor(self, values: NDArray[np.generic]) -> Tensor:
        """Values in the type and the place of the model."""
        return torch.tensor(values, device=self.device, dtype=self.dtype)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Outputs (trial, class) of signals, checked."""
        self.features.taken = None
        output = self.model(inputs if self.transform is None else self.transform(inputs))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(inputs):
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"The model returned {found} for {len(inputs)} trials; expected a tensor (trial, class). "
                "Wrap the model so that it returns class scores."
            )
        if not torch.isfinite(output).all():
            raise ValueError("The model returned NaN or infinite outputs; check its weights and its input scaling.")
        return output

    def learn(self, reference: NDArray[np.generic], seed: int) -> None:
        """Take the features of some reference trials, so that distances can be told."""
        count = min(len(reference), REFERENCE_TRIALS)
        drawn = np.random.default_rng([seed, _REFERENCE_STREAM]).choice(len(reference), count, replace=False)
        drawn.sort()
        parts = []
        for trials in blocks(count, self.batch_size):
            self.outputs(self.tensor(reference[drawn[trials]]))
            part = self.features.of(trials.stop - trials.start)
            if part is None:
                return
            parts.append(part)
        self.near = neighbours(torch.cat(parts), drawn)

    def initial(self, signal: xr.DataArray, own: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Outputs (trial, class) before anything is removed, and distances (trial,), NaN where there are none."""
        outputs, distances = [], []
        for trials in blocks(len(signal), self.batch_size):
            outputs.append(self.outputs(self.tensor(signal.values[trials])).double().cpu())
            found = self._distances(len(outputs[-1]), torch.from_numpy(own[trials]).to(self.device))
            distances.append(torch.full(outputs[-1].shape[:1], torch.nan) if found is None else found.double().cpu())
        return torch.cat(outputs).numpy(), torch.cat(distances).numpy()

    def answers(self, steps: Iterable[Tensor], classes: Tensor, own: Tensor) -> Answers:
        """Answers to filled contents (step, trial, …), some steps at once.

        ``classes`` (trial,) are those whose output is told, ``own`` (trial,) the trials' positions in the reference.
        """
        outputs, chosen, distances = [], [], []
        for content in steps:
            inputs = content.flatten(0, 1)
            output = self.outputs(inputs if self.inverse is None else self.inverse(inputs))
            found = self._distances(len(output), own)
            output = output.view(*content.shape[:2], -1)
            outputs.append(output.gather(2, classes.expand(output.shape[:2])[..., None])[..., 0])
            chosen.append(output.argmax(2))
            if found is not None:
                distances.append(found.view(output.shape[:2]))
        return Answers(
            torch.cat(outputs).double().cpu().numpy(),
            torch.cat(chosen).cpu().numpy(),
            torch.cat(distances).double().cpu().numpy() if len(distances) == len(outputs) else None,
        )

    def _distances(self, trials: int, own: Tensor) -> Tensor | None:
        features = None if self.near is None else self.features.of(trials)
        return None if self.near is None or features is None else self.near.distances(features, own)


@contextmanager
def placed(model: Model, device: str | torch.device | None) -> Iterator[tuple[torch.device, torch.dtype]]:
    """The model on a device and in the type of its weights; it returns to its place afterwards.

    Raises
    ------
    ValueError
        If it is in training mode.
    """
    dtype, home = type_and_place(model)
    place = torch.device(device) if device is not None else home or torch.device("cpu")
    if not isinstance(model, torch.nn.Module):
        yield place, dtype
        return
    if any(module.training for module in model.modules()):
        raise ValueError("The model is in training mode; call model.eval() first.")
    moved = home is not None and place != home
    try:
        if moved:
            model.to(place)
        yield place, dtype
    finally:
        if moved:
            model.to(home)


def trials_at_once(asked: int | None, samples: int, device: torch.device) -> int:
    """How many trials of so many samples go through the model at once, unless asked for."""
    if asked is not None:
        return asked
    room = _SAMPLES_A_THREAD * torch.get_num_threads() if device.type == "cpu" else _SAMPLES_ELSEWHERE
    return min(_MOST_AT_ONCE, max(1, room // samples))


def blocks(trials: int, size: int) -> Iterator[slice]:
    """Consecutive trials, at most `size` at once."""
    for start in range(0, trials, size):
        yield slice(start, min(start + size, trials))
