"""The pieces that a manipulation test of gait removes: phases of stance, channels, windows."""

from __future__ import annotations

import numpy as np
import xarray as xr

from signalrp.validation import channels, from_masks, windows

from .labelled import STANCE

PHASES: dict[str, tuple[float, float]] = {
    "loading response": (0.0, 19.0),
    "mid-stance": (19.0, 50.0),
    "terminal stance": (50.0, 81.0),
    "pre-swing": (81.0, 100.0),
}
"""Phases of stance in % stance: 0 to 12, 31, 50 and 62 % of the gait cycle (Perry and Burnfield 2010,
Gait Analysis, ISBN 978-1-55642-766-4), with stance taken as 62 % of the cycle. Initial contact is part of the
loading response."""


def stance_phases(signal: xr.DataArray) -> xr.DataArray:
    """Label every instant with the phase of stance it belongs to.

    Parameters
    ----------
    signal : xarray.DataArray
        Signal over 0 to 100 % stance.

    Returns
    -------
    xarray.DataArray
        Labels (time,), numbered as `PHASES` lists them; their names in ``attrs["names"]``.

    Raises
    ------
    ValueError
        If the time axis is not in % stance, or leaves 0 to 100.
    """
    time = signal["time"]
    if time.attrs.get("units") != STANCE:
        raise ValueError(
            f"Phases of stance need a time axis in {STANCE!r}, found units {time.attrs.get('units', 'none')!r}; "
            "use time_normalise on each stance."
        )
    values = np.asarray(time.values, dtype=float)
    if values.min() < 0 or values.max() > 100:
        raise ValueError(
            f"Phases of stance need a time axis within 0 to 100 % stance, found {values.min():g} to "
            f"{values.max():g}; cut the signal to its stance."
        )
    last = list(PHASES)[-1]
    masks = {
        name: xr.DataArray((values >= start) & ((values < end) | (name == last)), dims="time", coords={"time": time})
        for name, (start, end) in PHASES.items()
    }
    return from_masks(masks)


__all__ = ["PHASES", "channels", "stance_phases", "windows"]
