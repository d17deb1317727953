"""Small public recordings repacked as npz: faces and presses, a four-electrode headband, motor imagery, alcoholism."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.manifests import DataError
from signalrp.signals import labelled_signal

from ._mne import mne
from .classes import SEPARATOR
from .datasets import FACES_CLASSES
from .epoching import named_montage
from .npz import load_arrays
from .readers import from_raw
from .trials import concatenate

HeadbandTask = Literal["N170", "visual P300", "auditory P300", "SSVEP", "SSAEP", "left-right"]
# Task -> file, classes by marker, window in s, band in Hz. The windows end before most of the next stimuli; those of
# the steady-state tasks last as long as the stimulus.
_HEADBAND: dict[str, tuple[str, dict[str, int], tuple[float, float], tuple[float, float | None]]] = {
    "N170": ("visual_N170", {"face": 2, "house": 1}, (-0.1, 0.5), (1.0, 30.0)),
    "visual P300": ("visual_P300", {"non-target": 1, "target": 2}, (-0.1, 0.6), (1.0, 30.0)),
    "auditory P300": ("auditory_P300", {"non-target": 1, "target": 2}, (-0.1, 0.6), (1.0, 30.0)),
    "SSVEP": ("visual_SSVEP", {"30 Hz": 1, "20 Hz": 2}, (0.0, 3.0), (1.0, None)),
    "SSAEP": ("auditory_SSAEP", {"45 Hz": 1, "40 Hz": 2}, (0.0, 3.0), (1.0, None)),
    "left-right": ("visual_left-right", {"left": 1, "right": 2}, (-0.1, 0.4), (1.0, 30.0)),
}
# The two eye channels and the unconnected one of the alcoholism recordings.
_NOT_EEG = ("X", "Y", "nd")


def packed_faces(
    path: str | os.PathLike[str],
    subject: Literal[1, 2],
    task: Literal["faces", "presses", "checkerboards"] = "faces",
) -> xr.DataArray:
    """The epochs of `signalrp.domains.eeg.datasets.faces` from one small file, without their recordings.

    They differ from those of `faces` in that no electrode is interpolated, the noisy ones count in the average
    reference, epochs in segments marked bad are kept, and values are rounded to 0.1 µV and end at 3276.8 µV.

    Parameters
    ----------
    path : path
        ``faceO_epochs_128hz.npz``, or the folder that holds it.
    subject : {1, 2}
        The person.
    task : {"faces", "presses", "checkerboards"}
        As for `faces`.

    Returns
    -------
    xarray.DataArray, shape (about 395, 128, 90)
        float32 in V, average reference, 128 Hz. There is no onset: the file does not tell when a trial was.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If the person or the task is unknown.
    signalrp.manifests.DataError
        If the file is cut short or has other contents.
    """
    if subject not in (1, 2) or task not in FACES_CLASSES:
        raise ValueError(
            f"The set has the people 1 and 2 and the tasks {list(FACES_CLASSES)}, not {subject!r}, {task!r}."
        )
    table = _load(path, "faceO_epochs_128hz.npz", ("eeg_0p1uv", "label", "subject", "label_names", "times", "pos_m"))
    events = FACES_CLASSES[task]
    codes = [table["label_names"].tolist().index(event) for event in events.values()]
    chosen = np.isin(table["label"], codes) & (table["subject"] == subject - 1)
    label = np.array([codes.index(code) for code in table["label"][chosen]], dtype=np.int64)
    return _signal(
        table["eeg_0p1uv"][chosen].astype(np.float32) * np.float32(1e-7),
        table["channels"],
        table["times"],
        {
            "label": label,
            "event": np.array(list(events.values()))[label],
            "subject": np.full(len(label), f"S{subject:02d}"),
        },
        list(events),
        table["pos_m"],
        sfreq=128.0,
        highpass=1.0,
        lowpass=30.0,
        reference="average",
        title="faceO of pylossless 0.2.0",
    )


def headband(path: str | os.PathLike[str], task: HeadbandTask, **choices: Any) -> xr.DataArray:
    """Evoked and steady-state responses recorded with a Muse headband of four electrodes, one or two people.

    Data of A. Barachant, from the history of muse-lsl (doi:10.5281/zenodo.3228861).

    Parameters
    ----------
    path : path
        Folder with ``visual_N170.npz`` and so on, or the file of the task.
    task : str
        "N170": face (label 0), house (1). "visual P300" and "auditory P300": non-target (0), target (1), about
        1 in 6 and 2 in 7. "SSVEP": 30 Hz (0), 20 Hz (1). "SSAEP": 45 Hz (0), 40 Hz (1). "left-right": stimulus on
        the left (0), on the right (1).
    **choices
        tmin, tmax, band, reject and whatever else `signalrp.domains.eeg.epoching.epochs_of` takes; by default
        -0.1 to 0.4, 0.5 or 0.6 s and 1 to 30 Hz, for steady-state responses 0 to 3 s and from 1 Hz upwards.

    Returns
    -------
    xarray.DataArray, shape (trial, 4, time)
        TP9, AF7, AF8, TP10 in V at 256 Hz, positions of the 10-05 system. The coordinates subject, session and
        run (two minutes each) keep together what was recorded together; onset is in s since the run's beginning.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If the task is unknown, or as `epochs_of` says.
    signalrp.manifests.DataError
        If the file is cut short or has other contents.

    Notes
    -----
    Blinks and loose electrodes reach hundreds of µV: pass ``reject=100e-6`` or so to leave such epochs out.
    In the evoked tasks the next stimulus comes 0.4 to 0.7 s after the last.

    Faces have the marker 2 and houses 1, as in the script that presented them; the negative deflection of TP9 and
    TP10 near 0.19 s after marker 2, and not after marker 1, agrees.
    """
    if task not in _HEADBAND:
        raise ValueError(f"The task {task!r} is unknown; choose one of {', '.join(map(repr, _HEADBAND))}.")
    name, classes, (tmin, tmax), band = _HEADBAND[task]
    table = _load(path, f"{name}.npz", ("eeg_uv", "marker", "run", "run_files", "run_subject", "sfreq"))
    rate = float(table["sfreq"])
    chosen: dict[str, Any] = {"tmin": tmin, "tmax": tmax, "band": band, "montage": "colin27_1005"} | choices
    signals = []
    for number, file in enumerate(table["run_files"]):
        mine = table["run"] == number
        info = mne.create_info([str(channel) for channel in table["channels"]], rate, "eeg")
        raw = mne.io.RawArray(table["eeg_uv"][mine].T.astype(float) * 1e-6, info, verbose="error")
        marker = table["marker"][mine]
        for event, code in classes.items():
            raw.annotations.append(np.flatnonzero(marker == code) / rate, 0.0, event)
        signal = from_raw(raw, list(classes), subject=f"S{int(table['run_subject'][number]):02d}", **chosen)
        session = str(file).split("/")[-2]
        signals.append(
            signal.assign_coords(
                session=("trial", [session] * signal.sizes["trial"]),
                run=("trial", [f"run {number + 1:02d}"] * signal.sizes["trial"]),
            )
        )
    return concatenate(signals).assign_attrs(title=f"Muse headband, {task}", source="doi:10.5281/zenodo.3228861")


def motor_imagery(path: str | os.PathLike[str]) -> xr.DataArray:
    """Imagined movement of the left or right hand, one person: the sample recording of BioSig.

    Parameters
    ----------
    path : path
        ``mi_left_right.npz``, or the folder that holds it.

    Returns
    -------
    xarray.DataArray, shape (40, 4, 2048)
        Left hand (label 0), right hand (1), 20 trials each, in V from -3 to 5 s around the cue at 256 Hz. The
        file names its channels by numbers only; by their rhythms "Channel 1" and "Channel 3" behave like C3
        and C4, and "Channel 5" like an EOG. No positions.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    signalrp.manifests.DataError
        If the file is cut short or has other contents.
    """
    table = _load(path, "mi_left_right.npz", ("eeg_uv", "label", "label_names", "sfreq", "tmin"))
    rate = float(table["sfreq"])
    label = table["label"].astype(np.int64) - 1
    classes = [str(name) for name in table["label_names"][1:]]
    return _signal(
        table["eeg_uv"] * np.float32(1e-6),
        table["channels"],
        float(table["tmin"]) + np.arange(table["eeg_uv"].shape[-1]) / rate,
        {"label": label, "event": np.array(classes)[label], "subject": np.full(len(label), "S01")},
        classes,
        np.full((len(table["channels"]), 3), np.nan),
        sfreq=rate,
        title="BioSig motor imagery sample",
        source="doi:10.1155/2011/935364",
    )


def alcohol(path: str | os.PathLike[str]) -> xr.DataArray:
    """Visual responses of ten alcoholic and ten control persons, 64 channels, one picture per trial.

    Data of Begleiter (UCI EEG Database; Zhang et al. 1995, doi:10.1016/0361-9230(95)02023-5), five trials each.

    Parameters
    ----------
    path : path
        ``eegdata.npz``, or the folder that holds it.

    Returns
    -------
    xarray.DataArray, shape (100, 61, 256)
        Control (label 0), alcoholic (1), in V over one second at 256 Hz, names and positions of the 10-05
        system. The two eye channels and the unconnected one are left out. Every person is of one class: group
        folds by subject.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    signalrp.manifests.DataError
        If the file is cut short or has other contents.
    """
    table = _load(path, "eegdata.npz", ("eeg_uv", "subject", "group", "trial", "sfreq"))
    places = {name.upper(): (name, place) for name, place in _template().items()}
    kept = [number for number, name in enumerate(table["channels"]) if name not in _NOT_EEG]
    sites = [places[str(name).upper()] for name in table["channels"][kept]]
    classes = ["control", "alcoholic"]
    label = (table["group"] == "a").astype(np.int64)
    rate = float(table["sfreq"])
    return _signal(
        table["eeg_uv"][:, kept] * np.float32(1e-6),
        [name for name, _ in sites],
        np.arange(table["eeg_uv"].shape[-1]) / rate,
        {
            "label": label,
            "event": np.array(classes)[label],
            "subject": table["subject"],
            "trial_number": table["trial"].astype(np.int64),
        },
        classes,
        np.array([place for _, place in sites]),
        sfreq=rate,
        title="UCI EEG Database (alcoholism)",
        source="doi:10.1016/0361-9230(95)02023-5",
    )


def _template() -> dict[str, npt.NDArray[np.float64]]:
    """Positions of the 10-05 system in the head frame, in m."""
    montage = named_montage("colin27_1005")
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    return {channel["ch_name"]: np.array(channel["loc"][:3]) for channel in info["chs"]}


def _load(path: str | os.PathLike[str], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    file = Path(path) / name if Path(path).is_dir() else Path(path)
    arrays = load_arrays(file)
    missing = [key for key in (*keys, "channels") if key not in arrays]
    if missing:
        raise DataError(f"{file} lacks the arrays {', '.join(missing)}; it is not the expected {name}.")
    return arrays


def _signal(
    values: npt.NDArray[np.float32],
    channels: Any,
    times: npt.NDArray[np.float64],
    trial: dict[str, Any],
    classes: list[str],
    positions: npt.NDArray[np.float64],
    **attrs: Any,
) -> xr.DataArray:
    signal = labelled_signal(
        values,
        [str(name) for name in channels],
        times,
        "s",
        "V",
        trial,
        name="EEG",
        classes=SEPARATOR.join(classes),
        **attrs,
    )
    return signal.assign_coords({axis: ("channel", positions[:, i], {"units": "m"}) for i, axis in enumerate("xyz")})
