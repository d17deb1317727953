"""Gait data sets as labelled arrays (trial, channel, time)."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from signalrp import manifests

from .labelled import STANCE, labelled

SPEED_CONDITIONS = ("slow", "normal", "fast")


def speedgrf(root: str | os.PathLike[str] | None = None) -> xr.DataArray:
    """SpeedGRF: vertical ground reaction force of ten people walking at three speeds.

    Data of Pataky et al. (2008), doi:10.1016/j.jbiomech.2008.03.034, as distributed with spm1d 0.4.55;
    fetched when it is not on this computer yet.

    Parameters
    ----------
    root : path, optional
        Folder that holds the data sets, see `signalrp.manifests.fetch`.

    Returns
    -------
    xarray.DataArray, shape (600, 1, 101)
        One channel "vertical GRF" in multiples of body weight ("BW") over 0 to 100 % stance. Trial
        coordinates: subject ("S01" to "S10", 60 trials each), label (int, the person), speed (m/s),
        speed_condition ("slow", "normal", "fast").

    Raises
    ------
    signalrp.manifests.DataError
        If the set cannot be fetched or is not what its manifest says.

    Notes
    -----
    Source and literature label the curves as body weights. Their mean over stance is 1.1 to 1.4, where
    walking requires about 0.8 (each foot carries half the weight during 60 % of the stride), so the scale is
    not calibrated; shapes and comparisons between trials are not affected.
    """
    folder = manifests.fetch("speedgrf", root)
    people = [np.load(folder / f"ex_grf_subj{number:03d}.npy", allow_pickle=False) for number in range(10)]
    # The two tables are (trial, person), the curves one file per person.
    speeds = np.load(folder / "ex_grf_speeds.npy", allow_pickle=False)
    conditions = np.load(folder / "ex_grf_speeds_cond.npy", allow_pickle=False)
    trials = people[0].shape[0]
    person = np.repeat(np.arange(10), trials)
    signal = labelled(
        np.concatenate(people)[:, None, :],
        ["vertical GRF"],
        np.arange(101.0),
        STANCE,
        "BW",
        {
            "subject": [f"S{number + 1:02d}" for number in person],
            "label": person,
            "speed": speeds.T.ravel(),
            "speed_condition": np.array(SPEED_CONDITIONS)[conditions.T.ravel() - 1],
        },
        title="SpeedGRF",
        source="doi:10.1016/j.jbiomech.2008.03.034 (spm1d 0.4.55)",
        comment="scale as published, not calibrated: mean over stance 1.1 to 1.4 instead of about 0.8 BW",
    )
    signal["speed"].attrs["units"] = "m/s"
    return signal


def clinical_grf(
    path: str | os.PathLike[str], names: Literal["by shape", "as in the file"] = "by shape"
) -> xr.DataArray:
    """Clinical GRF: both feet of healthy people and of hip, knee and ankle patients.

    Data of Slijepcevic et al. (2021), doi:10.1145/3474121; free for academic use only.

    Parameters
    ----------
    path : path
        The file ``gait_clinical_grf.npz``, or the folder that holds it. Its arrays are grf (trial, channel,
        time), subject, injury, fold, permutation (trial,), injury_names (4,), channel_names_by_shape and
        channel_names_file (6,).
    names : {"by shape", "as in the file"}
        The published files swap the names of the two shear forces. By default channels are named after what
        their curves are: medio-lateral about 0.03 BW of one sign, fore-aft braking then pushing with up to
        0.2 BW.

    Returns
    -------
    xarray.DataArray, shape (970, 6, 101)
        In multiples of body weight ("BW") over 0 to 100 % stance. Trial coordinates: subject, label (int: 0
        healthy, 1 hip, 2 knee, 3 ankle), injury (the same as names), fold (int, published test fold) and
        permutation: ``signal.isel(trial=signal.permutation.values)`` is the order the published models were
        trained and tested in.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    signalrp.manifests.DataError
        If the file is cut short or has other contents.
    """
    keys = {"by shape": "channel_names_by_shape", "as in the file": "channel_names_file"}
    if names not in keys:
        raise ValueError(f"The naming {names!r} is unknown; choose 'by shape' or 'as in the file'.")
    wanted = ["grf", "subject", "injury", "fold", "permutation", "injury_names", keys[names]]
    table = read_npz(path, "gait_clinical_grf.npz", wanted)
    return labelled(
        table["grf"],
        [str(name) for name in table[keys[names]]],
        np.arange(101.0),
        STANCE,
        "BW",
        {
            "subject": [f"S{number:03d}" for number in table["subject"]],
            "label": table["injury"].astype(np.int64),
            "injury": table["injury_names"][table["injury"]],
            "fold": table["fold"].astype(np.int64),
            "permutation": table["permutation"].astype(np.int64),
        },
        title="Clinical GRF",
        source="doi:10.1145/3474121",
    )


def read_npz(path: str | os.PathLike[str], name: str, keys: list[str]) -> dict[str, np.ndarray]:
    """Arrays of the npz file `name` in a folder, or of the file `path` itself; never unpickles anything."""
    file = Path(path) / name if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}; give the folder that holds {name}, or the file itself.")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {key: archive[key] for key in keys}
    except KeyError as error:
        raise manifests.DataError(f"{file} has no array {error}; it is not the expected {name}.") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise manifests.DataError(f"{file} cannot be read ({error}); it is cut short, fetch it again.") from error
