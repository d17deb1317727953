"""Tables of many trials as labelled arrays: the CSV files of GaitRec and Gutenberg, and any tidy CSV."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from .labelled import SECONDS, STANCE, labelled

COMPONENTS = ("F_V", "F_AP", "F_ML", "COP_AP", "COP_ML")
SIDES = ("left", "right")
_IDS = ("DATASET_ID", "SUBJECT_ID", "SESSION_ID", "TRIAL_ID")
_PRO_POINTS = 101


def grf_tables(
    folder: str | os.PathLike[str],
    processing: Literal["PRO", "RAW"] = "PRO",
    components: Sequence[str] = ("F_V", "F_AP", "F_ML"),
    sides: Sequence[str] = SIDES,
    *,
    rate: float | None = None,
    label: str | None = None,
    where: Callable[[pd.DataFrame], npt.ArrayLike] | None = None,
) -> xr.DataArray:
    """Read the CSV files of GaitRec or of the Gutenberg Gait Database.

    GaitRec: Horsak et al. (2020), doi:10.1038/s41597-020-0481-z. Gutenberg: Horst et al. (2021),
    doi:10.1038/s41597-021-01014-6. Both name their files ``GRF_{component}_{processing}_{side}.csv``: columns
    with the identifiers (SUBJECT_ID, SESSION_ID, TRIAL_ID; Gutenberg begins with DATASET_ID), then the
    samples by position.

    Parameters
    ----------
    folder : path
        Folder with the CSV files, and with ``GRF_metadata.csv`` for everything that is known about a session.
    processing : {"PRO", "RAW"}
        "PRO": filtered, 101 points of stance, forces in multiples of body weight. "RAW": as recorded, forces
        in newton, trials of different length padded with NaN at the end.
    components : sequence of str
        Of "F_V" vertical, "F_AP" anterior-posterior, "F_ML" medio-lateral force, "COP_AP", "COP_ML" centre of
        pressure (m).
    sides : sequence of str
        Of "left" and "right".
    rate : float, optional
        Samples per second, required for "RAW", whose files do not state it.
    label : str, optional
        Column whose values become the int coordinate "label": default CLASS_LABEL where there is one
        (GaitRec), else the person.
    where : callable, optional
        Takes the table of trials (identifiers and metadata, upper-case names) and returns which ones to keep,
        for instance ``lambda trials: trials.SPEED == 2``.

    Returns
    -------
    xarray.DataArray, shape (trial, component x side, time)
        Channels such as "F_V left". Trial coordinates: subject, session, trial_id, label, class_name, and
        every column of the metadata in lower case. Label numbers follow the sorted class names.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If a component or side is unknown, a file is cut short, files hold different trials, or the rate is
        missing.
    """
    _check_choice("component", components, COMPONENTS)
    _check_choice("side", sides, SIDES)
    _check_choice("processing", [processing], ("PRO", "RAW"))
    if processing == "RAW" and not (rate and rate > 0):
        raise ValueError("RAW files do not state their sampling rate; give rate in samples per second.")
    channels = [(component, side) for component in components for side in sides]
    trials: pd.DataFrame | None = None
    keep = np.empty(0, dtype=bool)
    samples = []
    for component, side in channels:
        file = Path(folder) / f"GRF_{component}_{processing}_{side}.csv"
        ids, values = _grf_table(file, processing)
        if trials is None:
            trials = _with_metadata(ids, Path(folder))
            keep = np.ones(len(ids), bool) if where is None else np.asarray(where(trials), dtype=bool)
        elif not ids.equals(trials[list(ids.columns)]):
            raise ValueError(
                f"{file.name} holds other trials, or another order, than the files before; fetch all again."
            )
        samples.append(values[keep])
    if trials is None or not keep.any():
        raise ValueError("No trial is left; ask for at least one component and side, and check the condition in where.")
    length = max(values.shape[1] for values in samples)
    padded = [np.pad(v, ((0, 0), (0, length - v.shape[1])), constant_values=np.nan) for v in samples]
    force_unit = "BW" if processing == "PRO" else "N"
    return labelled(
        np.stack(padded, axis=1),
        [f"{component} {side}" for component, side in channels],
        np.arange(float(length)) if processing == "PRO" else np.arange(length) / (rate or 1.0),
        STANCE if processing == "PRO" else SECONDS,
        [force_unit if component.startswith("F") else "m" for component, _ in channels],
        _trial_coordinates(trials[keep], label),
        source="Gutenberg Gait Database" if "DATASET_ID" in trials else "GaitRec",
    )


def _check_choice(kind: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"Unknown {kind} {unknown}; choose among {', '.join(known)}.")


def _grf_table(file: Path, processing: str) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    table = _read_csv(file)
    ids = [name for name in _IDS if name in table.columns]
    if len(ids) < 3 or list(table.columns[: len(ids)]) != ids:
        raise ValueError(f"{file} must begin with the columns {', '.join(_IDS[1:])}; it begins with {list(table)[:4]}.")
    try:
        values = table.iloc[:, len(ids) :].to_numpy(dtype=np.float32)
        identifiers = table[ids].astype(np.int64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} holds something that is no number ({error}); it was cut short or edited.") from error
    missing = np.isnan(values)
    lengths = np.where(missing.all(axis=1), 0, values.shape[1] - missing[:, ::-1].argmin(axis=1))
    broken = (missing.sum(axis=1) != values.shape[1] - lengths) | (lengths == 0)
    if processing == "PRO":
        if values.shape[1] != _PRO_POINTS:
            raise ValueError(f"{file} has {values.shape[1]} points a trial where PRO files have {_PRO_POINTS}.")
        broken |= missing.any(axis=1)
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        raise ValueError(
            f"{file} has {int((~missing[row]).sum())} of {values.shape[1]} values in row {row + 2}, with "
            "gaps where "
            "there should be none; it was cut short, fetch it again."
        )
    return identifiers, values


def _read_csv(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}; put it into the folder, or leave out this channel.")
    try:
        return pd.read_csv(file, low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as a CSV table ({error}); fetch it again.") from error


def _with_metadata(ids: pd.DataFrame, folder: Path) -> pd.DataFrame:
    file = folder / "GRF_metadata.csv"
    if not file.is_file():
        return ids
    metadata = _read_csv(file)
    keys = [name for name in ids.columns if name in metadata.columns and name != "TRIAL_ID"]
    if "SESSION_ID" not in keys:
        raise ValueError(f"{file} has no column SESSION_ID; it begins with {list(metadata)[:4]}.")
    metadata = metadata.drop_duplicates(keys)
    joined = ids.merge(metadata, on=keys, how="left", indicator=True, validate="many_to_one")
    absent = int((joined["_merge"] == "left_only").sum())
    if absent:
        raise ValueError(f"{file} says nothing about {absent} of {len(ids)} trials; it was cut short, fetch it again.")
    return joined.drop(columns="_merge")


def _trial_coordinates(trials: pd.DataFrame, label: str | None) -> dict[str, Any]:
    subject = trials["SUBJECT_ID"].astype(str)
    if "DATASET_ID" in trials:
        subject = trials["DATASET_ID"].astype(str) + "-" + subject
    column = label or ("CLASS_LABEL" if "CLASS_LABEL" in trials else "SUBJECT_ID")
    if column not in trials:
        raise ValueError(f"There is no column {column!r} to take the label from; known are {list(trials)}.")
    names = subject if column == "SUBJECT_ID" else trials[column].astype(str)
    classes, codes = np.unique(names.to_numpy(dtype=str), return_inverse=True)
    coordinates: dict[str, Any] = {
        "subject": subject.to_numpy(dtype=str),
        "session": trials["SESSION_ID"].to_numpy(),
        "trial_id": trials["TRIAL_ID"].to_numpy(),
        "label": codes.astype(np.int64),
        "class_name": classes[codes],
    }
    for name in trials.columns.difference(_IDS, sort=False):
        coordinates.setdefault(str(name).lower(), _column(trials[name]))
    return coordinates


def _column(column: pd.Series[Any]) -> npt.NDArray[Any]:
    numeric = pd.api.types.is_numeric_dtype(column)
    return np.asarray(column.to_numpy() if numeric else column.astype(str).to_numpy(dtype=str))


def tidy_csv(path: str | os.PathLike[str], units: str = "", time_units: str = SECONDS) -> xr.DataArray:
    """Read a tidy CSV: one row per sample, with the columns trial, channel, time and value.

    Parameters
    ----------
    path : path
        The file. A column "unit", if there is one, gives the unit of each channel, and a column "time_unit" the
        unit of all times. Every other column is a property of the trial and becomes a coordinate along trial
        (such as subject or speed); a column "label" must hold ints.
    units : str
        Unit of all values when there is no column "unit".
    time_units : str
        "s" or "% stance", when there is no column "time_unit".

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        Trials and channels in the order of their first row; "trial" is a coordinate with the trial names.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, a sample is missing or occurs twice, values are no numbers, a property
        changes within a trial, or the unit of time changes.
    """
    file = Path(path)
    table = _read_csv(file)
    absent = [name for name in ("trial", "channel", "time", "value") if name not in table]
    if absent:
        raise ValueError(f"{file} has no column {', '.join(absent)}; a tidy table has trial, channel, time and value.")
    for name in ("time", "value"):
        if not pd.api.types.is_numeric_dtype(table[name]) or table[name].isna().any():
            raise ValueError(f"{file} has a {name} that is missing or no number; it was cut short or edited.")
    if table.duplicated(["trial", "channel", "time"]).any():
        raise ValueError(f"{file} gives the same trial, channel and time twice; leave one of the rows out.")
    trials, channels = table["trial"].unique(), table["channel"].unique()
    times = np.sort(table["time"].unique())
    counts = table.groupby("trial", sort=False)["value"].count()
    short = counts[counts != len(channels) * len(times)]
    if len(short):
        raise ValueError(
            f"{file} has {short.iloc[0]} of {len(channels) * len(times)} samples of trial "
            f"{short.index[0]!r}; every "
            "trial needs every channel at the same instants, normalise the time first or complete the file."
        )
    grid = table.sort_values("time").set_index(["trial", "channel", "time"])["value"]
    index = pd.MultiIndex.from_product([trials, channels, times])
    values = grid.reindex(index).to_numpy(dtype=float).reshape(len(trials), len(channels), len(times))
    properties = [name for name in table if name not in ("trial", "channel", "time", "value", "unit", "time_unit")]
    unit_of = _constant(table, "channel", "unit", file) if "unit" in table else pd.Series(units, index=channels)
    return labelled(
        values,
        [str(name) for name in channels],
        times,
        _time_units(table, file) if "time_unit" in table else time_units,
        [str(unit_of[name]) for name in channels],
        {"trial": trials.astype(str)}
        | {str(name): _column(_constant(table, "trial", name, file).loc[trials]) for name in properties},
        name=file.stem,
        source=file.name,
    )


def _time_units(table: pd.DataFrame, file: Path) -> str:
    units = table["time_unit"].unique()
    if len(units) != 1:
        raise ValueError(f"{file} gives times in {', '.join(map(str, units))}; expected one unit, s or % stance.")
    return str(units[0])


def _constant(table: pd.DataFrame, within: str, name: str, file: Path) -> pd.Series[Any]:
    grouped = table.groupby(within, sort=False)[name]
    changing = grouped.nunique(dropna=False)
    if (changing > 1).any():
        raise ValueError(f"{file} gives more than one {name} for the {within} {changing.idxmax()!r}; expected one.")
    return grouped.first()
