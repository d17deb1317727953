"""Labels that say which samples of a signal belong together, and whether an array fits a signal."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.explanation import DIMENSIONS


def numbered_segments(segments: ArrayLike, signal: xr.DataArray) -> tuple[NDArray[np.int64], int]:
    """Return the number of the segment that each sample belongs to, and how many there are.

    Parameters
    ----------
    segments
        Integer labels over any of the signal's dimensions, negative where a sample belongs to none; a plain array as
        `labelled_segments` takes it.
    signal
        Any dimensions, trial first.

    Returns
    -------
    numbers : array of int
        In the signal's dimensions, of size 1 where the labels have none; numbered from 0 in the order of the labels,
        -1 for none.
    count : int

    Raises
    ------
    ValueError
        If the labels are not integers, do not fit the signal, or name no segment.
    """
    labelled = labelled_segments(segments, signal)
    if not np.issubdtype(labelled.dtype, np.integer):
        raise ValueError(f"Segments are {labelled.dtype}; expected integer labels (negative where nothing is removed).")
    same_places(labelled, signal, "Segments")
    labels = labelled.transpose(*(dim for dim in signal.dims if dim in labelled.dims)).values
    names, inverse = np.unique(labels, return_inverse=True)
    stays = int((names < 0).sum())
    if stays == len(names):
        raise ValueError("Segments hold no label of 0 or more, so nothing can be removed; check the labels.")
    numbers: NDArray[np.int64] = np.maximum(inverse.reshape(labels.shape) - stays, -1).astype(np.int64)
    return numbers.reshape([signal.sizes[d] if d in labelled.dims else 1 for d in signal.dims]), len(names) - stays


def labelled_segments(array: ArrayLike, signal: xr.DataArray | None = None) -> xr.DataArray:
    """A labelled array as it is, a plain one with the dimensions it is taken for."""
    if isinstance(array, xr.DataArray):
        return array
    values = np.asarray(array)
    if signal is None or signal.dims == DIMENSIONS:
        if not 1 <= values.ndim <= len(DIMENSIONS):
            raise ValueError(
                f"Segments have {values.ndim} dimensions; expected (time,), (channel, time) or (trial, channel, time), "
                "or a labelled array."
            )
        return xr.DataArray(values, dims=DIMENSIONS[-values.ndim :])
    for dims in (signal.dims, signal.dims[1:]):
        if values.shape == tuple(signal.sizes[dim] for dim in dims):
            return xr.DataArray(values, dims=dims)
    raise ValueError(
        f"Segments have shape {values.shape}; expected that of the signal {dict(signal.sizes)} or of one trial. Give "
        'an xarray.DataArray to say which dimensions they are over, e.g. xr.DataArray(labels, dims="time").'
    )


def same_places(
    array: xr.DataArray, signal: xr.DataArray, what: str, free: Collection[str] = (), of: str = "the signal"
) -> None:
    """Compare sizes and coordinates along the dimensions of `array` with the signal's, `free` ones aside.

    Raises
    ------
    ValueError
        If a dimension is none of the signal's, has another size, or names other places (channels in another
        order, other times), which would silently mix them up.
    """
    strange = [str(dim) for dim in array.dims if dim not in signal.dims]
    if strange:
        raise ValueError(
            f"{what} have dimensions {array.dims}, of which {of} {signal.dims} lacks {', '.join(strange)}; "
            f"label them with dimensions of {of}."
        )
    for dim in set(map(str, array.dims)) - set(free):
        if array.sizes[dim] != signal.sizes[dim]:
            shape, expected = tuple(array.sizes.values()), tuple(signal.sizes[found] for found in array.dims)
            raise ValueError(
                f"{what} have shape {shape} over {array.dims}; {of} has {expected}. "
                f"Give one entry for every sample of {of}."
            )
        if dim in array.indexes and dim in signal.indexes:
            here, there = array[dim].values, signal[dim].values
            numbers = here.dtype.kind in "fiu" and there.dtype.kind in "fiu"
            if not (_close(here, there) if numbers else np.array_equal(here, there)):
                raise ValueError(
                    f"{what} and {of} have different coordinates along {dim}, from {here[0]} to {here[-1]} and "
                    f"from {there[0]} to {there[-1]}; bring them into the same order with sel or reindex."
                )


def _close(one: ArrayLike, two: ArrayLike) -> bool:
    """Whether two coordinates are the same but for rounding, which is small beside the way to the next sample."""
    here, there = np.asarray(one, np.float64), np.asarray(two, np.float64)
    step = np.abs(np.diff(there)).min() if len(there) > 1 else np.abs(there).max()
    return bool(np.abs(here - there).max() <= 1e-3 * step)
