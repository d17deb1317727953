"""What plots read from an explanation: one channel's arrays, positions in time, and axis labels."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

_ARRAY_DIMS = {1: ("time",), 2: ("trial", "time"), 3: ("trial", "channel", "time")}

Explanation = xr.Dataset | tuple[ArrayLike, ArrayLike]


def axis_label(coordinate: xr.DataArray) -> str:
    """Name of a coordinate with its units, e.g. ``"time (s)"``; units that name the thing stand alone.

    "% stance" says what is counted, so that "time" would add nothing.
    """
    name = str(coordinate.attrs.get("long_name") or coordinate.name)
    units = str(coordinate.attrs.get("units", ""))
    if not units:
        return name
    return units if units.startswith("% ") else f"{name} ({units})"


def signal_label(signal: xr.DataArray) -> str:
    """Channel, or else name, of one channel's signal with its units, e.g. ``"vertical (BW)"``."""
    name = str(signal.attrs.get("long_name") or signal.attrs.get("title") or signal.name or "signal")
    parts = [name] if "channel" not in signal.coords else [str(signal["channel"].item())]
    units = str(signal["unit"].item()) if "unit" in signal.coords else str(signal.attrs.get("units", ""))
    return " ".join([*parts, f"({units})"] if units else parts)


def signal_and_relevance(explanation: Explanation) -> tuple[xr.DataArray, xr.DataArray]:
    """Signal and relevance, both (trial, channel, time)."""
    if isinstance(explanation, xr.Dataset):
        missing = {"signal", "relevance"} - set(explanation.data_vars)
        if missing:
            raise ValueError(f"The explanation has no variable {missing.pop()!r}; expected signal and relevance.")
        signal, relevance = explanation["signal"], explanation["relevance"]
    else:
        signal, relevance = (
            _labelled(name, values) for name, values in zip(("signal", "relevance"), explanation, strict=True)
        )
    if set(signal.dims) != set(relevance.dims) or dict(signal.sizes) != dict(relevance.sizes):
        raise ValueError(
            f"signal has sizes {dict(signal.sizes)} and relevance {dict(relevance.sizes)}; expected the same for both."
        )
    order = ("trial", "channel", "time")
    absent = [dim for dim in order if dim not in signal.dims]
    if "time" in absent or signal.ndim + len(absent) != 3:
        raise ValueError(f"signal has dimensions {signal.dims}; expected time, with or without trial and channel.")
    signal, relevance = (array.expand_dims(absent).transpose(*order) for array in (signal, relevance))
    return signal, relevance


def _labelled(name: str, values: ArrayLike) -> xr.DataArray:
    if isinstance(values, xr.DataArray):
        return values
    array = np.asarray(values)
    if array.ndim not in _ARRAY_DIMS:
        raise ValueError(
            f"{name} has {array.ndim} dimensions; expected (time,), (trial, time) or (trial, channel, time)."
        )
    return xr.DataArray(array, dims=_ARRAY_DIMS[array.ndim], name=name)


def one_channel(explanation: Explanation, channel: object) -> tuple[xr.DataArray, xr.DataArray]:
    """Signal and relevance of one channel, both (trial, time)."""
    signal, relevance = signal_and_relevance(explanation)
    if channel is None:
        if signal.sizes["channel"] > 1:
            raise ValueError(
                f"There are {signal.sizes['channel']} channels; say which to draw, one of "
                f"{', '.join(str(name) for name in signal['channel'].values)}."
            )
        return signal.isel(channel=0), relevance.isel(channel=0)
    if channel not in signal["channel"].values:
        raise ValueError(
            f"There is no channel {channel!r}; found {', '.join(str(name) for name in signal['channel'].values)}."
        )
    return signal.sel(channel=channel), relevance.sel(channel=channel)


def positions(coordinate: xr.DataArray) -> NDArray[np.float64]:
    """Numbers along an axis: the coordinate itself, or 0, 1, … where it holds no numbers."""
    values = coordinate.values
    if np.issubdtype(values.dtype, np.number):
        return np.asarray(values, dtype=np.float64)
    return np.arange(len(values), dtype=np.float64)


def edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of cells around their centres, one more than there are centres."""
    if len(centres) < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[1.5 * centres[0] - 0.5 * centres[1]], middle, [1.5 * centres[-1] - 0.5 * centres[-2]]])
