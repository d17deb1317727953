"""Generic segments: integer labels that say which samples are removed together.

Fields bring their own (stance phases, bands, electrodes, frames) as label arrays or as masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.explanation import DIMENSIONS
from signalrp.places import labelled_segments, numbered_segments
from signalrp.validation.checks import time_dimension
from signalrp.validation.perturbation.orders import Pieces


def channels(signal: xr.DataArray) -> xr.DataArray:
    """Every channel as a whole is one segment, labels in the dimensions of a trial.

    Raises
    ------
    ValueError
        If the signal has no dimension channel.
    """
    template = _template(signal, "channel")
    return template + xr.DataArray(np.arange(template.sizes["channel"]), dims="channel")


def time_slices(signal: xr.DataArray, count: int) -> xr.DataArray:
    """`count` consecutive slices of time, about equally long, across everything else; labels (time,).

    Of a signal without a dimension time, its frames are cut, labels (frame,).

    Raises
    ------
    ValueError
        If count is not between 1 and the number of samples, or the signal has neither time nor frame.
    """
    dim = time_dimension(signal.dims, "time_slices")
    template = _template(signal, dim)
    template = template.isel({other: 0 for other in template.dims if other != dim}, drop=True)
    return template + _slice_labels(template.sizes[dim], count)


def windows(signal: xr.DataArray, count: int) -> xr.DataArray:
    """`count` consecutive windows of time in every channel for itself, labels in the dimensions of a trial.

    Raises
    ------
    ValueError
        If count is not between 1 and the number of samples, or the signal has no dimension channel or time.
    """
    template = _template(signal, "channel", "time")
    first = xr.DataArray(count * np.arange(template.sizes["channel"]), dims="channel")
    return template + first + xr.DataArray(_slice_labels(template.sizes["time"], count), dims="time")


def from_masks(masks: Mapping[str, ArrayLike]) -> xr.DataArray:
    """Labels from named boolean masks of one shape; what no mask covers is never removed.

    Parameters
    ----------
    masks
        Boolean arrays labelled with any of the signal's dimensions, or plain ones of shape (time,),
        (channel, time) or (trial, channel, time). They must not overlap.

    Returns
    -------
    xarray.DataArray
        Labels, numbered as the masks are listed, −1 elsewhere; ``attrs["names"]`` lists the names.

    Raises
    ------
    ValueError
        If there is no mask, shapes differ, a mask covers nothing, or two masks overlap.
    """
    if not masks:
        raise ValueError("masks is empty; give at least one named mask.")
    arrays = {name: labelled_segments(mask).astype(bool) for name, mask in masks.items()}
    first = next(iter(arrays.values()))
    labels = xr.full_like(first, -1, dtype=np.int64)
    for number, (name, mask) in enumerate(arrays.items()):
        if dict(mask.sizes) != dict(first.sizes):
            raise ValueError(
                f"Mask {name!r} has dimensions {dict(mask.sizes)}; the first mask has {dict(first.sizes)}. "
                "Give all masks the same shape."
            )
        mask = mask.transpose(*first.dims)
        if not mask.values.any():
            raise ValueError(f"Mask {name!r} covers no sample; leave it out or check its limits.")
        if (labels.values[mask.values] >= 0).any():
            raise ValueError(f"Mask {name!r} overlaps a mask before it; a sample belongs to one segment only.")
        labels.values[mask.values] = number
    labels.attrs["names"] = list(arrays)
    return labels


def pieces_of(segments: ArrayLike | None, signal: xr.DataArray) -> Pieces:
    """Removable pieces of a signal: its segments, or each sample for itself.

    Parameters
    ----------
    segments
        Integer labels over any of the signal's dimensions, see `perturbation_curves`; negative ones are never
        removed.
    signal
        Any dimensions, trial first.

    Raises
    ------
    ValueError
        If the labels are not integers, do not fit the signal, or name no segment.
    """
    if segments is None:
        count = int(np.prod(signal.shape[1:]))
        return Pieces(torch.arange(count).view(1, *signal.shape[1:]), count, alone=True)
    numbers, found = numbered_segments(segments, signal)
    return Pieces(torch.from_numpy(numbers), found)


def _template(signal: xr.DataArray, *needed: str) -> xr.DataArray:
    """Zeros in the dimensions of a trial."""
    missing = [dim for dim in needed if dim not in signal.dims]
    if missing:
        raise ValueError(
            f"The signal has dimensions {signal.dims}; expected {' and '.join(needed)} among them. Rename them, or "
            "give labels of your own."
        )
    if "trial" in signal.dims:
        signal = signal.isel(trial=0, drop=True)
    if set(signal.dims) == set(DIMENSIONS[1:]):
        signal = signal.transpose(*DIMENSIONS[1:])
    template = xr.zeros_like(signal, dtype=np.int64)
    template.attrs.clear()
    return template.rename("segment")


def _slice_labels(length: int, count: int) -> NDArray[np.int64]:
    if not 1 <= count <= length:
        raise ValueError(f"count is {count}; expected 1 to {length}, the number of samples in time.")
    return np.arange(length) * count // length
