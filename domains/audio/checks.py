"""What must hold before a model hears a recording: rate, channels, length, finite values, no silence, no clipping."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.signals import sampling_rate as sampling_rate

Silence = Literal["raise", "keep"]
Clipping = Literal["warn", "raise", "keep"]
_SHOWN = 5
# -80 dB below full scale: three steps of 16 bits.
_SILENT = 1e-4
# So many samples in a row at full scale are a flattened top, not a peak that just reaches it.
_RUN = 3
_FULL = 0.999
# Resampling, and files of floating point numbers, go a little beyond full scale; integers go far beyond it.
_BEYOND = 2.0


def require_rate(signal: xr.DataArray, sfreq: float) -> None:
    """Refuse a signal that is not at this sampling rate in Hz."""
    found = sampling_rate(signal)
    if abs(found - sfreq) > 1e-3 * sfreq:
        raise ValueError(
            f"The signal has {found:g} Hz where {sfreq:g} Hz are expected; read it with sfreq={sfreq:g} and "
            "resample=True."
        )


def require_mono(signal: xr.DataArray) -> None:
    """Refuse a signal of several channels."""
    if signal.sizes["channel"] != 1:
        raise ValueError(
            f"The signal has {signal.sizes['channel']} channels where mono is expected; read it with channels='mix', "
            "'left' or 'right'."
        )


def require_length(signal: xr.DataArray, samples: int) -> None:
    """Refuse a signal of another number of samples."""
    found = signal.sizes["time"]
    if found != samples:
        raise ValueError(
            f"The clips have {found} samples where {samples} are expected; read them with length={samples}, and "
            f"{'shorter' if found < samples else 'longer'} to say how they are brought to it."
        )


def require_values(signal: xr.DataArray, silence: Silence = "raise", clipping: Clipping = "warn") -> None:
    """Refuse what is not finite or far beyond full scale, silent clips, and clipped ones.

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        Amplitudes from -1 to 1.
    silence : {"raise", "keep"}
        Refuse clips that never exceed -80 dB of full scale, or let them pass.
    clipping : {"warn", "raise", "keep"}
        Warn of clips with three or more samples in a row at full scale, refuse them, or let them pass.

    Raises
    ------
    ValueError
        Naming the clips.
    """
    values = signal.transpose("trial", "channel", "time").values
    names = [f"clip {n}" for n in range(len(values))]
    if "file" in signal.coords:
        names = [str(name) for name in signal["file"].values]
    refuse_values(values, names)
    silent_clips = [name for clip, name in zip(values, names, strict=True) if silent(clip)]
    clipped_clips = [name for clip, name in zip(values, names, strict=True) if clipped(clip)]
    report(silent_clips, clipped_clips, len(names), silence, clipping)


def refuse_values(clips: Sequence[npt.NDArray[Any]] | npt.NDArray[Any], names: Sequence[str]) -> None:
    """Refuse clips (channel, time) that are empty, not finite, or far beyond full scale."""
    for clip, name in zip(clips, names, strict=True):
        if clip.size == 0:
            raise ValueError(f"{name} holds no samples; leave it out.")
        peak = float(np.abs(clip).max())
        if not np.isfinite(peak):
            broken = int((~np.isfinite(clip)).sum())
            raise ValueError(f"{name} holds {broken} values that are NaN or infinite; repair it or leave it out.")
        if peak > _BEYOND:
            raise ValueError(
                f"{name} reaches {peak:g} where full scale is 1; divide by its full scale (32768 for 16 bits)."
            )


def report(
    silent_clips: Sequence[str], clipped_clips: Sequence[str], count: int, silence: Silence, clipping: Clipping
) -> None:
    """Refuse or warn of clips that were found to be silent or clipped; see `require_values`.

    Parameters
    ----------
    silent_clips, clipped_clips : sequence of str
        Names of those found.
    count : int
        How many clips were looked at.
    silence, clipping
        See `require_values`.
    """
    if silence not in ("raise", "keep") or clipping not in ("warn", "raise", "keep"):
        raise ValueError(
            f"silence={silence!r}, clipping={clipping!r} is unknown; choose 'raise' or 'keep' for silence, and 'warn', "
            "'raise' or 'keep' for clipping."
        )
    if silent_clips and silence == "raise":
        raise ValueError(
            f"{len(silent_clips)} of {count} clips hold nothing but silence, below -80 dB of full scale "
            f"({some(silent_clips)}); leave them out, or pass silence='keep'."
        )
    if clipped_clips and clipping != "keep":
        said = (
            f"{len(clipped_clips)} of {count} clips are clipped, {_RUN} or more samples in a row at full scale, which "
            f"adds harmonics that nobody uttered ({some(clipped_clips)}); leave them out, or pass clipping='keep'."
        )
        if clipping == "raise":
            raise ValueError(said)
        warnings.warn(said, stacklevel=3)


def silent(clip: npt.NDArray[Any]) -> bool:
    """Whether a clip (channel, time) never exceeds -80 dB of full scale."""
    return bool(np.abs(clip).max() < _SILENT)


def clipped(clip: npt.NDArray[Any]) -> bool:
    """Whether a clip (channel, time) has three or more samples in a row at full scale of one sign."""
    for full in (clip >= _FULL, clip <= -_FULL):
        if full.shape[1] >= _RUN and (full[:, :-2] & full[:, 1:-1] & full[:, 2:]).any():
            return True
    return False


def some(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:_SHOWN]) or "none"
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
