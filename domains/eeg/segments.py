"""The pieces that a manipulation test of EEG removes: electrodes, regions, windows, bands, components, artefacts.

All are labels for ``signalrp.validation.perturbation_curves(..., segments=...)``, with their names in
``attrs["names"]``. Bands and components are coefficients: give the explanation that `signalrp.inspect` returned, and
the basis as well, ``basis=DFT()`` or ``basis=ica_basis(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.inspection import DFT, Linear
from signalrp.validation import from_masks

from .regions import region_names, regions

BANDS: dict[str, tuple[float, float]] = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, np.inf),
}
"""The bands of clinical EEG in Hz, each up to where the next begins (Kane et al. 2017,
doi:10.1016/j.cnp.2017.07.002); gamma to the highest frequency there is."""

REST = "rest"
_ROUNDING = 1e-3
"""What a coordinate in single precision may be off by, ms or Hz; samples and frequencies lie much further apart."""


def electrode_segments(signal: xr.DataArray) -> xr.DataArray:
    """Every electrode as a whole, labels (channel,)."""
    names = [str(name) for name in signal["channel"].values]
    return xr.DataArray(
        np.arange(len(names)), {"channel": signal["channel"].values}, ("channel",), attrs={"names": names}
    )


def region_segments(signal: xr.DataArray, sides: bool = False) -> xr.DataArray:
    """All electrodes of a region together, labels (channel,); channels that are no EEG stay.

    Parameters
    ----------
    signal : xarray.DataArray
        With positions, or with names of the 10-10 system; see `regions`.
    sides : bool
        Left, midline and right apart.

    Raises
    ------
    ValueError
        If an electrode has neither a position nor a name of the 10-10 system.
    """
    found, names = regions(signal, sides), region_names(signal, sides)
    return _labels("channel", signal["channel"].values, {name: found.values == name for name in names})


def window_segments(signal: xr.DataArray, windows: float | Mapping[str, tuple[float, float]]) -> xr.DataArray:
    """Windows of time across all electrodes, labels (time,).

    Parameters
    ----------
    signal : xarray.DataArray
        Over time in s.
    windows : float or mapping of str to (float, float)
        In ms: the width of windows that follow each other from the first sample to the last; what is left at the end
        and shorter than half of it belongs to the last window (epochs of MNE hold both ends, so that a single sample is
        left). Or the limits of each, the upper excluded, by name. What lies in none stays.

    Raises
    ------
    ValueError
        If time is not in s, the width is not positive, or a window holds no sample or overlaps another.
    """
    time = _milliseconds(signal)
    if isinstance(windows, Mapping):
        return _labels(
            "time", signal["time"].values, {name: _within(time, *limits) for name, limits in windows.items()}
        )
    if not windows > 0:
        raise ValueError(f"The width of a window is {windows:g} ms; give a positive one.")
    number = np.floor((time - time[0] + _ROUNDING) / windows).astype(np.int64)
    number = np.unique(number, return_inverse=True)[1]
    sizes = np.bincount(number)
    if len(sizes) > 1 and sizes[-1] < sizes[0] / 2:
        number = np.minimum(number, len(sizes) - 2)
    masks = {f"{time[number == n][0]:.0f} to {time[number == n][-1]:.0f} ms": number == n for n in np.unique(number)}
    return _labels("time", signal["time"].values, masks)


def band_segments(signal: xr.DataArray, bands: Mapping[str, tuple[float, float]] = BANDS) -> xr.DataArray:
    """Frequency bands of the whole epoch and all electrodes, labels (frequency,) for ``basis=DFT()``.

    Parameters
    ----------
    signal : xarray.DataArray
        That was explained, over time.
    bands : mapping of str to (float, float)
        From the lower limit, included, to the upper one, excluded, in Hz. Frequencies in none stay.

    Raises
    ------
    ValueError
        If a band holds no frequency of such short epochs, or overlaps another.
    """
    frequency = np.asarray(DFT().bind(signal).coords["frequency"].values)
    masks = {}
    for name, (low, high) in bands.items():
        masks[name] = _within(frequency, low, high)
        if not masks[name].any():
            raise ValueError(
                f"The band {name} ({low:g} to {high:g} Hz) holds none of the frequencies of these epochs, "
                f"{frequency[1]:.3g} Hz apart up to {frequency[-1]:.3g} Hz; leave it out, or take longer epochs."
            )
    return _labels("frequency", frequency, masks)


def component_segments(basis: Linear) -> xr.DataArray:
    """Every independent component as a whole, labels (component,), and all that the ICA leaves as one, the last.

    Parameters
    ----------
    basis : signalrp.inspection.Linear
        From `ica_basis`.
    """
    names = [str(name) for name in basis.names]
    known = [name for name in names if not name.startswith(REST)]
    numbers = [known.index(name) if name in known else len(known) for name in names]
    listed = known if len(known) == len(names) else [*known, REST]
    return xr.DataArray(numbers, {"component": basis.names}, ("component",), attrs={"names": listed})


def artefact_segments(
    signal: xr.DataArray, artefacts: Mapping[str, npt.ArrayLike], width: float | None = None
) -> xr.DataArray:
    """Where artefacts are in each trial, labels (trial, time) or (trial, channel, time).

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        That was explained.
    artefacts : mapping of str to array of bool
        By name, such as "blink" and "muscle": where each is, (trial, time) or (trial, channel, time). Where several
        are, the first named counts.
    width : float, optional
        In ms. Cut all of the rest into windows so long as well, so that the removal of artefacts has something to be
        compared with; by default the rest stays.

    Raises
    ------
    ValueError
        If there is no artefact at all, or a mask is not boolean or of another shape.
    """
    if not artefacts:
        raise ValueError("There are no artefacts; give at least one mask by its name.")
    whole = [signal.sizes[dim] for dim in ("trial", "channel", "time")]
    masks = {name: np.asarray(mask) for name, mask in artefacts.items()}
    for name, mask in masks.items():
        if mask.dtype != bool or mask.shape not in (tuple(whole), (whole[0], whole[2])):
            raise ValueError(
                f"The mask of {name} is {mask.dtype} of shape {mask.shape}; expected bool (trial, time) or (trial, "
                f"channel, time), {(whole[0], whole[2])} or {tuple(whole)}."
            )
    dims = ("trial", "channel", "time") if any(mask.ndim == 3 for mask in masks.values()) else ("trial", "time")
    shape = [signal.sizes[dim] for dim in dims]
    labels = np.full(shape, -1)
    for number, mask in reversed(list(enumerate(masks.values()))):
        labels[np.broadcast_to(mask if mask.ndim == len(dims) else mask[:, None], shape)] = number
    if (labels < 0).all():
        raise ValueError(f"No sample of any trial is marked as {' or '.join(masks)}; there is nothing to remove.")
    names = list(masks)
    if width is not None:
        windows = window_segments(signal, width)
        labels = np.where(labels < 0, len(names) + windows.values, labels)
        names += windows.attrs["names"]
    coords = {dim: signal[dim].values for dim in dims if dim in signal.indexes}
    return xr.DataArray(labels, coords, dims, attrs={"names": names})


def _labels(dim: str, coordinate: npt.NDArray[np.generic], masks: Mapping[str, npt.NDArray[np.bool_]]) -> xr.DataArray:
    return from_masks({name: xr.DataArray(mask, {dim: coordinate}, (dim,)) for name, mask in masks.items()})


def _within(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.bool_]:
    return (values >= low - _ROUNDING) & (values < high - _ROUNDING)


def _milliseconds(signal: xr.DataArray) -> npt.NDArray[np.float64]:
    units = signal["time"].attrs.get("units", "s")
    if units != "s":
        raise ValueError(
            f"Windows are in ms of a time axis in s, found {units!r}; convert it and set its units to 's'."
        )
    return 1e3 * np.asarray(signal["time"].values, dtype=np.float64)


__all__ = [
    "BANDS", "artefact_segments", "band_segments", "component_segments", "electrode_segments", "region_segments",
    "window_segments",
]  # fmt: skip
