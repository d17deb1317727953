"""Which electrodes lie near a place of the 10-10 system, whatever they are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from .regions import directions, ten_ten


def electrodes(signal: xr.DataArray | xr.Dataset, places: Sequence[str], within: float = 13.0) -> list[str]:
    """Names of the electrodes at some places of the 10-10 system or near them, in the order of the signal.

    Parameters
    ----------
    signal : xarray.DataArray or xarray.Dataset
        With positions x, y, z (head frame, m) along channel, or with channel names of the 10-10 system.
    places : sequence of str
        Such as "C3"; places of 64 electrodes are some 20 degrees apart.
    within : float
        Angle in degrees, seen from the middle of the head, at which an electrode still belongs to a place.

    Returns
    -------
    list of str
        Empty where there is none.

    Raises
    ------
    ValueError
        If a place is unknown, or an electrode has neither a position nor a name of the 10-10 system.
    """
    known, towards = ten_ten()
    unknown = [place for place in places if place not in known]
    if unknown:
        raise ValueError(f"There is no place {unknown[0]!r} in the 10-10 system; choose of {', '.join(known)}.")
    wanted = towards[[known.index(place) for place in places]]
    # channels that are no EEG have no direction, and NaN is never near
    near = (angles(signal, wanted) <= within).any(1)
    return [str(name) for name in signal["channel"].values[near]]


def angles(signal: xr.DataArray | xr.Dataset, towards: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Angle in degrees between every electrode and some directions (direction, 3), (channel, direction)."""
    return np.rad2deg(np.arccos(np.clip(directions(signal) @ towards.T, -1, 1)))


def placed(signal: xr.DataArray | xr.Dataset) -> bool:
    """Whether it is known where the electrodes are, by position or by name."""
    try:
        directions(signal)
    except ValueError:
        return False
    return True
