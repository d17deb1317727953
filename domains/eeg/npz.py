"""Labelled EEG in a named npz file, which anybody can write with numpy and nothing is ever unpickled from."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from signalrp.manifests import DataError
from signalrp.signals import labelled_signal

from .classes import SEPARATOR, split

_TO_VOLT = {"V": 1.0, "mV": 1e-3, "µV": 1e-6, "uV": 1e-6}


def write_npz(signal: xr.DataArray, path: str | os.PathLike[str]) -> Path:
    """Write a labelled signal as a named npz file, complete or not at all; see `read_npz` for its arrays.

    Returns
    -------
    pathlib.Path
        The file.
    """
    target = Path(path)
    signal = signal.transpose("trial", "channel", "time")
    arrays: dict[str, Any] = {
        "signal": signal.values,
        "channels": signal["channel"].values.astype(str),
        "times": signal["time"].values,
        "units": signal.attrs["units"],
        "classes": np.array(split(signal.attrs.get("classes", "")), dtype=str),
    }
    if all(axis in signal.coords for axis in "xyz"):
        arrays["positions"] = np.stack([signal[axis].values for axis in "xyz"], axis=-1)
    for key, coordinate in signal.coords.items():
        if coordinate.dims == ("trial",):
            arrays[f"trial_{key}"] = coordinate.values
    for key, value in signal.attrs.items():
        if key not in ("units", "classes"):
            arrays[f"attr_{key}"] = value
    incoming = target.with_name(f".{target.name}.{os.getpid()}.npz")
    try:
        np.savez(incoming, **arrays)
        os.replace(incoming, target)
    finally:
        incoming.unlink(missing_ok=True)
    return target


def read_npz(path: str | os.PathLike[str]) -> xr.DataArray:
    """Read a labelled EEG signal from a named npz file.

    Parameters
    ----------
    path : path
        File with the arrays

        - signal (trial, channel, time) in the units named by units ("V", "mV", "µV" or "uV"; default "V"),
        - channels (channel,),
        - times (time,) in s, or sfreq in Hz with tmin in s (default 0),
        - trial_label (trial,), numbers from 0, or trial_event (trial,), names,
        - and optionally classes (class,), positions (channel, 3) in m in the head frame, kinds (channel,),
          trial_subject and any other trial_NAME (trial,), and attr_NAME.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        In volt, as `signalrp.domains.eeg.data.from_epochs` returns it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    signalrp.manifests.DataError
        If the file is cut short, holds Python objects, lacks an array, or its arrays do not fit each other.
    """
    arrays = load_arrays(path)
    missing = [name for name in ("signal", "channels") if name not in arrays]
    missing += [] if "times" in arrays or "sfreq" in arrays else ["times (or sfreq)"]
    missing += [] if "trial_label" in arrays or "trial_event" in arrays else ["trial_label (or trial_event)"]
    if missing:
        raise DataError(f"{path} lacks the arrays {', '.join(missing)}; it has {', '.join(sorted(arrays))}.")
    units = str(arrays.get("units", "V"))
    if units not in _TO_VOLT:
        raise DataError(f"{path} is in {units!r}; expected one of {', '.join(_TO_VOLT)}.")
    values = arrays["signal"]
    times = arrays["times"] if "times" in arrays else _times(arrays, values.shape[-1])
    trial = {name.removeprefix("trial_"): array for name, array in arrays.items() if name.startswith("trial_")}
    if (values.ndim, values.shape[1:]) != (3, (len(arrays["channels"]), len(times))) or any(
        len(column) != len(values) for column in trial.values()
    ):
        raise DataError(
            f"{path} has a signal of shape {values.shape} for {len(arrays['channels'])} channels, {len(times)} times "
            f"and {sorted({len(column) for column in trial.values()})} trials; expected (trial, channel, time)."
        )
    classes = [str(name) for name in arrays.get("classes", [])]
    if "label" not in trial:
        classes = classes or sorted({str(name) for name in trial["event"]})
        trial["label"] = np.array([classes.index(str(name)) for name in trial["event"]])
    trial["label"] = trial["label"].astype(np.int64)
    classes = classes or [str(number) for number in range(int(trial["label"].max()) + 1)]
    trial.setdefault("event", np.array(classes)[trial["label"]])
    trial.setdefault("subject", np.full(len(values), "S01"))
    attrs = {name.removeprefix("attr_"): array.item() for name, array in arrays.items() if name.startswith("attr_")}
    attrs.setdefault("sfreq", (len(times) - 1) / float(times[-1] - times[0]))
    signal = labelled_signal(
        values if units == "V" else values * values.dtype.type(_TO_VOLT[units]),
        [str(name) for name in arrays["channels"]],
        times,
        "s",
        "V",
        trial,
        name="EEG",
        **(attrs | {"classes": SEPARATOR.join(classes)}),
    )
    positions = arrays.get("positions", np.full((len(arrays["channels"]), 3), np.nan))
    return signal.assign_coords({axis: ("channel", positions[:, i], {"units": "m"}) for i, axis in enumerate("xyz")})


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Every array of an npz file by name."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive.items())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read ({error}); it is cut short or no npz file of plain arrays.") from error


def _times(arrays: dict[str, Any], count: int) -> Any:
    return float(arrays.get("tmin", 0.0)) + np.arange(count) / float(arrays["sfreq"])
