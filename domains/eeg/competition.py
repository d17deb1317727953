"""Motor imagery of the BCI Competitions: III data set IVa, and IV data set 2a. Both are downloaded by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.manifests import DataError

from ._mne import mne
from .readers import from_raw, open_file

# Order of the channels in the description of data set 2a; its files name only some of them.
# fmt: off
_CHANNELS_2A = [
    "Fz", "FC3", "FC1", "FCz", "FC2", "FC4", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "CP3", "CP1", "CPz", "CP2",
    "CP4", "P1", "Pz", "P2", "POz",
]
# fmt: on
_EOG_2A = ["EOG left", "EOG central", "EOG right"]
_CUES_2A = {"left hand": "769", "right hand": "770", "feet": "771", "tongue": "772"}
_UNKNOWN_CUE, _REJECTED_TRIAL, _NEW_RUN, _TRIAL_START = "783", "1023", "32766", "768"
_TRIAL_SECONDS = 6.0
_MICROVOLT_IVA = 0.1


def bci_iii_iva(
    folder: str | os.PathLike[str],
    subject: Literal["aa", "al", "av", "aw", "ay"] = "aa",
    tmin: float = 0.0,
    tmax: float = 3.5,
    **choices: Any,
) -> xr.DataArray:
    """BCI Competition III, data set IVa: imagined movement of the right hand or the right foot, five people.

    Data of Fraunhofer FIRST and Charité Berlin (Blankertz et al. 2006, doi:10.1109/TNSRE.2006.875642).

    Parameters
    ----------
    folder : path
        Folder with ``data_set_IVa_aa.mat`` and so on (100 or 1000 Hz, the Matlab format), and
        ``true_labels_aa.mat`` for the trials whose labels were withheld in the competition.
    subject : {"aa", "al", "av", "aw", "ay"}
        The person.
    tmin, tmax : float
        Window in s around the cue, which lasted 3.5 s.
    **choices
        See `signalrp.domains.eeg.epoching.epochs_of`.

    Returns
    -------
    xarray.DataArray, shape (280, 118, time)
        right hand (label 0), right foot (1). The coordinate part is "training" or "test", as in the
        competition. Without the true labels, the training trials only.

    Raises
    ------
    FileNotFoundError
        If the recording is not there.
    signalrp.manifests.DataError
        If a file is cut short or has other contents.
    """
    table = _load_mat(Path(folder) / f"data_set_IVa_{subject}.mat", ("cnt", "mrk", "nfo"))
    codes = np.asarray(table["mrk"]["y"], dtype=float).ravel()
    position = np.asarray(table["mrk"]["pos"], dtype=np.int64).ravel() - 1
    known = np.isfinite(codes)
    truth = Path(folder) / f"true_labels_{subject}.mat"
    if truth.is_file():
        codes = np.asarray(_load_mat(truth, ("true_y",))["true_y"], dtype=float).ravel()
        if len(codes) != len(position):
            raise DataError(f"{truth.name} has {len(codes)} labels for {len(position)} cues; take that of {subject!r}.")
    names = [str(name) for name in np.ravel(table["mrk"]["className"])]
    classes = {"right hand": names.index("right") + 1, "right foot": names.index("foot") + 1}
    rate = float(table["nfo"]["fs"])
    channels = [str(name) for name in np.ravel(table["nfo"]["clab"])]
    volts = np.asarray(table["cnt"], dtype=float).T * _MICROVOLT_IVA * 1e-6
    raw = mne.io.RawArray(volts, mne.create_info(channels, rate, "eeg"), verbose="error")
    for name, code in classes.items():
        chosen = codes == code
        raw.annotations.append(position[chosen] / rate, 0.0, name)
    signal = from_raw(
        raw,
        list(classes),
        tmin,
        tmax,
        subject=subject,
        attrs={"title": "BCI Competition III, data set IVa", "source": "doi:10.1109/TNSRE.2006.875642"},
        **({"montage": "colin27_1005"} | choices),
    )
    trained = np.isin(np.round(signal["onset"].values * rate).astype(int), position[known])
    return signal.assign_coords(part=("trial", np.where(trained, "training", "test")))


def bci_iv_2a(
    folder: str | os.PathLike[str],
    subject: int,
    session: Literal["T", "E"] = "T",
    tmin: float = 0.0,
    tmax: float = 4.0,
    **choices: Any,
) -> xr.DataArray:
    """BCI Competition IV, data set 2a: imagined movement of left hand, right hand, feet and tongue, nine people.

    Data of Graz University of Technology (Tangermann et al. 2012, doi:10.3389/fnins.2012.00055).

    Parameters
    ----------
    folder : path
        Folder with ``A01T.gdf``, ``A01E.gdf`` and so on; for the sessions "E" also with the true labels
        (``A01E.mat`` with the variable classlabel), which were published after the competition.
    subject : int
        1 to 9.
    session : {"T", "E"}
        First day or second day.
    tmin, tmax : float
        Window in s around the cue; people imagined the movement for 4 s.
    **choices
        See `signalrp.domains.eeg.epoching.epochs_of`. Trials that the organisers rejected are marked bad.

    Returns
    -------
    xarray.DataArray, shape (up to 288, 22, time)
        left hand (label 0), right hand (1), feet (2), tongue (3). The coordinates session and run (six per
        session) keep together what was recorded together. The three EOG channels come with picks=["eeg", "eog"].

    Raises
    ------
    FileNotFoundError
        If the recording, or for session "E" its labels, are not there.
    signalrp.manifests.DataError
        If a file is cut short or has other contents.
    """
    name = f"A{subject:02d}{session}"
    raw = open_file(Path(folder) / f"{name}.gdf")
    _name_channels(raw, name)
    notes = raw.annotations
    text = np.array([str(description) for description in notes.description])
    if session == "E":
        text = _with_true_labels(text, Path(folder) / f"{name}.mat")
    names = {code: cue for cue, code in _CUES_2A.items()}
    cues = np.isin(text, list(names))
    rejected = text == _REJECTED_TRIAL
    starts = notes.onset[text == _NEW_RUN]
    raw.set_annotations(
        mne.Annotations(
            np.concatenate([notes.onset[cues], notes.onset[rejected]]),
            np.concatenate([np.zeros(cues.sum()), np.maximum(notes.duration[rejected], _TRIAL_SECONDS)]),
            [names[code] for code in text[cues]] + ["BAD_rejected"] * int(rejected.sum()),
            orig_time=notes.orig_time,
        )
    )
    signal = from_raw(
        raw,
        list(_CUES_2A),
        tmin,
        tmax,
        subject=f"A{subject:02d}",
        attrs={"title": "BCI Competition IV, data set 2a", "source": "doi:10.3389/fnins.2012.00055"},
        **({"montage": "colin27_1005"} | choices),
    )
    # The recording opens with runs for the eyes only, so the runs are numbered by the cues that follow them.
    place = np.searchsorted(starts, signal["onset"].values, side="right")
    _, run = np.unique(np.searchsorted(starts, notes.onset[cues], side="right"), return_inverse=True)
    number = dict(zip(np.searchsorted(starts, notes.onset[cues], side="right").tolist(), run.tolist(), strict=True))
    return signal.assign_coords(
        session=("trial", [session] * signal.sizes["trial"]),
        run=("trial", [f"run {number[at] + 1}" for at in place.tolist()]),
    )


def _name_channels(raw: Any, name: str) -> None:
    names = _CHANNELS_2A + _EOG_2A
    found = list(raw.ch_names)
    if len(found) != len(names) or not all(
        found[names.index(site)].lower().endswith(site.lower()) for site in ("Fz", "C3", "Cz", "C4", "Pz")
    ):
        raise DataError(f"{name}.gdf has the channels {found}; expected the 22 EEG and 3 EOG channels of data set 2a.")
    raw.rename_channels(dict(zip(found, names, strict=True)))
    raw.set_channel_types(dict.fromkeys(_EOG_2A, "eog"), verbose="error")


def _with_true_labels(text: npt.NDArray[np.str_], file: Path) -> npt.NDArray[np.str_]:
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file {file.name} with the true labels of this session; put it beside the recording."
        )
    labels = np.asarray(_load_mat(file, ("classlabel",))["classlabel"], dtype=int).ravel()
    cues = text == _UNKNOWN_CUE
    if len(labels) != cues.sum():
        raise DataError(f"{file.name} has {len(labels)} labels for {cues.sum()} cues; take that of the same session.")
    text = text.copy()
    text[cues] = np.array(list(_CUES_2A.values()))[labels - 1]
    return text


def _load_mat(file: Path, names: tuple[str, ...]) -> dict[str, Any]:
    from scipy.io import loadmat

    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}; see `signalrp data info` on where the set is published.")
    try:
        table = loadmat(file, simplify_cells=True)
    except Exception as error:
        raise DataError(f"{file.name} cannot be read ({error}); it is cut short or no Matlab file.") from error
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(f"{file.name} lacks {', '.join(missing)}; it is not the file of the competition.")
    return {name: table[name] for name in names}
