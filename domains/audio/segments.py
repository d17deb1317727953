"""The pieces that a masking test of sound removes: windows, formant bands, harmonics, parts of the sound.

All are labels for ``signalrp.validation.perturbation_curves(..., segments=...)``, with their names in
``attrs["names"]``. Bands and harmonics of a waveform are coefficients: give the explanation that `signalrp.inspect`
returned, and the basis as well, ``basis=DFT()`` or ``basis=STFT(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import uniform_filter1d

from signalrp.inspection import DFT
from signalrp.validation import from_masks

from .checks import sampling_rate
from .harmonics import harmonic_mask

__all__ = [
    "BANDS", "band_segments", "harmonic_segments", "part_segments", "sounding", "voicing_segments", "window_segments",
]  # fmt: skip

BANDS: dict[str, tuple[float, float]] = {
    "F0": (0.0, 300.0),
    "F1": (300.0, 900.0),
    "F2": (900.0, 2500.0),
    "F3": (2500.0, 3500.0),
    "above F3": (3500.0, np.inf),
}
"""Where the fundamental and the formants of most vowels of most adults lie, Hz (Peterson and Barney 1952,
doi:10.1121/1.1906875). Formants of other vowels, and of children, reach into the neighbours: a band is no formant."""

_FRAME = 0.020
"""Seconds over which loudness is averaged: two or more periods of most voices."""
_ROUNDING = 1e-6


def window_segments(signal: xr.DataArray, ms: float = 80.0) -> xr.DataArray:
    """Windows that follow each other, by default about as long as a phoneme; labels (time,), or (frame,).

    What is left at the end and shorter than half a window belongs to the last one.

    Parameters
    ----------
    signal : xarray.DataArray
        Over time, or, such as a spectrogram, over frames, in s.
    ms : float
        Length of a window in ms.

    Raises
    ------
    ValueError
        If there is neither time nor frame in s, or the length is not positive.
    """
    dim = _along(signal)
    if not ms > 0:
        raise ValueError(f"The length of a window is {ms:g} ms; give a positive one.")
    instants = 1e3 * signal[dim].values.astype(np.float64)
    number = np.unique(np.floor((instants - instants[0]) / ms + _ROUNDING), return_inverse=True)[1]
    sizes = np.bincount(number)
    if len(sizes) > 1 and sizes[-1] < sizes[0] / 2:
        number = np.minimum(number, len(sizes) - 2)
    masks = {}
    for n in range(number.max() + 1):
        inside = instants[number == n]
        masks[f"{inside[0]:.0f} to {inside[-1]:.0f} ms"] = number == n
    return from_masks({name: xr.DataArray(mask, {dim: signal[dim].values}, (dim,)) for name, mask in masks.items()})


def band_segments(signal: xr.DataArray, bands: Mapping[str, tuple[float, float]] = BANDS) -> xr.DataArray:
    """Frequency bands of the whole clip, labels (frequency,).

    Parameters
    ----------
    signal : xarray.DataArray
        Over frequency in Hz, as a spectrogram or the signal of an inspected explanation; or a waveform over time, whose
        bands are then those of ``basis=DFT()``.
    bands : mapping of str to (float, float)
        From the lower limit, included, to the upper one, excluded, in Hz. Frequencies in none stay.

    Raises
    ------
    ValueError
        If a band holds none of the frequencies, or overlaps another.
    """
    coords = signal.coords if "frequency" in signal.dims else DFT().bind(signal).coords
    frequency = np.asarray(coords["frequency"].values, np.float64)
    masks = {}
    for name, (low, high) in bands.items():
        masks[name] = xr.DataArray((frequency >= low) & (frequency < high), {"frequency": frequency}, ("frequency",))
        if not masks[name].any():
            raise ValueError(
                f"The band {name} ({low:g} to {high:g} Hz) holds none of the frequencies, {frequency[0]:.4g} to "
                f"{frequency[-1]:.4g} Hz; leave it out."
            )
    return from_masks(masks)


def harmonic_segments(
    explanation: xr.Dataset,
    f0: xr.DataArray | npt.ArrayLike,
    *,
    tolerance: float | None = None,
    harmonics: int | None = None,
) -> xr.DataArray:
    """The harmonics of the voice as one piece, and as another the same comb half a harmonic higher.

    Both hold about as many frequencies of every frame, so that removing one is the control of removing the other.

    Parameters
    ----------
    explanation : xarray.Dataset
        Over frequency in Hz, and perhaps frame in s: inspected, or of a net on spectrograms.
    f0, tolerance, harmonics
        See `signalrp.domains.audio.harmonics.harmonic_mask`.

    Returns
    -------
    xarray.DataArray
        Labels (trial, frequency) or (trial, frequency, frame): 0 "harmonics", 1 "between". Frames without voice stay,
        and frequencies that are as near to one as to the other, where the spectrum does not resolve the voice.

    Raises
    ------
    ValueError
        As in `harmonic_mask`, or if no frame of any trial has a voice that the spectrum resolves.
    """
    on, off = (harmonic_mask(explanation, f0, tolerance=tolerance, harmonics=harmonics, shift=s) for s in (0.0, 0.5))
    if not ((on & ~off).any() and (off & ~on).any()):
        raise ValueError(
            "No frame has harmonics that are apart from what lies between them; look for voice in f0 (not NaN), and "
            "take longer frames, or a smaller tolerance."
        )
    return from_masks({"harmonics": on & ~off, "between": off & ~on})


def sounding(signal: xr.DataArray, quiet: float = 40.0) -> xr.DataArray:
    """Where there is sound: 20 ms around the instant are at most so much quieter than the clip's loudest.

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        Clips, time in s.
    quiet : float
        dB below the loudest that count as silence.

    Returns
    -------
    xarray.DataArray
        bool (trial, time). A clip of zeros has no sound.

    Raises
    ------
    ValueError
        If there is no evenly spaced time in s, or `quiet` is not positive.
    """
    if not quiet > 0:
        raise ValueError(f"quiet is {quiet:g} dB; give a positive number of dB below the loudest.")
    _along(signal, "time")
    frame = max(1, round(_FRAME * sampling_rate(signal)))
    power = (signal.astype(np.float64) ** 2).mean([dim for dim in signal.dims if dim not in ("trial", "time")])
    power = power.transpose("trial", "time")
    # A running mean leaves rounding where everything is 0.
    mean = uniform_filter1d(power.values, frame, mode="constant").clip(min=0)
    loudest = mean.max(1, keepdims=True)
    coords = {"time": signal["time"].values}
    return xr.DataArray((mean >= loudest * 10 ** (-quiet / 10)) & (loudest > 0), coords, ("trial", "time"))


def voicing_segments(signal: xr.DataArray, f0: xr.DataArray, quiet: float = 40.0) -> xr.DataArray:
    """Voiced and unvoiced sound, and silence; labels (trial, time).

    Parameters
    ----------
    signal, quiet
        See `sounding`.
    f0 : xarray.DataArray, shape (trial, frame)
        From `signalrp.domains.audio.harmonics.fundamental`: sound is voiced where the nearest frame is not NaN.

    Raises
    ------
    ValueError
        If f0 is that of other trials, or as in `sounding`.
    """
    if f0.dims != ("trial", "frame") or len(f0) != signal.sizes["trial"]:
        raise ValueError(
            f"f0 is {dict(f0.sizes)}, of {signal.sizes['trial']} trials expected; give what fundamental() returns."
        )
    sound = sounding(signal, quiet)
    tracked = f0["frame"].values.astype(np.float64)
    middles = (tracked[1:] + tracked[:-1]) / 2
    voiced = np.isfinite(f0.values)[:, np.searchsorted(middles, signal["time"].values)]
    return _labels(sound, {"voiced": sound.values & voiced, "unvoiced": sound.values & ~voiced})


def part_segments(signal: xr.DataArray, onset: float = 80.0, offset: float = 80.0, quiet: float = 40.0) -> xr.DataArray:
    """The beginning of the sound, its end, what is between, and the silence around it; labels (trial, time).

    Parameters
    ----------
    signal, quiet
        See `sounding`. Pauses within the sound belong to it.
    onset, offset : float
        Lengths of the beginning and the end, ms. Of a sound shorter than both the beginning counts first.

    Raises
    ------
    ValueError
        If lengths are negative, or as in `sounding`.
    """
    if onset < 0 or offset < 0:
        raise ValueError(f"The onset is {onset:g} and the offset {offset:g} ms; neither can be negative.")
    sound = sounding(signal, quiet)
    begun = np.logical_or.accumulate(sound.values, axis=1)
    over = ~np.logical_or.accumulate(sound.values[:, ::-1], axis=1)[:, ::-1]
    inside, rate = begun & ~over, sampling_rate(signal) / 1e3
    count = inside.cumsum(1)
    first = inside & (count <= round(onset * rate))
    last = inside & ~first & (count > count[:, -1:] - round(offset * rate))
    return _labels(sound, {"onset": first, "steady": inside & ~first & ~last, "offset": last})


def _labels(sound: xr.DataArray, masks: Mapping[str, npt.NDArray[np.bool_]]) -> xr.DataArray:
    """Number the masks as listed, and all else, the silence, last; a kind that is nowhere keeps its number."""
    numbers = np.full(sound.shape, len(masks))
    for number, mask in enumerate(masks.values()):
        numbers[mask] = number
    return sound.copy(data=numbers).assign_attrs(names=[*masks, "silence"])


def _along(signal: xr.DataArray, *dims: str) -> str:
    """The dimension in time, in s."""
    dims = dims or ("time", "frame")
    found = next((dim for dim in dims if dim in signal.dims and dim in signal.coords), None)
    if found is None or signal[found].attrs.get("units", "s") != "s":
        units = "" if found is None else f" in {signal[found].attrs['units']!r}"
        raise ValueError(
            f"Expected a signal over {' or '.join(dims)} in s, found {signal.dims}{units}; label it so, as "
            "signalrp.domains.audio.data.from_arrays does."
        )
    return found
