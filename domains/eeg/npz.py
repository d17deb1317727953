"""Labelled EEG in a named npz file, which anybody can write with numpy and nothing is ever unpickled from."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from signalrp.manifests import DataError
from signalrp.signals import labelled_signal, units_of

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
    units = units_of(signal)
    arrays: dict[str, Any] = {
        "signal": signal.values,
        "channels": signal["channel"].values.astype(str),
        "times": signal["time"].values,
        "units": units[0] if len(set(units)) == 1 else np.array(units),
        "classes": np.array(split(signal.attrs.get("classes", "")), dtype=str),
    }
    if "kind" in signal.coords:
        arrays["kinds"] = signal["kind"].values.astype(str)
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

        - signal (trial, channel, time) in the units named by units ("V", "mV", "µV" or "uV"; default "V"; one, or one
          per channel, of which those that are no EEG may have any other),
        - channels (channel,),
        - times (time,) in s, or sfreq in Hz with tmin in s (default 0),
        - trial_label (trial,), numbers from 0, or trial_event (trial,), names,
        - and optionally classes (class,), positions (channel, 3) in m in the head frame, kinds (channel,) as MNE
          calls them ("eeg", "eog" ...; default "eeg"), trial_subject and any other trial_NAME (trial,), and attr_NAME.

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
    channels = [str(name) for name in np.atleast_1d(arrays["channels"])]
    values = arrays["signal"]
    times = np.asarray(arrays["times"] if "times" in arrays else _times(arrays, values.shape[-1]))
    for name, array in (("signal", values), ("times", times)):
        if array.dtype.kind not in "iuf":
            raise DataError(f"{path} has {name} of the type {array.dtype}; expected real numbers.")
    trial = {name.removeprefix("trial_"): array for name, array in arrays.items() if name.startswith("trial_")}
    if (values.ndim, values.shape[1:]) != (3, (len(channels), len(times))) or any(
        len(column) != len(values) for column in trial.values()
    ):
        raise DataError(
            f"{path} has a signal of shape {values.shape} for {len(channels)} channels, {len(times)} times "
            f"and {sorted({len(column) for column in trial.values()})} trials; expected (trial, channel, time)."
        )
    kinds = np.asarray(arrays.get("kinds", np.full(len(channels), "eeg")), dtype=str)
    positions = arrays.get("positions", np.full((len(channels), 3), np.nan))
    for name, array, shape in (("kinds", kinds, (len(channels),)), ("positions", positions, (len(channels), 3))):
        if array.shape != shape:
            raise DataError(f"{path} has {name} of shape {array.shape} for {len(channels)} channels; expected {shape}.")
    classes = _labels(trial, [str(name) for name in arrays.get("classes", [])], path)
    trial.setdefault("event", np.array(classes)[trial["label"]])
    trial.setdefault("subject", np.full(len(values), "S01"))
    attrs = {name.removeprefix("attr_"): array.item() for name, array in arrays.items() if name.startswith("attr_")}
    attrs.setdefault("sfreq", (len(times) - 1) / float(times[-1] - times[0]))
    values, units = _in_volt(values, arrays.get("units", "V"), kinds, path)
    signal = labelled_signal(
        values, channels, times, "s", units, trial, name="EEG", **(attrs | {"classes": SEPARATOR.join(classes)})
    )
    signal = signal.assign_coords({axis: ("channel", positions[:, i], {"units": "m"}) for i, axis in enumerate("xyz")})
    return signal if (kinds == "eeg").all() else signal.assign_coords(kind=("channel", kinds))


def _labels(trial: dict[str, Any], classes: list[str], path: Any) -> list[str]:
    """Names of the classes; the labels, where there are events only, are added to the columns of the trials."""
    if "label" not in trial:
        events = [str(name) for name in trial["event"]]
        classes = classes or sorted(set(events))
        strange = sorted(set(events) - set(classes))
        if strange:
            raise DataError(f"{path} has the events {strange}, which are none of its classes {classes}.")
        trial["label"] = np.array([classes.index(name) for name in events], dtype=np.int64)
    label = np.asarray(trial["label"])
    numeric = label.dtype.kind in "biuf"
    known = (label >= 0) & (label == np.floor(label)) if numeric else np.zeros(label.shape, dtype=bool)
    if not known.all():
        raise DataError(f"{path} has labels such as {label[~known][0]!s}; expected the numbers of classes, from 0 on.")
    trial["label"] = label.astype(np.int64)
    highest = int(trial["label"].max(initial=-1))
    classes = classes or [str(number) for number in range(highest + 1)]
    if highest >= len(classes):
        raise DataError(f"{path} has labels up to {highest}, but {len(classes)} classes: {', '.join(classes)}.")
    return classes


def _in_volt(values: Any, units: Any, kinds: Any, path: Any) -> tuple[Any, list[str]]:
    """Values (trial, channel, time), of every EEG channel in volt, and the unit of every channel."""
    known = np.size(units) in (1, len(kinds))
    names = np.broadcast_to(np.asarray(units, dtype=str), kinds.shape) if known else np.array([], dtype=str)
    strange = sorted({str(name) for name, kind in zip(names, kinds, strict=False) if kind == "eeg"} - set(_TO_VOLT))
    if strange or not len(names):
        found = ", ".join(map(repr, strange or [units]))
        raise DataError(f"{path} is in {found}; expected one of {', '.join(_TO_VOLT)}.")
    # amplifiers count in integers, in which a volt is nothing
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    factors = np.array([_TO_VOLT.get(str(name), 1.0) for name in names], dtype=values.dtype)
    values = values if (factors == 1).all() else values * factors[:, None]
    return values, ["V" if str(name) in _TO_VOLT else str(name) for name in names]


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
