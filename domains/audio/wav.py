"""Clips as WAV files and players."""

from __future__ import annotations

import io
import os
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .checks import sampling_rate

_FULL = 32768


def common_gain(*signals: xr.DataArray, peak: float = 0.9) -> float:
    """Gain that brings the loudest of several sounds to `peak`, so that their loudness can be compared.

    Raises
    ------
    ValueError
        If all are silent.
    """
    loudest = max((float(np.abs(signal).max()) for signal in signals), default=0.0)
    if not 0 < loudest < np.inf:
        raise ValueError(f"The loudest of {len(signals)} sounds reaches {loudest:g}; give one that can be heard.")
    return peak / loudest


def wav_bytes(signal: xr.DataArray, *, gain: float | None = None) -> bytes:
    """One clip as a WAV file of 16 bits.

    Parameters
    ----------
    signal : xarray.DataArray, shape (time,), (channel, time) or with a single trial
        Amplitudes from -1 to 1, time in s.
    gain : float, optional
        What amplitudes are multiplied by, such as `common_gain`. By default 1; a clip that goes beyond full scale is
        brought down to it as a whole, with a warning that says by how much, and never clipped.

    Raises
    ------
    ValueError
        If there is not exactly one clip, values are not finite, or the gain would clip it.
    """
    if (
        signal.sizes.get("trial", 1) != 1
        or set(signal.dims) - {"trial", "channel", "time"}
        or "time" not in signal.dims
    ):
        raise ValueError(f"A WAV file holds one clip, found {dict(signal.sizes)}; choose one with .isel(trial=...).")
    clip = signal.squeeze("trial") if "trial" in signal.dims else signal
    clip = clip if "channel" in clip.dims else clip.expand_dims("channel")
    values = clip.transpose("time", "channel").values.astype(np.float64)
    peak = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(peak):
        raise ValueError("The clip has NaN or infinite values; fill or drop them.")
    if gain is None:
        gain = min(1.0, 1 / peak) if peak else 1.0
        if gain < 1:
            warnings.warn(
                f"The clip reaches {peak:.3g} of full scale and was brought down by {gain:.3g}.", stacklevel=2
            )
    elif not gain > 0 or gain * peak > 1 + 1e-6:
        raise ValueError(
            f"A gain of {gain:g} brings the clip, which reaches {peak:.3g}, to {gain * peak:.3g} of full scale; "
            "give one above 0 that does not clip it, such as common_gain(...)."
        )
    numbers = np.rint(gain * values * _FULL).clip(-_FULL, _FULL - 1).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(numbers.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(round(sampling_rate(signal)))
        writer.writeframes(numbers.tobytes())
    return file.getvalue()


def write_wav(
    path: str | os.PathLike[str], signal: xr.DataArray, *, gain: float | None = None, overwrite: bool = False
) -> Path:
    """Write one clip as a WAV file of 16 bits.

    Parameters
    ----------
    path : path
        The file.
    signal, gain
        See `wav_bytes`.
    overwrite : bool
        Replace a file that is there already.

    Raises
    ------
    FileExistsError
        If the file is there and is not to be replaced.
    ValueError
        See `wav_bytes`.
    """
    path, data = Path(path), wav_bytes(signal, gain=gain)
    try:
        with path.open("wb" if overwrite else "xb") as file:
            file.write(data)
    except FileExistsError:
        raise FileExistsError(f"{path} is there already; choose another name, or pass overwrite=True.") from None
    return path


def player(signal: xr.DataArray, *, gain: float | None = None) -> Any:
    """Player of one clip for notebooks; see `wav_bytes`.

    Returns
    -------
    IPython.display.Audio

    Raises
    ------
    ImportError
        If IPython is not installed.
    """
    try:
        from IPython.display import Audio
    except ImportError:
        raise ImportError("A player is for notebooks and needs IPython; elsewhere use write_wav(...).") from None
    return Audio(data=wav_bytes(signal, gain=gain))
