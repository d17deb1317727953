"""Where relevance speaks for the wrong class as in no correct trial, and whether an artefact is there as well."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .places import WINDOW, robust_z, window_coords, window_edges, window_sums

PLACES = 5
"""How many places, electrodes × windows, count as those that misled a trial."""
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


def place_columns(
    misleading: xr.Dataset,
    label: npt.NDArray[np.int64],
    correct: npt.NDArray[np.bool_],
    places: int = PLACES,
) -> dict[str, Any]:
    """Return where every trial was misled most, a column of the table of trials by name; see `examine`."""
    z = misleading["robust_z"].values
    channels = misleading["channel"].values.astype(str)
    top = _highest(z, places)
    electrode, window = np.unravel_index(top, z.shape[1:])
    peak = z.reshape(len(z), -1).max(1)
    p = np.empty(len(z))
    for row, (height, true) in enumerate(zip(peak, label, strict=True)):
        standard = correct & (label == true)
        standard[row] = False
        p[row] = (1 + (peak[standard] >= height).sum()) / (1 + standard.sum())
    return {
        "peak_z": peak,
        "peak_p": p,
        "electrode": channels[electrode[:, 0]],
        "electrodes": [", ".join(dict.fromkeys(channels[found])) for found in electrode],
        "window_start": misleading["window_start"].values[window[:, 0]],
        "window_stop": misleading["window_stop"].values[window[:, 0]],
    }


def artefact_columns(misleading: xr.Dataset, artefacts: xr.Dataset | None, places: int = PLACES) -> dict[str, Any]:
    """Return which artefacts every trial has, and which of them are where it was misled; see `examine`.

    Raises
    ------
    ValueError
        If artefacts are of other trials, channels or windows than the relevance.
    """
    if artefacts is None:
        return {"artefacts": "", "coincides": ""}
    names = artefacts["artefact"].values.astype(str)
    place_z = _same_places(artefacts, misleading).transpose("trial", "artefact", "channel", "window").values
    present = artefacts["present"].transpose("trial", "artefact").values
    top = _highest(misleading["robust_z"].values, places)
    at_top = np.take_along_axis(place_z.reshape(*place_z.shape[:2], -1), top[:, None], axis=2)
    coincides = present & (at_top > artefacts.attrs["threshold"]).any(2)
    columns = {"artefacts": present, "coincides": coincides}
    return {key: [", ".join(names[row]) for row in held] for key, held in columns.items()}


def _same_places(artefacts: xr.Dataset, misleading: xr.Dataset) -> xr.DataArray:
    """How unusual artefacts are at the electrodes and windows of the relevance."""
    wanted = misleading["channel"].values.astype(str)
    absent = sorted(set(wanted) - set(artefacts["channel"].values.astype(str)))
    if absent:
        raise ValueError(
            f"Artefacts were not looked for at {', '.join(absent[:8])}; give find_artefacts all EEG channels, and "
            "examine those alone: explained.sel(channel=artefacts['channel'])."
        )
    if artefacts.sizes["trial"] != misleading.sizes["trial"]:
        raise ValueError(
            f"There are artefacts of {artefacts.sizes['trial']} trials and relevance of {misleading.sizes['trial']}; "
            "give both of the same trials."
        )
    for name in ("trial", "label", "subject"):
        if name in artefacts.coords and name in misleading.coords:
            one, two = artefacts[name].values, misleading[name].values
            if (one != two).any():
                raise ValueError(
                    f"Artefacts and relevance differ in {name!r} along trial; give both of the same trials."
                )
    one, two = artefacts["window_start"].values, misleading["window_start"].values
    if len(one) != len(two) or not np.allclose(one, two, rtol=0, atol=1e-6):
        raise ValueError(
            f"Artefacts were looked for in {len(one)} windows, relevance in {len(two)}; use the same "
            "window and the same time axis for both."
        )
    return artefacts["place_z"].sel(channel=wanted)


def _highest(z: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Numbers (trial, count) of the highest places of each trial in the order of memory, the highest first."""
    flat = z.reshape(len(z), -1)
    return np.argsort(-flat, axis=1, kind="stable")[:, :count]
