"""MNE epochs as labelled arrays (trial, channel, time) in volt, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.signals import labelled_signal, units_of

from ._mne import mne
from .checks import require_positions, sampling_rate, some
from .classes import SEPARATOR, Classes, class_events, classes_of, require_trials, split

# What `to_epochs` stores in the events themselves; the other trial coordinates become metadata.
_IN_EVENTS = ("event", "event_code", "sample")
_UNITS = {"mag": "T", "grad": "T/m", "misc": "1", "stim": "1"}
# What a signal says by these names itself: a column of the metadata called so gets another name.
_TAKEN = ("channel", "time", "x", "y", "z", "kind", "unit")


def from_epochs(
    epochs: Any,
    subject: str | Sequence[str] | None = None,
    classes: Classes | None = None,
    *,
    picks: str | Sequence[str] = "eeg",
    bads: Literal["drop", "keep", "raise"] = "drop",
    **attrs: Any,
) -> xr.DataArray:
    """Labelled array of MNE epochs.

    Parameters
    ----------
    epochs : mne.Epochs or mne.EpochsArray
        Epochs of one recording or of several.
    subject : str or sequence of str, optional
        Who was recorded: one name, or one per trial. Default: the column "subject" of the metadata, else the
        name in ``epochs.info``, else "S01".
    classes : sequence of str or mapping, optional
        Events to keep, in the order of their labels 0, 1, ...: names or tags ("face" finds "face/upright"), or
        a mapping of class to one or several of them. Default: every name in ``epochs.event_id``, in its order.
    picks : str or sequence of str
        Channel types or names; other channels are left out.
    bads : {"drop", "keep", "raise"}
        Channels in ``epochs.info["bads"]`` are left out and named in ``attrs["bads_dropped"]``, kept and named
        in ``attrs["bads"]``, or refused.
    **attrs
        Further attributes, such as title and source.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        In volt over seconds. Along channel: x, y, z in metres in the head frame (NaN where unknown), and
        "kind" when not every channel is EEG. Along trial: label, event (name), event_code and sample (third
        and first column of the events), onset in s (where the metadata or a recording tell it), subject, and
        every column of the metadata; "x" and others that mean something else here become "metadata_x" and so on.
        Attributes: sfreq in Hz, classes (joined by " | ", see `classes_of`), highpass, lowpass and reference
        where known.

    Raises
    ------
    TypeError
        If these are no epochs.
    ValueError
        If there is no epoch, a class has no trials, a channel or channel type is absent, projectors are pending, or
        bad channels are refused.
    """
    if not isinstance(epochs, mne.BaseEpochs):
        raise TypeError(
            f"Found {type(epochs).__name__}, expected mne.Epochs; cut a recording by from_raw of "
            "signalrp.domains.eeg.readers, or make epochs of an array by mne.EpochsArray."
        )
    epochs = epochs.copy().load_data()
    if not len(epochs):
        require_trials(np.empty(0, dtype=np.int64), list(class_events(classes, list(epochs.event_id))), epochs)
    epochs, told = _picked(epochs, picks, bads)
    pending = [str(projector["desc"]) for projector in epochs.info["projs"] if not projector["active"]]
    if pending:
        raise ValueError(
            f"The epochs have projectors that were not applied ({', '.join(pending)}); call apply_proj() or del_proj()."
        )
    names = {code: name for name, code in epochs.event_id.items()}
    events = np.array([names[code] for code in epochs.events[:, 2]], dtype=str)
    wanted = class_events(classes, list(epochs.event_id))
    label_of = {event: label for label, found in enumerate(wanted.values()) for event in found}
    keep = np.array([event in label_of for event in events], dtype=bool)
    label = np.array([label_of[event] for event in events[keep]], dtype=np.int64)
    require_trials(label, list(wanted), epochs)
    own = {"label": label, "event": events[keep]}
    own |= {"event_code": epochs.events[keep, 2], "sample": epochs.events[keep, 0]}
    trial: dict[str, Any] = _metadata(epochs.metadata, keep, own) | own
    # An array that somebody made into epochs has events that tell nothing about time. The events of a recording count
    # its samples, also after only every n-th was kept.
    if "onset" not in trial and not isinstance(epochs, mne.EpochsArray):
        trial["onset"] = epochs.events[keep, 0] / getattr(epochs, "_raw_sfreq", epochs.info["sfreq"])
    trial["subject"] = _subjects(subject, trial.get("subject"), epochs, keep)
    kinds = epochs.get_channel_types()
    signal = labelled_signal(
        epochs.get_data(copy=True)[keep],
        epochs.ch_names,
        epochs.times,
        "s",
        [_UNITS.get(kind, "V") for kind in kinds],
        trial,
        name="EEG",
        sfreq=float(epochs.info["sfreq"]),
        classes=SEPARATOR.join(wanted),
        **(_attributes(epochs.info) | told | attrs),
    )
    positions = _positions(epochs.info)
    signal = signal.assign_coords(
        {axis: ("channel", positions[:, i], {"units": "m"}) for i, axis in enumerate(("x", "y", "z"))}
    )
    return signal if set(kinds) == {"eeg"} else signal.assign_coords(kind=("channel", np.array(kinds, dtype=str)))


def to_epochs(signal: xr.DataArray) -> Any:
    """MNE epochs of a labelled array, the inverse of `from_epochs`.

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        In volt over seconds, with channel names; label, event and positions are used where present.

    Returns
    -------
    mne.EpochsArray
        Events are named after the coordinate "event", or else after the classes; every other coordinate along
        trial, and the label, becomes a column of the metadata.

    Raises
    ------
    ValueError
        If the signal is not in volt (or tesla), or its time axis is not evenly spaced seconds.
    """
    signal = signal.transpose("trial", "channel", "time")
    wrong = sorted(set(units_of(signal)) - {"V", *_UNITS.values()})
    if wrong:
        raise ValueError(f"MNE keeps EEG in volt, but the signal is in {wrong}; convert it to V first.")
    count = signal.sizes["trial"]
    codes, event_id = _events(signal)
    sample = signal["sample"].values if "sample" in signal.coords else np.zeros(count)
    # MNE wants one event per sample, but trials of several recordings may have come at the same one.
    if len(np.unique(sample)) < count:
        sample = np.arange(count) * signal.sizes["time"]
    events = np.column_stack([sample, np.zeros(count, dtype=int), codes]).astype(int)
    columns = {
        str(key): coordinate.values
        for key, coordinate in signal.coords.items()
        if coordinate.dims == ("trial",) and key not in _IN_EVENTS
    }
    return mne.EpochsArray(
        signal.values.astype(np.float64),
        info_of(signal),
        events=events,
        tmin=float(signal["time"][0]),
        event_id=event_id,
        metadata=pd.DataFrame(columns) if columns else None,
        proj=False,
        verbose="error",
    )


def info_of(signal: xr.DataArray, *, positions: bool = False) -> Any:
    """Measurement info of a labelled array, with the montage of its positions.

    Parameters
    ----------
    signal : xarray.DataArray
        Array with the dimensions channel and time, and the coordinates x, y, z along channel where known.
    positions : bool
        Refuse a channel without a position, for what cannot do without (scalp maps).

    Returns
    -------
    mne.Info

    Raises
    ------
    ValueError
        If a position is missing though required, or the time axis is not evenly spaced seconds.
    """
    if positions:
        require_positions(signal)
    names = [str(name) for name in signal["channel"].values]
    kinds = [str(kind) for kind in signal["kind"].values] if "kind" in signal.coords else "eeg"
    info = mne.create_info(names, sampling_rate(signal), kinds)
    if all(axis in signal.coords for axis in "xyz"):
        places = np.stack([signal[axis].values for axis in "xyz"], axis=-1)
        known = {name: place for name, place in zip(names, places, strict=True) if np.isfinite(place).all()}
        if known:
            info.set_montage(mne.channels.make_dig_montage(known, coord_frame="head"), on_missing="ignore")
    info["bads"] = [name for name in split(signal.attrs.get("bads", "")) if name in names]
    with info._unlock():
        for key in ("highpass", "lowpass"):
            if key in signal.attrs:
                info[key] = float(signal.attrs[key])
        info["custom_ref_applied"] = bool(signal.attrs.get("reference"))
    return info


def _picked(epochs: Any, picks: str | Sequence[str], bads: str) -> tuple[Any, dict[str, str]]:
    """The channels wanted, and what is told about the bad ones among them."""
    if bads not in ("drop", "keep", "raise"):
        raise ValueError(f"The choice bads={bads!r} is unknown; choose 'drop', 'keep' or 'raise'.")
    try:
        epochs = epochs.pick(picks, exclude=())
    except ValueError:
        absent = [name for name in np.atleast_1d(picks).tolist() if name not in epochs.ch_names]
        if len(absent) < np.size(picks):
            raise ValueError(f"The epochs have no channels {absent}; they have {some(epochs.ch_names)}.") from None
        kinds = sorted(set(epochs.get_channel_types()))
        raise ValueError(f"The epochs have no channels {picks!r}; their channel types are {kinds}.") from None
    found = list(epochs.info["bads"])
    if found and bads == "raise":
        raise ValueError(f"The channels {found} are marked bad; interpolate or drop them first, or pass bads='drop'.")
    if not found or bads == "keep":
        return epochs, ({"bads": SEPARATOR.join(found)} if found else {})
    if len(found) == len(epochs.ch_names):
        raise ValueError("Every channel is marked bad, so none would be left; correct info['bads'], or keep them.")
    return epochs.drop_channels(found), {"bads_dropped": SEPARATOR.join(found)}


def _metadata(
    metadata: pd.DataFrame | None, keep: npt.NDArray[np.bool_], own: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Any]:
    if metadata is None:
        return {}
    columns = {}
    for name in map(str, metadata.columns):
        values = metadata[name].to_numpy()[keep]
        # Text columns hold Python objects, which no file format takes.
        values = values if values.dtype.kind in "biufM" else values.astype(str)
        taken = name in _TAKEN or (name in own and not np.array_equal(values, own[name]))
        columns[f"metadata_{name}" if taken else name] = values
    return columns


def _subjects(subject: Any, column: Any, epochs: Any, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_]:
    count = int(keep.sum())
    if subject is None:
        if column is not None:
            return np.asarray(column, dtype=str)
        known = epochs.info["subject_info"] or {}
        subject = str(known.get("his_id") or "S01")
    if isinstance(subject, str):
        return np.full(count, subject)
    if len(subject) != len(keep):
        raise ValueError(f"There are {len(subject)} subjects for {len(keep)} epochs; give one name, or one per epoch.")
    return np.asarray(subject, dtype=str)[keep]


def _attributes(info: Any) -> dict[str, Any]:
    attrs: dict[str, Any] = {"highpass": float(info["highpass"]), "lowpass": float(info["lowpass"])}
    if info["custom_ref_applied"]:
        attrs["reference"] = "custom"
    return attrs


def _positions(info: Any) -> npt.NDArray[np.float64]:
    places = np.array([channel["loc"][:3] for channel in info["chs"]], dtype=float)
    # MNE marks an unknown position by NaN or by zeros.
    places[(places == 0).all(axis=1)] = np.nan
    return places


def _events(signal: xr.DataArray) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Code of every trial's event, and the code of every name."""
    label = signal["label"].values if "label" in signal.coords else np.zeros(signal.sizes["trial"], dtype=int)
    if "event" in signal.coords:
        names = [str(name) for name in signal["event"].values]
    else:
        classes = classes_of(signal) if "label" in signal.coords else ["trial"]
        names = [classes[number] for number in label]
    ordered = list(dict.fromkeys(name for _, name in sorted(zip(label, names, strict=True), key=lambda pair: pair[0])))
    if "event_code" in signal.coords:
        codes = signal["event_code"].values.astype(np.int64)
        by_name = {name: int(code) for name, code in zip(names, codes, strict=True)}
        consistent = len(set(by_name.values())) == len(by_name) and all(
            by_name[name] == code for name, code in zip(names, codes, strict=True)
        )
        # Recordings that were put together may code the same event by different numbers.
        if consistent:
            return codes, {name: by_name[name] for name in ordered}
    event_id = {name: number + 1 for number, name in enumerate(ordered)}
    return np.array([event_id[name] for name in names]), event_id
