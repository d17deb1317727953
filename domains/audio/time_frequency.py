"""Relevance in time and frequency, of nets that hear waveforms and of nets that see spectrograms."""

from __future__ import annotations

import numpy as np
import xarray as xr

from signalrp.inspection import STFT, inspect

from .checks import sampling_rate

_LENGTH = 0.032
"""Seconds of a window: harmonics of most voices are told apart, and so are the phases of a plosive."""


def short_time(signal: xr.DataArray, n_fft: int | None = None, hop: int | None = None) -> STFT:
    """Return the short-time Fourier transform, with a Hann window, that sounds are looked at with.

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        For its sampling rate.
    n_fft : int, optional
        Samples of a window; by default 32 ms.
    hop : int, optional
        Samples from one frame to the next; by default a quarter of the window.

    Raises
    ------
    ValueError
        If window and hop do not fit each other, or time is not in evenly spaced seconds.
    """
    length = 2 * round(_LENGTH * sampling_rate(signal) / 2) if n_fft is None else n_fft
    return STFT("hann", length, max(1, length // 4) if hop is None else hop)


def time_frequency(explanation: xr.Dataset, n_fft: int | None = None, hop: int | None = None) -> xr.Dataset:
    """Return signal and relevance (trial, channel, frequency, frame).

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a net that hears waveforms, from ``signalrp.explain(..., per_unit=True)``, or what ``inspect`` made of it
        with an ``STFT``; or of a net that sees spectrograms, which is returned as it is.
    n_fft, hop
        See `short_time`; for waveforms alone.

    Raises
    ------
    ValueError
        If relevance is neither over time nor over frequency and frame, or an explanation of waveforms lacks
        ``per_unit``.
    """
    dims = set(explanation["relevance"].dims) if "relevance" in explanation else set()
    if {"frequency", "frame"} <= dims:
        return explanation
    if "time" not in dims:
        raise ValueError(
            f"Relevance over time, or over frequency and frame, is needed; found {tuple(explanation.sizes)}. Give what "
            "explain() returned, or inspect(explanation, STFT(...))."
        )
    return inspect(explanation, short_time(explanation["signal"], n_fft, hop))


def decibels(seen: xr.Dataset, below: float = 70.0) -> xr.DataArray:
    """Return the power of a signal in frequency and frame in dB, of every trial down to so many dB below its maximum.

    Parameters
    ----------
    seen : xarray.Dataset
        From `time_frequency`. What is not in dB yet is taken for magnitudes if its ``long_name`` says so, as that of
        `signalrp.inspect` does, and for power otherwise.
    below : float
        dB.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, frequency, frame)
    """
    dims = ("trial", "channel", "frequency", "frame")
    signal = seen["signal"].transpose(*dims).astype(np.float64)
    if signal.attrs.get("units") != "dB":
        factor = 20 if signal.attrs.get("long_name") == "magnitude" else 10
        signal = signal.copy(data=factor * np.log10(signal.values.clip(np.finfo(np.float64).tiny)))
    lowest = signal.max(dims[1:]) - below
    return signal.where(signal > lowest, lowest).transpose(*dims).assign_attrs(units="dB", long_name="power")
