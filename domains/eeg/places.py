"""Electrodes × windows, the places of a trial, and how unusual a trial is at each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

WINDOW = 0.05
"""Length of the windows in which relevance and artefacts are looked at, s."""

# The median absolute deviation of a normal distribution, times this, is its standard deviation
# (Rousseeuw and Croux 1993, doi:10.1080/01621459.1993.10476408).
_NORMAL = 1.4826


def window_edges(time: xr.DataArray, length: float) -> npt.NDArray[np.int64]:
    """First sample of every window, and the end: whole windows of about `length` s, as equal as can be.

    Raises
    ------
    ValueError
        If the length is not positive or longer than the trial.
    """
    values = np.asarray(time.values, dtype=np.float64)
    step = float(np.median(np.diff(values))) if len(values) > 1 else 0.0
    duration = step * len(values)
    if not 0 < length <= duration * (1 + 1e-9):
        raise ValueError(f"A window of {length:g} s does not fit a trial of {duration:g} s; give one in between.")
    count = max(1, min(len(values), round(duration / length)))
    return np.round(np.linspace(0, len(values), count + 1)).astype(np.int64)


def window_coords(time: xr.DataArray, edges: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Coordinates along window: when it starts and stops, in s; it stops where the next starts."""
    values = np.asarray(time.values, dtype=np.float64)
    step = (values[-1] - values[0]) / max(1, len(values) - 1)
    limits = np.append(values, values[-1] + step)[edges]
    return {
        "window": np.arange(len(edges) - 1),
        "window_start": ("window", limits[:-1], {"units": "s"}),
        "window_stop": ("window", limits[1:], {"units": "s"}),
    }


def window_sums(values: npt.NDArray[Any], edges: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Sum over every window of the last axis."""
    return np.add.reduceat(values, edges[:-1], axis=-1)


def robust_z(
    values: npt.ArrayLike, reference: npt.ArrayLike | None = None, floor: float | None = None
) -> npt.NDArray[np.float64]:
    """How many robust standard deviations every trial lies above the median of the reference trials.

    Parameters
    ----------
    values : array_like, shape (trial, ...)
    reference : array_like, shape (reference trial, ...), optional
        By default all *other* trials of `values`: a trial never counts among those it is compared with.
    floor : float, optional
        Positions that vary less are held to this quantile of the spread over all positions, so that next to nothing
        does not become outstanding there.

    Returns
    -------
    numpy.ndarray
        Of the shape of values; 0 where the reference does not vary and the trial does not differ, and infinite
        where only the trial does.
    """
    x = np.asarray(values, dtype=np.float64)
    if reference is None:
        centre, spread = others(x)
    else:
        y = np.asarray(reference, dtype=np.float64)
        centre = np.median(y, axis=0, keepdims=True)
        spread = _NORMAL * np.median(np.abs(y - centre), axis=0, keepdims=True)
    if floor is not None:
        spread = np.maximum(spread, np.quantile(spread, floor, axis=tuple(range(1, x.ndim)), keepdims=True))
    difference = x - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / spread)


def others(x: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Median and robust standard deviation of all other trials, both of the shape of x (trial, ...), exact.

    Without one trial, the median is one of three values: that without a low one, the middle one, or a high one.

    Raises
    ------
    ValueError
        If there are fewer than three trials.
    """
    count = len(x)
    if count < 3:
        raise ValueError(f"There are {count} trials; a trial needs at least two others to be compared with.")
    rank, centre = _median_of_others(x)
    spread = np.empty_like(centre)
    middle = (count - 1) // 2
    for typical, chosen in ((0, rank < middle), (middle, rank == middle), (count - 1, rank > middle)):
        at = np.take_along_axis(centre, (rank == typical).argmax(0)[None], axis=0)
        spread = np.where(chosen, _median_of_others(np.abs(x - at))[1], spread)
    return centre, _NORMAL * spread


def _median_of_others(x: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Rank of every trial, and the median of the others."""
    order = np.argsort(x, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    ordered = np.take_along_axis(x, order, axis=0)
    below, above = (len(x) - 2) // 2, (len(x) - 1) // 2
    # who stands behind the one left out moves up by one
    medians = [np.take_along_axis(ordered, k + (rank <= k), axis=0) for k in (below, above)]
    return rank, (medians[0] + medians[1]) / 2
