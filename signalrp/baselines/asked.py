"""What a baseline is asked about one batch of trials, and what the model must not notice of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from signalrp.places import numbered_segments
from signalrp.propagation.registry import writes
from signalrp.propagation.state import State
from signalrp.propagation.tags import name_of, tensors_in
from signalrp.targets import Target, main_output


@dataclass(frozen=True)
class Setting:
    """What holds for all batches.

    Attributes
    ----------
    dims : tuple of str
        Dimensions of the signal.
    batch_size : int
        Signals that the model may get at once.
    seed : int
        From which every trial draws its own random numbers, whatever batch it is in.
    segments : array of int
        Which samples go together, see :func:`segment_labels`.
    reference : array, optional
        Trials of data, or one signal, in the signal's dimensions.
    """

    dims: tuple[str, ...]
    batch_size: int
    seed: int
    segments: NDArray[np.int64]
    reference: NDArray[Any] | None = None

    def origin(self, like: Tensor) -> Tensor:
        """Return the signal that stands for nothing, one trial: the mean of the reference, or zero."""
        return like.new_zeros(()) if self._mean is None else torch.as_tensor(self._mean).to(like)

    @cached_property
    def _mean(self) -> NDArray[Any] | None:
        return None if self.reference is None else self.reference.mean(0, keepdims=True, dtype=np.float64)


@dataclass(frozen=True)
class Asked:
    """One batch.

    Attributes
    ----------
    model : callable
        In evaluation mode.
    x : torch.Tensor
        (batch, ...), in the type and the place of the model.
    target : callable, optional
        Makes one number per trial of the model's output.
    classes : torch.Tensor, optional
        The classes to explain, (batch,); None where `target` is a callable, or the output one number per trial.
    trials : sequence of int
        Which trials these are.
    setting : Setting
    """

    model: Any
    x: Tensor
    target: Target
    classes: Tensor | None
    trials: Sequence[int]
    setting: Setting

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's output, (batch, classes) or (batch,), or what the target function makes of it."""
        # The model may overwrite what it is given.
        returned = self.model(x.clone())
        return self.target(returned) if callable(self.target) else main_output(returned)

    def score(self, x: Tensor) -> Tensor:
        """Return the number that is explained for each trial, (batch,)."""
        out = self.forward(x)
        return out if self.classes is None else out.gather(1, self.classes[:, None])[:, 0]

    def gradient(self) -> Tensor:
        """Return the derivative of the score by the signal."""
        x = self.x.detach().requires_grad_()
        (found,) = torch.autograd.grad(self.score(x).sum(), x)
        return found

    def generators(self) -> list[np.random.Generator]:
        """Return a source of random numbers for each trial."""
        return [np.random.default_rng([self.setting.seed, trial]) for trial in self.trials]


@dataclass(frozen=True)
class Found:
    """Relevance of a batch, and relevance per unit of the signal where a method has it."""

    relevance: Tensor
    per_unit: Tensor | None = None


@contextmanager
def unchanged(model: Any, x: Tensor) -> Iterator[None]:
    """Leave the model and the caller's random numbers as they were found; let gradients pass.

    Raises
    ------
    ValueError
        When what runs inside asks for a derivative that the model has cut.
    """
    keeper = _Keeper(model)
    modules = model.modules() if isinstance(model, nn.Module) else ()
    with ExitStack() as stack:
        stack.callback(keeper.state.restore)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.random.fork_rng([x.device.index] if x.is_cuda else []))
        if x.is_cuda and any(isinstance(module, nn.RNNBase) for module in modules):
            # Its recurrent kernels have no derivative in evaluation mode.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(keeper)
        try:
            yield
        except RuntimeError as error:
            if "not have been used in the graph" not in str(error) and "does not require grad" not in str(error):
                raise
            raise ValueError(
                "the explained output does not depend on the inputs by a differentiable way; does the model "
                'detach them or run under torch.no_grad()? "occlusion" needs no derivative.'
            ) from None


class _Keeper(TorchFunctionMode):
    """Keeps what a model is about to overwrite of itself: weights under a norm constraint, hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.state = State(model)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = next(tensors_in(args), None)
        if first is not None and writes(func, name_of(func)):
            self.state.about_to_change(first, func.__name__ == "__set__")
        return func(*args, **(kwargs or {}))


def reference_trials(reference: xr.DataArray | ArrayLike | Tensor | None, signal: xr.DataArray) -> NDArray[Any] | None:
    """Return data to compare with, (trial, ...) in the signal's dimensions; one signal counts as one trial.

    Raises
    ------
    ValueError
        When it does not fit the signal or is not finite.
    """
    if reference is None:
        return None
    if isinstance(reference, xr.DataArray):
        if "trial" not in reference.dims:
            reference = reference.expand_dims("trial")
        if set(reference.dims) != set(signal.dims):
            raise ValueError(
                f"the reference has dimensions {reference.dims}; expected those of the signal, {signal.dims}."
            )
        reference = reference.transpose(*signal.dims)
    values = np.asarray(reference.detach().cpu() if isinstance(reference, Tensor) else reference)
    if values.shape == signal.shape[1:]:
        values = values[None]
    if values.shape[1:] != signal.shape[1:] or not values.size:
        raise ValueError(
            f"the reference has shape {values.shape}; expected trials of shape {signal.shape[1:]}, as the signal has, "
            "or one of them."
        )
    if values.dtype.kind not in "fiub":
        raise ValueError(f"the reference must hold real numbers, found {values.dtype}.")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"{bad} of {values.size} values of the reference are NaN or infinite; fill or leave out those trials."
        )
    return values


def segment_labels(segments: xr.DataArray | ArrayLike | None, signal: xr.DataArray) -> NDArray[np.int64]:
    """Return the number of the segment that each sample belongs to, -1 for none.

    Without segments: each channel in ten consecutive windows; of a signal with more than two dimensions behind trial
    the first is kept whole and each of the others is cut in six.

    Parameters
    ----------
    segments
        Integer labels in any of the signal's dimensions, see `signalrp.places.labelled_segments`. Negative labels are
        never removed.
    signal

    Returns
    -------
    array of int
        (trial, ...) or (1, ...), numbered from 0.

    Raises
    ------
    ValueError
        When the labels do not fit the signal or are not integers.
    """
    if segments is None:
        return _windows(signal.shape[1:])[None]
    numbers, _ = numbered_segments(segments, signal)
    return np.broadcast_to(numbers, (len(numbers), *signal.shape[1:])).copy()


def _windows(shape: tuple[int, ...]) -> NDArray[np.int64]:
    parts = [10 if len(shape) < 3 else 6] * len(shape)
    if len(shape) > 1:
        parts[0] = shape[0] if len(shape) == 2 else 1
    parts = [min(count, size) for count, size in zip(parts, shape, strict=True)]
    slices = [np.arange(size) * count // size for count, size in zip(parts, shape, strict=True)]
    numbers: NDArray[np.int64] = np.ravel_multi_index(np.meshgrid(*slices, indexing="ij"), parts).astype(np.int64)
    return numbers
