"""Labelled signals: arrays (trial, channel, time) that know their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr


def labelled_signal(
    values: npt.ArrayLike,
    channel: Sequence[str],
    time: npt.ArrayLike,
    time_units: str,
    units: str | Sequence[str],
    trial: Mapping[str, Any] | None = None,
    *,
    name: str,
    **attrs: Any,
) -> xr.DataArray:
    """Build a labelled signal, as every reader of a domain returns it.

    Parameters
    ----------
    values : array_like, shape (trial, channel, time)
        The signal.
    channel : sequence of str
        Channel names, all different.
    time : array_like, shape (time,)
        Instants, in `time_units`.
    time_units : str
        Units of the time axis, such as "s".
    units : str or sequence of str
        One unit for all channels, or one per channel.
    trial : mapping, optional
        Coordinates along trial: name -> values.
    name : str
        Name of the array.
    **attrs
        Further attributes, such as title and source.

    Returns
    -------
    xarray.DataArray
        With ``attrs["units"]`` when all channels share one unit, and the coordinate "unit" along channel when
        not.
    """
    if len(set(channel)) != len(channel):
        raise ValueError(f"Channel names must differ from each other, got {list(channel)}; rename the repeated ones.")
    coords: dict[str, Any] = {
        "channel": np.asarray(channel, dtype=str),
        "time": ("time", np.asarray(time), {"units": time_units}),
    }
    coords.update({key: ("trial", np.asarray(column)) for key, column in (trial or {}).items()})
    signal = xr.DataArray(np.asarray(values), dims=("trial", "channel", "time"), coords=coords, name=name, attrs=attrs)
    return with_units(signal, [units] * len(channel) if isinstance(units, str) else list(units))


def units_of(signal: xr.DataArray) -> list[str]:
    """Unit of every channel, in order; empty strings where none is stated."""
    if "unit" in signal.coords:
        return [str(unit) for unit in np.atleast_1d(signal.coords["unit"].values)]
    count = signal.sizes.get("channel", 1)
    return [str(signal.attrs.get("units", ""))] * count


def with_units(signal: xr.DataArray, units: Sequence[str]) -> xr.DataArray:
    """The same signal with one unit per channel, as an attribute if they agree and as a coordinate if not."""
    signal = signal.drop_vars("unit", errors="ignore")
    attrs = {key: value for key, value in signal.attrs.items() if key != "units"}
    if len(set(units)) == 1:
        return signal.assign_attrs(units=units[0])
    signal = signal.copy(deep=False)
    signal.attrs = attrs
    return signal.assign_coords(unit=("channel", np.asarray(units, dtype=str)))


def sampling_rate(signal: xr.DataArray) -> float:
    """Samples per second of an evenly spaced time axis in seconds.

    Raises
    ------
    ValueError
        If the axis is not in seconds, has fewer than two instants, is uneven, or contradicts ``attrs["sfreq"]``.
    """
    units = signal["time"].attrs.get("units", "s")
    if units != "s":
        raise ValueError(f"The time axis is in {units!r}; expected seconds, convert it and set its units to 's'.")
    time = np.asarray(signal["time"].values, dtype=float)
    steps = np.diff(time)
    if len(steps) == 0 or steps.min() <= 0 or np.ptp(steps) > 0.01 * steps.mean():
        raise ValueError(f"The time axis of {len(time)} instants is not evenly spaced and rising; resample the signal.")
    rate = (len(time) - 1) / float(time[-1] - time[0])
    stated = float(signal.attrs.get("sfreq", rate))
    if abs(stated - rate) > 0.01 * rate:
        raise ValueError(f"The signal states {stated:g} Hz but its time axis has {rate:g} Hz; correct attrs['sfreq'].")
    return stated
