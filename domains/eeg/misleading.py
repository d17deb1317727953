"""The electrodes and windows at which relevance speaks for the wrong class, as it does not in correct trials."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .places import WINDOW, robust_z, window_coords, window_edges, window_sums

# What misled is where much is at stake: spread in the tenth of places where relevance varies most.
_FLOOR = 0.9


def find_misleading(
    explained: xr.Dataset,
    label: npt.NDArray[np.int64],
    rival: npt.NDArray[np.int64],
    correct: npt.NDArray[np.bool_],
    *,
    window: float = WINDOW,
) -> xr.Dataset:
    """Say at every electrode and window how much more a trial speaks for its rival than correct trials do.

    Evidence is the relevance for the rival class less that for the true class, summed over the window. What rules
    conserve of the outputs, it divides among places: summed over all of them it is the difference of the two outputs.
    It is compared with correct trials of the same true class, asked about the same rival, by `robust_z`, a correct
    trial with the others; where evidence hardly varies it counts by the spread that the tenth of the places with most
    of it has.

    Parameters
    ----------
    explained : xarray.Dataset
        With ``class_relevance`` (trial, class, channel, time).
    label, rival : numpy.ndarray, shape (trial,)
        Numbers of the true class and of the one it is set against.
    correct : numpy.ndarray of bool, shape (trial,)
        Which trials are the standard.
    window : float
        Length of the windows, s.

    Returns
    -------
    xarray.Dataset
        ``evidence`` and ``robust_z`` (trial, channel, window).
    """
    maps = explained["class_relevance"].transpose("trial", "class", "channel", "time")
    edges = window_edges(maps["time"], window)
    sums = window_sums(maps.values.astype(np.float64), edges)
    rows = np.arange(len(label))
    evidence = sums[rows, rival] - sums[rows, label]
    z = np.empty_like(evidence)
    for true, other in sorted(set(zip(label.tolist(), rival.tolist(), strict=True))):
        mine, standard = (label == true) & (rival == other), correct & (label == true)
        standards = sums[standard, other] - sums[standard, true]
        wrong, right = mine & ~correct, mine & correct
        if wrong.any():
            z[wrong] = robust_z(evidence[wrong], standards, _FLOOR)
        if right.any():
            z[right] = robust_z(standards, floor=_FLOOR)[right[standard]]
    dims = ("trial", "channel", "window")
    coords: dict[Hashable, Any] = {
        name: c for name, c in explained.coords.items() if c.dims in (("trial",), ("channel",))
    }
    coords.update(window_coords(maps["time"], edges))
    return xr.Dataset({"evidence": (dims, evidence), "robust_z": (dims, z)}, coords)
