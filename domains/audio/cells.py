"""One grid in time and frequency for the relevance of several nets; no relevance is lost or made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

__all__ = ["in_cells", "limits"]

Array = npt.NDArray[np.float64]
_AT_ONCE = 32


def in_cells(relevance: xr.DataArray, frequency: npt.ArrayLike, frame: npt.ArrayLike) -> xr.DataArray:
    """Sum relevance into the cells of another grid; no relevance is lost or made.

    A bin is taken to reach halfway to its neighbours, and gives to every cell the share of it that lies there. What
    lies beyond the grid goes to the nearest cell.

    Parameters
    ----------
    relevance : xarray.DataArray
        Over trial, frequency (Hz), frame (s) and, perhaps, others, which are summed.
    frequency, frame : array_like
        Ascending limits of the cells, one more than there are cells, Hz and s.

    Returns
    -------
    xarray.DataArray, shape (trial, frequency, frame)
        float64; coordinates are the middles of the cells.

    Raises
    ------
    ValueError
        If relevance is not over these dimensions, or limits do not ascend.
    """
    dims = ("trial", "frequency", "frame")
    if not set(dims) <= set(relevance.dims):
        raise ValueError(f"Relevance is over {relevance.dims}, expected {', '.join(dims)}; use time_frequency first.")
    edges_of = {"frequency": np.asarray(frequency, np.float64), "frame": np.asarray(frame, np.float64)}
    shares = [_shares(relevance[dim].values.astype(np.float64), edges_of[dim], dim) for dim in edges_of]
    parts = []
    for start in range(0, relevance.sizes["trial"], _AT_ONCE):
        part = relevance.isel(trial=slice(start, start + _AT_ONCE)).astype(np.float64)
        summed = part.sum([dim for dim in part.dims if dim not in dims]).transpose(*dims).values
        parts.append(np.einsum("tfn,fc,nd->tcd", summed, *shares, optimize=True))
    coords = {dim: (dim, (edges[1:] + edges[:-1]) / 2, relevance[dim].attrs) for dim, edges in edges_of.items()}
    along = {name: value for name, value in relevance.coords.items() if value.dims == ("trial",)}
    return xr.DataArray(np.concatenate(parts), coords | along, dims, "relevance", {"units": "relevance"})


def _shares(middles: Array, edges: Array, dim: str) -> Array:
    """Which share of every bin lies in every cell, (bin, cell)."""
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"The limits of cells along {dim} are two or more ascending numbers, found {edges}.")
    if len(middles) > 1:
        between = (middles[1:] + middles[:-1]) / 2
        ends = np.concatenate([[2 * middles[0] - between[0]], between, [2 * middles[-1] - between[-1]]])
    else:
        ends = np.array([middles[0], middles[0]])
    low, high = (np.clip(side, edges[0], edges[-1]) for side in (ends[:-1], ends[1:]))
    overlap = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    shares = np.clip(overlap, 0, None)
    beyond = shares.sum(1) <= 0
    nearest = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, len(edges) - 2)
    shares[beyond, nearest[beyond]] = 1
    return shares / shares.sum(1, keepdims=True)


def limits(coordinates: list[npt.NDArray[np.generic]], size: float) -> Array:
    """Limits of cells from 0 on that hold the bins of both nets but for what lies before 0."""
    highest = max(float(values[-1]) for values in coordinates)
    return np.asarray(np.arange(max(1, int(np.ceil(highest / size - 1e-9))) + 1) * size, np.float64)
