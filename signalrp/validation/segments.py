"""Generic segments: integer labels that say which samples are removed together.

Fields bring their own (stance phases, bands, electrodes, frames) as label arrays or as masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.validation.orders import Pieces

_DIMS_BY_NUMBER = {1: ("time",), 2: ("channel", "time"), 3: ("trial", "channel", "time")}


def channels(signal: xr.DataArray) -> xr.DataArray:
    """Every channel over its whole time is one segment, labels (channel, time)."""
    template = _template(signal)
    return template + np.arange(template.sizes["channel"])[:, None]


def time_slices(signal: xr.DataArray, count: int) -> xr.DataArray:
    """`count` consecutive slices of time, about equally long, each across all channels; labels (time,).

    Raises
    ------
    ValueError
        If count is not between 1 and the number of samples.
    """
    template = _template(signal).isel(channel=0, drop=True)
    return template + _slice_labels(template.sizes["time"], count)


def windows(signal: xr.DataArray, count: int) -> xr.DataArray:
    """`count` consecutive windows of time in every channel for itself, labels (channel, time).

    Raises
    ------
    ValueError
        If count is not between 1 and the number of samples.
    """
    template = _template(signal)
    first = count * np.arange(template.sizes["channel"])[:, None]
    return template + first + _slice_labels(template.sizes["time"], count)


def from_masks(masks: Mapping[str, ArrayLike]) -> xr.DataArray:
    """Labels from named boolean masks of one shape; what no mask covers is never removed.

    Parameters
    ----------
    masks
        Masks of shape (time,), (channel, time) or (trial, channel, time), or arrays labelled with these
        dimensions, which must not overlap.

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
    arrays = {name: _labelled(mask).astype(bool) for name, mask in masks.items()}
    first = next(iter(arrays.values()))
    labels = xr.full_like(first, -1, dtype=np.int64)
    for number, (name, mask) in enumerate(arrays.items()):
        if mask.dims != first.dims or mask.shape != first.shape:
            raise ValueError(
                f"Mask {name!r} has dimensions {dict(mask.sizes)}; the first mask has {dict(first.sizes)}. "
                "Give all masks the same shape."
            )
        if not mask.values.any():
            raise ValueError(f"Mask {name!r} covers no sample; leave it out or check its limits.")
        if (labels.values[mask.values] >= 0).any():
            raise ValueError(f"Mask {name!r} overlaps a mask before it; a sample belongs to one segment only.")
        labels.values[mask.values] = number
    labels.attrs["names"] = list(arrays)
    return labels


def pieces_of(segments: ArrayLike | None, signal: xr.DataArray) -> Pieces:
    """Removable pieces of a signal (trial, channel, time): its segments, or each sample for itself.

    Parameters
    ----------
    segments
        Integer labels (time,), (channel, time) or (trial, channel, time); negative ones are never removed.
    signal
        (trial, channel, time).

    Raises
    ------
    ValueError
        If the labels are not integers, do not fit the signal, or name no segment.
    """
    _, rows, length = signal.shape
    if segments is None:
        count = rows * length
        return Pieces(torch.arange(count).view(1, rows, length), count)
    labelled = _labelled(segments)
    labels = labelled.values
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Segments are {labels.dtype}; expected integer labels (negative where nothing is removed).")
    expected = tuple(signal.sizes[str(dim)] for dim in labelled.dims)
    if labels.shape != expected:
        raise ValueError(
            f"Segments have shape {labels.shape} over {labelled.dims}; the signal has {expected}. "
            "Label every sample of the signal."
        )
    names, inverse = np.unique(labels, return_inverse=True)
    stays = int((names < 0).sum())
    if stays == len(names):
        raise ValueError("Segments hold no label of 0 or more, so nothing can be removed; check the labels.")
    numbers: NDArray[np.int64] = np.maximum(inverse.reshape(labels.shape) - stays, -1).astype(np.int64)
    if numbers.ndim < 3:
        numbers = np.broadcast_to(numbers, (1, rows, length)).copy()
    return Pieces(torch.from_numpy(numbers), len(names) - stays)


def _template(signal: xr.DataArray) -> xr.DataArray:
    if "trial" in signal.dims:
        signal = signal.isel(trial=0, drop=True)
    if set(signal.dims) != {"channel", "time"}:
        raise ValueError(f"The signal has dimensions {signal.dims}; expected channel and time, with or without trial.")
    template = xr.zeros_like(signal.transpose("channel", "time"), dtype=np.int64)
    template.attrs.clear()
    return template.rename("segment")


def _slice_labels(length: int, count: int) -> NDArray[np.int64]:
    if not 1 <= count <= length:
        raise ValueError(f"count is {count}; expected 1 to {length}, the number of samples in time.")
    return np.arange(length) * count // length


def _labelled(array: ArrayLike) -> xr.DataArray:
    if isinstance(array, xr.DataArray):
        known = _DIMS_BY_NUMBER.get(array.ndim)
        if known is None or set(array.dims) != set(known):
            raise ValueError(
                f"Segments have dimensions {array.dims}; expected (time,), (channel, time) or (trial, channel, time)."
            )
        return array.transpose(*known)
    values = np.asarray(array)
    if values.ndim not in _DIMS_BY_NUMBER:
        raise ValueError(
            f"Segments have {values.ndim} dimensions; expected (time,), (channel, time) or (trial, channel, time)."
        )
    return xr.DataArray(values, dims=_DIMS_BY_NUMBER[values.ndim])
