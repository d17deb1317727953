"""What stands in place of a removed piece.

A prepared fill is called in two steps: with the signals of some trials (trial, channel, time) and their
positions among all trials, once; then with the masks of what is removed (step, trial, channel, time), as
often as needed. The second call returns the replacement, which counts only where the mask is set and need
only broadcast to the mask's shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Replace = Callable[[Tensor], Tensor]
Fill = Callable[[Tensor, slice], Replace]
UserFill = Callable[[Tensor, Tensor], Tensor]

# keeps the noise of a trial apart from its random orders, which are seeded by small repeat numbers
_NOISE_STREAM = 2**31


def _mean(reference: NDArray[np.floating], seed: int) -> Fill:
    mean = torch.from_numpy(reference.mean(0, dtype=np.float64))

    def fill(signal: Tensor, trials: slice) -> Replace:
        replacement = mean.to(signal)
        return lambda removed: replacement

    return fill


def _zero(reference: NDArray[np.floating], seed: int) -> Fill:
    def fill(signal: Tensor, trials: slice) -> Replace:
        zero = signal.new_zeros(())
        return lambda removed: zero

    return fill


def _noise(reference: NDArray[np.floating], seed: int) -> Fill:
    mean = reference.mean((0, 2), dtype=np.float64)[:, None]
    sd = reference.std((0, 2), dtype=np.float64)[:, None]

    def fill(signal: Tensor, trials: slice) -> Replace:
        # seeded per trial, so that every order, step and batch size meets the same noise
        draws = [
            mean + sd * np.random.default_rng([seed, _NOISE_STREAM, trial]).standard_normal(signal.shape[1:])
            for trial in range(trials.start, trials.stop)
        ]
        noise = torch.from_numpy(np.stack(draws)).to(signal)
        return lambda removed: noise

    return fill


def _interpolate(reference: NDArray[np.floating], seed: int) -> Fill:
    mean = torch.from_numpy(reference.mean(0, dtype=np.float64))

    def fill(signal: Tensor, trials: slice) -> Replace:
        # a channel removed altogether has nothing to interpolate between, and the trial must not speak for it
        lost = mean.to(signal)
        return lambda removed: interpolate_gaps(signal, removed, lost)

    return fill


def interpolate_gaps(signal: Tensor, removed: Tensor, lost: Tensor) -> Tensor:
    """Linear interpolation along time across what is removed, per channel; edges are extended.

    Parameters
    ----------
    signal
        (trial, channel, time), equally spaced in time.
    removed
        (step, trial, channel, time), boolean.
    lost
        (channel, time), what stands where a whole channel is removed.

    Returns
    -------
    Tensor
        Shape of `removed`.
    """
    length = signal.shape[-1]
    time = torch.arange(length, device=signal.device)
    before = torch.where(removed, -1, time).cummax(-1).values
    after = torch.where(removed, length, time).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(max=length - 1)
    right = torch.where(after == length, before, after).clamp(min=0)
    values = signal.expand(removed.shape)
    low, high = values.gather(-1, left), values.gather(-1, right)
    weight = (time - left).to(signal) / (right - left).clamp(min=1)
    filled = low + (high - low) * weight
    return torch.where(removed.all(-1, keepdim=True), lost, filled)


def _from_callable(function: UserFill) -> Fill:
    def fill(signal: Tensor, trials: slice) -> Replace:
        def replace(removed: Tensor) -> Tensor:
            masks = removed.flatten(0, 1)
            values = function(signal.expand(removed.shape).flatten(0, 1), masks)
            if not isinstance(values, Tensor) or values.shape != masks.shape:
                found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise ValueError(
                    f"The fill returned {found}; expected a tensor of shape {tuple(masks.shape)}, "
                    "that of the signals it was given."
                )
            return values.to(signal).view(removed.shape)

        return replace

    return fill


_FILLS: dict[str, Callable[[NDArray[np.floating], int], Fill]] = {
    "mean": _mean,
    "zero": _zero,
    "interpolate": _interpolate,
    "noise": _noise,
}
FILLS = tuple(_FILLS)


def prepare_fill(fill: str | UserFill, reference: NDArray[np.floating], seed: int) -> Fill:
    """Make a fill ready, see the module's description.

    Parameters
    ----------
    fill
        ``"mean"``: mean over the reference trials at every channel and time; ``"zero"``; ``"interpolate"``:
        linear along time across the gap, edges extended, the mean where a whole channel is gone; ``"noise"``:
        Gaussian with each channel's mean and standard deviation in the reference; or a function of signals
        and masks, both (batch, channel, time), that returns the replacement.
    reference
        (trial, channel, time), the data that mean and standard deviation are taken from.
    seed
        Seed of the noise.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if callable(fill):
        return _from_callable(fill)
    if fill not in _FILLS:
        raise ValueError(
            f"Fill {fill!r} is unknown; choose from {', '.join(FILLS)}, or give a function of signals and masks."
        )
    return _FILLS[fill](reference, seed)


def fill_name(fill: str | UserFill) -> str:
    """How a fill is called on a plot."""
    return getattr(fill, "__name__", type(fill).__name__) if callable(fill) else fill
