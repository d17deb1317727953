"""Relevance where EEG is read besides electrodes and instants: in bands, in time and frequency, in components.

All of it by `signalrp.inspect`: nothing is lost on the way, so that sums over all bands, frames or components are those
of the relevance that went in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.inspection import DFT, STFT, Linear, inspect

from ._mne import mne
from .checks import sampling_rate
from .segments import BANDS, band_segments, component_segments

Scale = float | npt.ArrayLike | xr.DataArray


def relevance_by_band(
    explanation: xr.Dataset, bands: Mapping[str, tuple[float, float]] = BANDS, rest: str = "other"
) -> xr.DataArray:
    """Relevance per frequency band of each electrode.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``, with signals (trial, channel, time).
    bands : mapping of str to (float, float)
        From the lower limit, included, to the upper one, excluded, in Hz.
    rest : str
        Name of what lies at all other frequencies, last; absent if no frequency does.

    Returns
    -------
    xarray.DataArray, shape (trial, band, channel)
        Sums of relevance. Their sum over bands and channels is that of the explanation; relevance that has no place at
        a frequency (see `signalrp.inspect`) is in the coordinate ``lost`` along trial.

    Raises
    ------
    ValueError
        If the explanation lacks ``per_unit``, or a band holds no frequency of such short epochs.
    """
    seen = inspect(explanation, DFT())
    labels = band_segments(explanation["signal"], bands)
    return _summed(seen, labels, "band", rest)


def time_frequency(explanation: xr.Dataset, window: float = 0.25, step: float | None = None) -> xr.Dataset:
    """Relevance in time and frequency, by the short-time Fourier transform with a Hann window.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``, with signals (trial, channel, time).
    window : float
        Length of the window in s; frequencies are its reciprocal apart.
    step : float, optional
        From one frame to the next, in s; by default an eighth of the window.

    Returns
    -------
    xarray.Dataset
        From `signalrp.inspect`: ``relevance`` (trial, channel, frequency, frame), ``frame`` the middle of each frame in
        s. Frames around the ends of the epoch reach beyond it and are centred up to half a window outside.

    Raises
    ------
    ValueError
        If the explanation lacks ``per_unit``, or the window is longer than the epoch or shorter than four samples.
    """
    rate = sampling_rate(explanation["signal"])
    length = round(window * rate)
    if length < 4:
        raise ValueError(
            f"A window of {window:g} s has {length} samples at {rate:g} Hz; give at least {4 / rate:.3g} s."
        )
    hop = max(1, round((window / 8 if step is None else step) * rate))
    return inspect(explanation, STFT("hann", length=length, hop=hop))


def ica_basis(ica: Any, info: Any, scale: Scale = 1.0) -> Linear:
    """Independent components of an ICA as a basis for `signalrp.inspect`, from which the signal can be had back.

    The components of an ICA make up the signal only where it was fitted without any loss. Whatever they leave, because
    fewer components were kept, because the reference took a dimension, or because an electrode was left out of the
    fit, stands in further coefficients, so that sums of relevance are kept: the "rest".

    Parameters
    ----------
    ica : mne.preprocessing.ICA
        Fitted, on electrodes that are all among those of the signal.
    info : mne.Info or sequence of str
        Of the signal, for the names of its electrodes in their order.
    scale : float or array (channel,)
        Volt per unit of the signal that was explained: ``Scaler.scale`` where it was scaled, found by name where it is
        labelled. What scaling subtracted does not matter.

    Returns
    -------
    signalrp.inspection.Linear
        Over channel, its coefficients in ``component``: "ICA000", "ICA001" … as MNE calls them, then "rest000" …. Those
        of components are ``ica.get_sources``, but for a constant.

    Raises
    ------
    ValueError
        If the ICA was not fitted, knows electrodes that the signal lacks, or has more components than its data had
        dimensions.
    """
    names = list(info if not hasattr(info, "ch_names") else info.ch_names)
    if ica.current_fit == "unfitted":
        raise ValueError("The ICA was not fitted; call ica.fit(epochs) before.")
    absent = [name for name in ica.ch_names if name not in names]
    if absent:
        raise ValueError(
            f"The ICA was fitted on {', '.join(absent[:8])}{' ...' if len(absent) > 8 else ''}, which the signal "
            "lacks; fit it on the signal's electrodes."
        )
    columns = [names.index(name) for name in ica.ch_names]
    known, patterns = _unmixing(ica), _patterns(ica)
    count = len(known)
    off = np.abs(known @ patterns - np.eye(count)).max()
    if not off < 1e-6:
        raise ValueError(
            f"The ICA has {count} components, more than its data had dimensions, so that they cannot be told apart; "
            "fit it with n_components of the rank of the data, or 0.999999."
        )
    analysis, synthesis = np.zeros((count, len(names))), np.zeros((len(names), count))
    analysis[:, columns], synthesis[columns] = known, patterns
    # all that the components do not make up again: the identity less their part, of rank channels - components
    left, size, right = np.linalg.svd(np.eye(len(names)) - synthesis @ analysis)
    others = len(names) - count
    analysis = np.vstack([analysis, right[:others]])
    synthesis = np.hstack([synthesis, left[:, :others] * size[:others]])
    volts = _by_name(scale, names)
    labels = [f"ICA{number:03d}" for number in range(count)] + [f"rest{number:03d}" for number in range(others)]
    return Linear(analysis * volts, synthesis / volts[:, None], dim="channel", names=labels)


def relevance_by_component(explanation: xr.Dataset, basis: Linear) -> xr.DataArray:
    """Relevance of each independent component over time.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``, with signals (trial, channel, time).
    basis : signalrp.inspection.Linear
        From `ica_basis`.

    Returns
    -------
    xarray.DataArray, shape (trial, component, time)
        The last component, "rest", is all that the ICA does not explain; absent if that is nothing. Their sum is the
        relevance of all electrodes at each instant.

    Raises
    ------
    ValueError
        If the explanation lacks ``per_unit``, or has other electrodes than the basis.
    """
    return _summed(inspect(explanation, basis), component_segments(basis), "component", "rest")


def _summed(seen: xr.Dataset, labels: xr.DataArray, dim: str, rest: str) -> xr.DataArray:
    """Sums of relevance over the segments of one dimension, which then is `dim`, behind trial."""
    (old,) = labels.dims
    names = list(labels.attrs["names"])
    numbers = labels.values
    if (numbers < 0).any():
        numbers, names = np.where(numbers < 0, len(names), numbers), [*names, rest]
    relevance = seen["relevance"].transpose("trial", old, ...)
    summed = np.zeros((relevance.shape[0], len(names), *relevance.shape[2:]))
    for number in range(len(names)):
        summed[:, number] = relevance.values[:, numbers == number].astype(np.float64).sum(1)
    coords = {name: c for name, c in relevance.coords.items() if old not in c.dims}
    for name in ("label", "target", "lost"):
        if name in seen and seen[name].dims == ("trial",):
            coords[name] = seen[name]
    dims = ("trial", dim, *relevance.dims[2:])
    return xr.DataArray(summed, {**coords, dim: names}, dims, "relevance", {"units": "relevance"})


def _unmixing(ica: Any) -> npt.NDArray[np.float64]:
    """Sources per volt, (component, channel): what the ICA makes of one volt at each electrode, less what of none.

    Asked of the ICA itself, all that it does before is in it: scaling, whitening by a noise covariance, projectors.
    """
    count = len(ica.ch_names)
    volts = np.hstack([np.zeros((count, 1)), np.eye(count)])
    sources = ica.get_sources(mne.EvokedArray(volts, ica.info, verbose="error")).data
    return np.asarray(sources[:, 1:] - sources[:, :1])


def _patterns(ica: Any) -> npt.NDArray[np.float64]:
    """Volts per source, (channel, component)."""
    whitened = ica.get_components()
    if ica.noise_cov is None:
        return np.asarray(whitened * ica.pre_whitener_)
    return np.asarray(np.linalg.pinv(ica.pre_whitener_, rcond=1e-14) @ whitened)


def _by_name(scale: Scale, names: list[str]) -> npt.NDArray[np.float64]:
    if isinstance(scale, xr.DataArray):
        absent = [name for name in names if name not in scale["channel"].values]
        if absent:
            raise ValueError(f"The scale has no electrode {absent[0]!r}; give one for every electrode of the signal.")
        scale = scale.sel(channel=names).values
    values = np.asarray(scale, dtype=np.float64)
    if values.shape not in ((), (len(names),)) or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"The scale must be one positive number, or one for each of {len(names)} electrodes.")
    return np.broadcast_to(values, (len(names),))
