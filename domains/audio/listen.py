"""What a net listens to, made audible: the sound itself, with what carries no relevance turned down.

A time-frequency mask between 0 and 1 lies on the short-time Fourier transform, whose phase stays that of the recording
(as masks of computational auditory scene analysis do; Wang 2005, doi:10.1007/0-387-22794-6_12). Masks of positive
relevance, of negative relevance and of the rest add up to 1, and so the three sounds add up to the recording. They
show; that the net depends on what is heard is for a manipulation test to say.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from signalrp.plotting.data import edges

from .time_frequency import short_time, time_frequency
from .wav import common_gain, player, wav_bytes, write_wav

__all__ = ["common_gain", "heard", "masked", "player", "relevance_mask", "wav_bytes", "write_wav"]

Part = Literal["positive", "negative", "all", "rest"]
Array = npt.NDArray[np.float64]
_DIMS = ("trial", "channel", "frequency", "frame")
_AT_ONCE = 64


def heard(
    explanation: xr.Dataset,
    part: Part = "positive",
    *,
    waveform: xr.DataArray | None = None,
    n_fft: int | None = None,
    hop: int | None = None,
    share: float = 0.8,
    smooth: tuple[float, float] = (40.0, 0.010),
) -> xr.DataArray:
    """Sound of what a net found relevant.

    Parameters
    ----------
    explanation, part, waveform, n_fft, hop, share, smooth
        See `relevance_mask`.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        On the scale of the recording. "positive", "negative" and "rest" add up to it, "positive" and "negative" to
        "all". ``energy_kept`` along trial is the part of its energy that is left.

    Raises
    ------
    ValueError
        See `relevance_mask`.
    """
    mask = relevance_mask(explanation, part, waveform=waveform, n_fft=n_fft, hop=hop, share=share, smooth=smooth)
    return masked(_waveform(explanation, waveform), mask)


def relevance_mask(
    explanation: xr.Dataset,
    part: Part = "positive",
    *,
    waveform: xr.DataArray | None = None,
    n_fft: int | None = None,
    hop: int | None = None,
    share: float = 0.8,
    smooth: tuple[float, float] = (40.0, 0.010),
) -> xr.DataArray:
    """Mask between 0 and 1 that lets relevance through.

    Positive relevance P and negative N are smoothed to densities over time and frequency. With A = P + |N| the mask of
    "all" is A² / (A² + s²), that of "positive" the part P / A of it, that of "negative" the part |N| / A, and that of
    "rest" what is missing to 1. The scale s is set for every trial and channel such that `share` of A lies where A is
    at least s, where the mask is at least one half.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a net that hears waveforms, from ``signalrp.explain(..., per_unit=True)``, or what ``inspect`` made of it
        with an ``STFT``; or of a net that sees spectrograms of any kind (linear, mel, in dB).
    part : {"positive", "negative", "all", "rest"}
        Which relevance.
    waveform : xarray.DataArray, shape (trial, channel, time), optional
        The sound, needed where the net sees spectrograms.
    n_fft, hop : int, optional
        Samples of the window, and from one frame to the next, of the transform that the mask is for; by default 32 ms
        and a quarter of it.
    share : float
        Between 0 and 1; the larger, the more is heard.
    smooth : (float, float)
        Standard deviations of the smoothing, in Hz and in s; where a spectrogram is coarser, its own spacing.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, frequency, frame)
        Frequencies and frames are those of the transform, and attributes say how it was made.

    Raises
    ------
    ValueError
        If the waveform is missing or of other trials, a number is out of range, or the explanation has no relevance
        that can be seen in time and frequency.
    """
    if part not in get_args(Part):
        raise ValueError(f"There is no part {part!r}; choose {', '.join(get_args(Part)[:-1])} or rest.")
    if not 0 < share < 1 or not min(smooth) > 0:
        raise ValueError(
            f"The share lies between 0 and 1 and smoothing is positive, in Hz and in s; got {share:g} and {smooth}."
        )
    seen = time_frequency(explanation, n_fft, hop)
    sound = _waveform(explanation, waveform)
    basis = short_time(sound, n_fft, hop)
    coords = basis.bind(sound).coords
    rows = _kernel(coords["frequency"].values, seen["frequency"].values, smooth[0])
    columns = _kernel(coords["frame"].values, seen["frame"].values, smooth[1])
    relevance = seen["relevance"].transpose(*_DIMS)
    mask = np.empty((*relevance.shape[:2], len(rows), len(columns)), sound.dtype)
    for trial, values in enumerate(relevance.values):
        positive, negative = (rows @ sign.astype(np.float64).clip(0) @ columns.T for sign in (values, -values))
        mask[trial] = _mask(positive, negative, part, share)
    along = {name: c.variable for name, c in sound.coords.items() if c.dims in (("trial",), ("channel",))}
    new = {name: coords[name] for name in _DIMS[2:]}
    attrs = {
        "part": part,
        "n_fft": len(basis.window),
        "hop": basis.hop,
        "share": share,
        "smooth": f"{smooth[0]:g} Hz, {smooth[1]:g} s",
    }
    return xr.DataArray(mask, along | new, _DIMS, "mask", attrs)


def masked(waveform: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
    """Sound behind a time-frequency mask, with the phase it had.

    Parameters
    ----------
    waveform : xarray.DataArray, shape (trial, channel, time)
        The sound.
    mask : xarray.DataArray, shape (trial, channel, frequency, frame)
        From `relevance_mask`, or one of the same coordinates and attributes; 1 everywhere gives the sound back.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        See `heard`.

    Raises
    ------
    ValueError
        If the mask is of other trials, frequencies or frames.
    """
    missing = {"n_fft", "hop"} - set(mask.attrs)
    if missing:
        raise ValueError(f"The mask does not say its {missing.pop()}; give what relevance_mask() returns.")
    waveform = waveform.transpose("trial", "channel", "time")
    bound = short_time(waveform, mask.attrs["n_fft"], mask.attrs["hop"]).bind(waveform)
    expected = (waveform.sizes["trial"], *bound.shape)
    if mask.dims != _DIMS or mask.shape != expected:
        raise ValueError(f"The mask is {dict(mask.sizes)} where {dict(zip(_DIMS, expected, strict=True))} is expected.")
    values = np.empty(waveform.shape, waveform.dtype)
    kept = np.empty(len(values))
    for start in range(0, len(values), _AT_ONCE):
        batch = slice(start, start + _AT_ONCE)
        sound = torch.from_numpy(waveform.values[batch].astype(np.float64))
        part = bound.inverse(bound.forward(sound) * torch.from_numpy(mask.values[batch].astype(np.float64)))
        energy = sound.square().sum((1, 2))
        kept[batch] = (part.square().sum((1, 2)) / energy.clamp_min(np.finfo(np.float64).tiny)).numpy()
        values[batch] = part.numpy()
    result = waveform.copy(data=values).assign_attrs(mask.attrs)
    return result.assign_coords(energy_kept=("trial", kept, {"long_name": "part of the energy that is left"}))


def _waveform(explanation: xr.Dataset, given: xr.DataArray | None) -> xr.DataArray:
    """The sound that an explanation is of."""
    if "time" in explanation["relevance"].dims:
        return explanation["signal"].transpose("trial", "channel", "time")
    sound = explanation.get("waveform", given)
    if sound is None:
        raise ValueError("The explanation lies on spectrograms, which cannot be heard; give the clips as waveform=....")
    same = all(
        np.array_equal(sound[name], explanation[name]) for name in ("file", "trial")
        if name in sound.coords and name in explanation.coords
    )  # fmt: skip
    if sound.sizes["trial"] != explanation.sizes["trial"] or not same:
        raise ValueError(
            f"The waveform ({sound.sizes['trial']} clips) and the explanation ({explanation.sizes['trial']}) are not "
            "of the same clips; choose the same trials of both."
        )
    return sound.transpose("trial", "channel", "time")


def _kernel(target: Array, source: Array, width: float) -> Array:
    """Matrix (target, source) that smooths what lies on source points to a density, by Gaussians of unit area."""
    widths = np.maximum(width, np.diff(edges(source.astype(np.float64))))
    return np.exp(-0.5 * ((target[:, None] - source) / widths) ** 2) / (np.sqrt(2 * np.pi) * widths)


def _mask(positive: Array, negative: Array, part: Part, share: float) -> Array:
    """Mask (channel, frequency, frame) from smoothed relevance of both signs."""
    both = positive + negative
    ranked = -np.sort(-both.reshape(len(both), -1))
    total = ranked.cumsum(1)
    scale = np.take_along_axis(ranked, (total < share * total[:, -1:]).sum(1, keepdims=True), 1)[..., None]
    # where a channel has no relevance at all nothing passes
    safe = np.where(scale > 0, scale, 1.0)
    level = (both / safe) ** 2
    every = level / (level + 1)
    if part in ("all", "rest"):
        return every if part == "all" else 1 - every
    own = positive if part == "positive" else negative
    return every * np.divide(own, both, out=np.zeros_like(both), where=both > 0)
