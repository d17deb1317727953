"""What silence is in a waveform or a spectrogram, and which controls are as loud."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from torch import Tensor

__all__ = ["fill_of", "floor_of", "loudness", "shares_of_labels", "shuffled_among_equals"]

_EQUAL = 20
"""Samples that count as equally loud: so many neighbours in the order of loudness."""


def shuffled_among_equals(
    relevance: npt.NDArray[np.floating], level: npt.NDArray[np.floating], rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    """Relevance (trial, …) shuffled among the samples of a trial that are about as loud, 20 by 20 in that order."""
    shuffled = np.empty_like(relevance)
    for trial, values in enumerate(relevance):
        loudest = np.argsort(level[trial], axis=None, kind="stable")[::-1]
        mixed = loudest[np.lexsort((rng.random(values.size), np.arange(values.size) // _EQUAL))]
        shuffled[trial].flat[loudest] = values.flat[mixed]
    return shuffled


def floor_of(signal: xr.DataArray, silence: float | None) -> float | None:
    """The value of silence; None where it is the smallest value of each clip."""
    if "time" in signal.dims:
        return 0.0
    return 0.0 if silence is None and float(signal.min()) >= 0 else silence


def fill_of(floor: float | None) -> Any:
    """What stands in place of what is removed: a fill for perturbation_curves."""
    if floor == 0:
        return "zero"

    def silence(signals: Tensor, masks: Tensor) -> Tensor:
        values = signals.flatten(1).amin(1) if floor is None else signals.new_full((len(signals),), floor)
        return values.view(-1, *[1] * (signals.ndim - 1)).expand(masks.shape)

    return silence


def loudness(signal: xr.DataArray, floor: float | None) -> xr.DataArray:
    """How far every sample or bin is from silence."""
    return abs(signal - (signal.min([dim for dim in signal.dims if dim != "trial"]) if floor is None else floor))


def shares_of_labels(shares: npt.NDArray[np.float64], labels: xr.DataArray) -> list[float]:
    """Shares of all samples as shares of those that sound in any trial, the only ones that are counted as pieces."""
    pieces = len(np.unique(labels)) - int((labels < 0).any())
    counts = np.floor(shares * labels[0].size + 1e-9)
    # Steps that remove the same must not become one: they differ by far less than a sample.
    apart = 1e-15 * np.arange(len(shares))
    found = np.where(counts == 0, apart, np.minimum(counts / max(pieces, 1), 1) - (apart[-1] - apart))
    return [float(share) for share in found]
