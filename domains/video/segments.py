"""The pieces of a clip that a manipulation test removes: frames, and space-time tubes.

All are labels for ``signalrp.validation.perturbation_curves(..., segments=...)``, with their names in
``attrs["names"]``.
"""

from __future__ import annotations

import xarray as xr

from signalrp.validation import patches

from .frames import seconds_of

__all__ = ["frame_segments", "tube_segments"]


def frame_segments(signal: xr.DataArray, frames: int = 1) -> xr.DataArray:
    """Frames, or groups of so many that follow each other, labels (frame,); the last group may be shorter.

    Parameters
    ----------
    signal : xarray.DataArray
        Over frame and others.
    frames : int
        Frames of a group.

    Raises
    ------
    ValueError
        If there is no dimension frame, or not so many frames.
    """
    labels = patches(signal, {"frame": frames})
    return labels.assign_attrs(names=_stretches(signal, frames))


def tube_segments(signal: xr.DataArray, frames: int = 4, size: int | tuple[int, int] = 8) -> xr.DataArray:
    """Space-time tubes: the same patch in frames that follow each other, labels (frame, row, column).

    Tubes at the right and the lower edge and at the end may be smaller.

    Parameters
    ----------
    signal : xarray.DataArray
        Over frame, row, column and others.
    frames : int
        Length of a tube.
    size : int or (int, int)
        Rows and columns of its patch, pixels.

    Raises
    ------
    ValueError
        If a dimension is missing, or has not so many frames or pixels.
    """
    height, width = (size, size) if isinstance(size, int) else size
    # counted along time, then downwards, whatever the order in which the signal has its dimensions
    dims = ("frame", "row", "column")
    missing = [dim for dim in dims if dim not in signal.dims]
    if missing:
        raise ValueError(f"Tubes need frame, row and column; found {signal.dims} without {' and '.join(missing)}.")
    one = signal.isel({dim: 0 for dim in signal.dims if dim not in dims}, drop=True).transpose(*dims)
    labels = patches(one, dict(zip(dims, (frames, height, width), strict=True)))
    rows = [f"row {start}" for start in range(0, one.sizes["row"], height)]
    columns = [f"column {start}" for start in range(0, one.sizes["column"], width)]
    times = _stretches(one, frames)
    return labels.assign_attrs(names=[f"{t}, {r}, {c}" for t in times for r in rows for c in columns])


def _stretches(signal: xr.DataArray, frames: int) -> list[str]:
    """Names of groups of frames: the times of the first and the last, or their numbers where there are none."""
    times = seconds_of(signal)
    unit, digits = (" s", 2) if "frame" in signal.coords else ("", 0)
    ends = [(times[start], times[start : start + frames][-1]) for start in range(0, len(times), frames)]
    return [
        f"{one:.{digits}f}{unit}" if one == last else f"{one:.{digits}f} to {last:.{digits}f}{unit}"
        for one, last in ends
    ]
