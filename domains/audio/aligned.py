"""Sounds aligned in time: before means over them say anything, they have to begin, or to be loudest, together."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import uniform_filter1d

from .checks import sampling_rate
from .time_frequency import decibels

Align = Literal["onset", "peak"]
Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_SMOOTH = 0.020
"""Seconds over which energy is averaged: two periods of most voices."""
_ONSET = 20.0
"""dB below its maximum at which the energy of a sound counts as begun."""


def energy(explanation: xr.Dataset) -> Array:
    """Return the energy of every trial over time or frames, on any scale, (trial, instant)."""
    signal = explanation["signal"]
    if "time" in signal.dims:
        squares = signal.transpose("trial", "channel", "time").values.astype(np.float64) ** 2
        samples = max(1, round(_SMOOTH * sampling_rate(signal)))
        return uniform_filter1d(squares.sum(1), samples, axis=-1, mode="constant")
    return (10 ** (decibels(explanation) / 10)).sum(("channel", "frequency")).values


def reference_instants(explanation: xr.Dataset, align: Align | None) -> Indices:
    """Return the position in time of what trials are aligned by: their onset, their loudest instant, or the first.

    The onset is where the energy, averaged over 20 ms, first comes within 20 dB of its maximum.

    Raises
    ------
    ValueError
        If what to align by is unknown.
    """
    if align is not None and align not in get_args(Align):
        raise ValueError(f"Sounds cannot be aligned by {align!r}; choose onset, peak or None.")
    loudness = energy(explanation)
    if align is None:
        return np.zeros(len(loudness), np.int64)
    if align == "peak":
        return loudness.argmax(1)
    return (loudness >= loudness.max(1, keepdims=True) * 10 ** (-_ONSET / 10)).argmax(1)


def recorded(explanation: xr.Dataset) -> npt.NDArray[np.bool_]:
    """Return where each trial holds its recording and not what was put around it, (trial, instant).

    By the coordinates ``offset`` and ``samples`` of the readers; without these everything counts.
    """
    dim = "time" if "time" in explanation["signal"].dims else "frame"
    instants = explanation[dim].values.astype(np.float64)
    count = explanation.sizes["trial"]
    if not {"offset", "samples", "sfreq"} <= {*explanation.coords, *explanation["signal"].attrs}:
        return np.ones((count, len(instants)), bool)
    rate = float(explanation["signal"].attrs["sfreq"])
    first = explanation["offset"].values / rate
    last = first + (explanation["samples"].values - 1) / rate
    # Half a sample of tolerance, for instants that were rounded.
    slack = 0.5 / rate
    return (instants >= first[:, None] - slack) & (instants <= last[:, None] + slack)


def shifted(values: Array, zero: Indices) -> Array:
    """Return values (trial, ..., instant) with the instants `zero` (trial,) below each other; NaN where there are none.

    The instant `zero` comes to lie at position ``zero.max()``.
    """
    count = values.shape[-1]
    positions = np.arange(-zero.max(), count - zero.min()) + zero[:, None]
    inside = (positions >= 0) & (positions < count)
    index = positions.clip(0, count - 1).reshape(len(values), *(1,) * (values.ndim - 2), -1)
    taken = np.take_along_axis(values, np.broadcast_to(index, (*values.shape[:-1], index.shape[-1])), -1)
    return np.where(inside.reshape(index.shape), taken, np.nan)


def aligned(values: xr.DataArray, zero: Indices, known: npt.NDArray[np.bool_]) -> xr.Dataset:
    """Mean over trials around the instants `zero`.

    Parameters
    ----------
    values : xarray.DataArray, shape (trial, ..., instant)
        Any numbers, time or frame the last dimension.
    zero : array, shape (trial,)
        See `reference_instants`.
    known : array of bool, shape (trial, instant)
        See `recorded`.

    Returns
    -------
    xarray.Dataset
        ``mean`` (..., instant) over the trials that are known at an instant, NaN where none is; ``error``, its
        standard error; ``count`` (instant,), of how many trials it is. Instants are in s from the reference.
    """
    dim = str(values.dims[-1])
    instants = values[dim].values.astype(np.float64)
    step = (instants[-1] - instants[0]) / max(1, len(instants) - 1)
    masks = np.where(known, 1.0, np.nan).reshape(len(known), *(1,) * (values.ndim - 2), -1)
    moved = shifted(values.values.astype(np.float64) * masks, zero)
    count = np.isfinite(shifted(np.where(known, 1.0, np.nan), zero)).sum(0)
    total = np.where(count > 0, count, np.nan)
    mean = np.nansum(moved, 0) / total
    spread = np.sqrt(np.nansum((moved - mean) ** 2, 0) / np.where(count > 1, total - 1, np.nan))
    coords = {name: c.variable for name, c in values.coords.items() if c.dims and not {"trial", dim} & set(c.dims)}
    coords[dim] = xr.Variable(
        dim, (np.arange(len(count)) - zero.max()) * step + (0.0 if zero.any() else instants[0]), {"units": "s"}
    )
    dims = values.dims[1:]
    return xr.Dataset({"mean": (dims, mean), "error": (dims, spread / np.sqrt(total)), "count": (dim, count)}, coords)
