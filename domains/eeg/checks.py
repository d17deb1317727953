"""What must hold before a model sees an EEG signal: channels by name, positions, rate, finite and living channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from signalrp.signals import sampling_rate as sampling_rate

_SHOWN = 8


def match_channels(signal: xr.DataArray, names: Sequence[str]) -> xr.DataArray:
    """The channels a model expects, found by name and in its order; further channels are left out.

    Parameters
    ----------
    signal : xarray.DataArray
        Signal with the dimension channel.
    names : sequence of str
        Channel names in the order the model was trained with.

    Raises
    ------
    ValueError
        If a channel is absent.
    """
    present = [str(name) for name in signal["channel"].values]
    absent = [name for name in names if name not in present]
    if absent:
        letters = {name.lower(): name for name in present}
        spelt = [f"{str(name)!r} is here {letters[name.lower()]!r}" for name in absent if name.lower() in letters]
        raise ValueError(
            f"The signal lacks the channels {some(absent)} of the {len(names)} expected; it has {some(present)}"
            f"{' (' + spelt[0] + ')' if spelt else ''}. Rename or interpolate them, or train on what both have."
        )
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ValueError(f"The channels {repeated} are asked for more than once; name each once.")
    return signal.sel(channel=list(names))


def require_rate(signal: xr.DataArray, sfreq: float) -> None:
    """Refuse a signal that is not at the sampling rate a model was trained with, `sfreq` in Hz."""
    found = sampling_rate(signal)
    if abs(found - sfreq) > 1e-3 * sfreq:
        raise ValueError(
            f"The signal has {found:g} Hz but the model expects {sfreq:g} Hz; resample it "
            f"(mne: epochs.resample({sfreq:g})) or train a model at its rate."
        )


def require_positions(signal: xr.DataArray) -> None:
    """Refuse a signal some of whose channels have no position."""
    names = [str(name) for name in signal["channel"].values]
    if any(axis not in signal.coords for axis in "xyz"):
        unknown = names
    else:
        places = np.stack([signal[axis].values for axis in "xyz"])
        unknown = [name for name, ok in zip(names, np.isfinite(places).all(axis=0), strict=True) if not ok]
    if unknown:
        raise ValueError(
            f"The channels {some(unknown)} have no position; set a montage before (mne: epochs.set_montage(...)), "
            "or leave them out."
        )


def require_values(signal: xr.DataArray) -> None:
    """Refuse values that are not finite, and channels that are flat in a whole trial or more.

    Raises
    ------
    ValueError
        Naming the channels and how many trials are concerned.
    """
    values = signal.transpose("trial", "channel", "time")
    broken = ~np.isfinite(values.values).all(axis=2)
    _refuse(values, broken, "contain NaN or infinite values", "drop those trials or interpolate the channels")
    flat = np.ptp(values.values, axis=2) == 0
    _refuse(values, flat, "are flat", "an electrode was off: drop those trials or channels, or interpolate them")


def require_classes(signal: xr.DataArray, minimum: int = 2) -> None:
    """Refuse a signal with a class of fewer than `minimum` trials, or with one class only."""
    label, counts = np.unique(signal["label"].values, return_counts=True)
    if len(label) < 2:
        raise ValueError(f"A classifier needs two classes, but all {signal.sizes['trial']} trials have one label.")
    if counts.min() < minimum:
        few = label[counts < minimum].tolist()
        raise ValueError(f"The labels {few} have fewer than {minimum} trials; loosen the rejection or leave them out.")


def _refuse(signal: xr.DataArray, wrong: np.ndarray, what: str, remedy: str) -> None:
    if not wrong.any():
        return
    names = [str(name) for name in signal["channel"].values[wrong.any(axis=0)]]
    raise ValueError(
        f"The channels {some(names)} {what} in {int(wrong.any(axis=1).sum())} of {len(wrong)} trials; {remedy}."
    )


def some(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:_SHOWN]) or "none"
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
