"""Faces and button presses of two people (pylossless), and movements imagined by 109 (EEGBCI)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp import manifests

from ._mne import mne
from .classes import with_classes
from .epoching import events_of
from .npz import read_npz, write_npz
from .readers import from_raw, open_file
from .trials import concatenate

Task = Literal["faces", "presses", "checkerboards"]
FACES_CLASSES = {
    "faces": {"face": "face-upright", "house": "house-upright"},
    "presses": {"press left": "press-left", "press right": "press-right"},
    "checkerboards": {"checker left": "checker-left", "checker right": "checker-right"},
}
_FACES_RATE = 128.0
# What the authors' own screening calls noisy; "bridge" and "rank" are the authors' remedies, not broken electrodes.
_NOISY = ("ch_sd", "low_r")
# A new number whenever the processing changes, so that no cache of another processing is read.
_VERSION = 1


def faces(
    subject: int,
    task: Task = "faces",
    root: str | os.PathLike[str] | None = None,
    *,
    noisy: Literal["interpolate", "drop", "keep"] = "interpolate",
    bad_segments: Literal["drop", "keep"] = "drop",
) -> xr.DataArray:
    """Faces and houses, checkerboards and button presses: 128 electrodes, two people, as shipped with pylossless.

    The task "faceO" of the test data of pylossless 0.2.0 (Huberty et al. 2024, doi:10.1101/2024.01.12.575323),
    fetched when it is not on this computer yet: about 200 trials per class and person, in 19 minutes of recording.

    Parameters
    ----------
    subject : {1, 2}
        The person.
    task : {"faces", "presses", "checkerboards"}
        Upright face (label 0) against upright house (1), press of the left (0) against the right (1) button, or
        checkerboard on the left (0) against the right (1).
    root : path, optional
        Folder that holds the data sets, see `signalrp.manifests.fetch`.
    noisy : {"interpolate", "drop", "keep"}
        What is done with the electrodes that the authors' screening calls noisy (labels ch_sd and low_r): six of
        person 1, four of person 2. Interpolated ones are named in ``attrs["interpolated"]``; they carry no
        information of their own. Dropping leaves the two people with different channels. Kept ones are treated
        like the others.
    bad_segments : {"drop", "keep"}
        Leave out the epochs that touch a segment the authors marked bad, or keep them, told by the coordinate
        bad_segment.

    Returns
    -------
    xarray.DataArray, shape (about 390, 128, 90)
        float32 in V from -0.195 to 0.5 s at 128 Hz, average reference (without noisy electrodes).
        Along trial, beside those of `signalrp.domains.eeg.data.from_epochs`: onset in s, bad_segment,
        preceding (the event before this one) and preceding_s (how long before, in s).

    Raises
    ------
    ValueError
        If the person, the task or a choice is unknown.
    signalrp.manifests.DataError
        If the set cannot be fetched or is not what its manifest says.

    Notes
    -----
    The recording was filtered from 1 to 30 Hz by its authors; the filter from 0.5 to 40 Hz applied here
    changes little.

    Presses answer checkerboards: 98 % follow one of their own side, 0.39 s (person 1) and 0.41 s (person 2) before
    in the median. The side of a press is thus the side of a visual response as well, so whatever tells left from
    right presses may be the checkerboard; `preceding` and `preceding_s` let a study look at that. (A linear
    classifier tells the presses of the two people apart at 84 and 92 % from the 0.2 s before them alone.)

    Nor are the sequences random: a checkerboard is on the other side than the one before it in 75 % of cases, and
    upright faces and houses take turns in 76 %, so that what remains of the last trial carries some information.

    The epochs of all tasks are stored beside the recordings, so that a second call takes less than a second.
    """
    if subject not in (1, 2):
        raise ValueError(f"The set has the people 1 and 2, not {subject!r}.")
    if task not in FACES_CLASSES:
        raise ValueError(f"The task {task!r} is unknown; choose one of {', '.join(map(repr, FACES_CLASSES))}.")
    if noisy not in ("interpolate", "drop", "keep") or bad_segments not in ("drop", "keep"):
        raise ValueError(
            f"noisy={noisy!r}, bad_segments={bad_segments!r} is unknown; choose 'interpolate', 'drop' or 'keep' for "
            "noisy, and 'drop' or 'keep' for bad_segments."
        )
    folder = manifests.fetch("pylossless-faces", root)
    cache = folder / f"epochs{_VERSION}-s{subject:02d}-{noisy}.npz"
    if not cache.is_file():
        signal = _faces_of(folder, subject, noisy)
        # Where the folder cannot be written to, every call computes anew.
        with contextlib.suppress(OSError):
            write_npz(signal, cache)
    else:
        signal = read_npz(cache)
    signal = with_classes(signal, list(FACES_CLASSES[task]))
    return signal if bad_segments == "keep" else signal.isel(trial=~signal["bad_segment"].values)


def _faces_of(folder: Path, subject: int, noisy: str) -> xr.DataArray:
    start = folder / f"sub-s{subject:02d}"
    raw = open_file(f"{start}_task-faceO_eeg.edf")
    flags = pd.read_csv(f"{start}_task-faceO_ll_FlaggedChs.tsv", sep="\t", encoding="utf-8-sig")
    if noisy != "keep":
        raw.info["bads"] = [name for name in flags["ch_names"][flags["labels"].isin(_NOISY)] if name in raw.ch_names]
    places = pd.read_csv(f"{start}_space-CapTrak_electrodes.tsv", sep="\t", encoding="utf-8-sig")
    montage = mne.channels.make_dig_montage(
        dict(zip(places["name"], places[["x", "y", "z"]].to_numpy(float), strict=True)), coord_frame="head"
    )
    signal = from_raw(
        raw,
        {name: event for task in FACES_CLASSES.values() for name, event in task.items()},
        subject=f"S{subject:02d}",
        band=(0.5, 40.0),
        reference="average",
        sfreq=_FACES_RATE,
        montage=montage,
        bads=noisy,
        bad_segments="keep",
        attrs={"title": "faceO of pylossless 0.2.0", "source": "pylossless 0.2.0 (PyPI)"},
    ).astype(np.float32)
    before, delay = _preceding(raw, signal["sample"].values)
    signal = signal.assign_coords(preceding=("trial", before), preceding_s=("trial", delay, {"units": "s"}))
    signal["onset"].attrs["units"] = "s"
    return signal


def _preceding(raw: Any, samples: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
    """Name of the event before each of these samples, and how long ago it was in s."""
    events, event_id = events_of(raw)
    names = {code: name for name, code in event_id.items()}
    place = np.searchsorted(events[:, 0], samples) - 1
    found = [names[events[at, 2]] if at >= 0 else "" for at in place]
    delay = (samples - events[np.maximum(place, 0), 0]) / raw.info["sfreq"]
    return np.array(found, dtype=str), np.where(place >= 0, delay, np.nan)


def eegbci(
    subject: int,
    task: Literal["imagined fists", "real fists", "imagined fists or feet", "real fists or feet"] = "imagined fists",
    path: str | os.PathLike[str] | None = None,
    tmin: float = 0.0,
    tmax: float = 4.0,
    **choices: Any,
) -> xr.DataArray:
    """EEGBCI: movements, imagined or real, of 109 people; 64 electrodes, 160 Hz.

    Data of Schalk et al. (2004), doi:10.1109/TBME.2004.827072, from PhysioNet, fetched and verified by MNE.

    Parameters
    ----------
    subject : int
        1 to 109.
    task : str
        "imagined fists" (runs 4, 8, 12) or "real fists" (3, 7, 11): left (label 0) against right (1);
        "imagined fists or feet" (6, 10, 14) or "real fists or feet" (5, 9, 13): both fists (0) against both feet (1).
    path : path, optional
        Folder MNE keeps its data sets in.
    tmin, tmax : float
        Window in s around the cue.
    **choices
        See `signalrp.domains.eeg.epoching.epochs_of`.

    Returns
    -------
    xarray.DataArray, shape (about 45, 64, time)
        Names and positions of the 10-05 system. The coordinate run tells the three runs apart, so that folds
        grouped by it cannot leak.

    Raises
    ------
    signalrp.manifests.DataError
        If MNE cannot fetch the files.
    ValueError
        If the person or the task is unknown.
    """
    runs = {
        "imagined fists": (4, 8, 12),
        "real fists": (3, 7, 11),
        "imagined fists or feet": (6, 10, 14),
        "real fists or feet": (5, 9, 13),
    }
    if subject not in range(1, 110) or task not in runs:
        raise ValueError(f"The set has the people 1 to 109 and the tasks {list(runs)}, not {subject!r}, {task!r}.")
    from mne.datasets import eegbci as fetcher

    try:
        files = fetcher.load_data(subject, runs[task], path, update_path=False, verbose="error")
    except Exception as error:
        raise manifests.DataError(
            f"MNE could not fetch EEGBCI from physionet.org ({' '.join(str(error).split())}); check the network, or "
            "put the files S001R04.edf and so on where mne.datasets.eegbci looks for them, and give that path."
        ) from error
    names = ("both fists", "both feet") if task.endswith("feet") else ("left fist", "right fist")
    signals = []
    for run, file in zip(runs[task], files, strict=True):
        raw = open_file(file)
        fetcher.standardize(raw)
        signal = from_raw(
            raw,
            {names[0]: "T1", names[1]: "T2"},
            tmin,
            tmax,
            subject=f"S{subject:03d}",
            attrs={"title": "EEGBCI", "source": "doi:10.1109/TBME.2004.827072"},
            **({"montage": "colin27_1005"} | choices),
        )
        signals.append(signal.assign_coords(run=("trial", [f"R{run:02d}"] * signal.sizes["trial"])))
    return concatenate(signals)
