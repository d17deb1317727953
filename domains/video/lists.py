"""Clip lists: a table or CSV that says which file, which part of it, and which class; folders by class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from signalrp.manifests import DataError

from .data import some
from .decoding import PathLike
from .readers import read

ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".m4v", ".gif")
_OWN = ("file", "label", "subject", "start", "stop")


def read_list(
    clips: pd.DataFrame | PathLike,
    classes: Sequence[str] | None = None,
    *,
    folder: PathLike | None = None,
    **choices: Any,
) -> xr.DataArray:
    """Read the clips of a list.

    Parameters
    ----------
    clips : pandas.DataFrame or path
        One clip per row; or a CSV of it with a header. Columns: file; and where they are known label (name or number
        of the class), subject, start and stop (s; empty for the beginning and the end of the file). Further columns
        become coordinates along trial.
    classes : sequence of str, optional
        Names of the classes, in the order of their numbers.
    folder : path, optional
        What file names are relative to; by default the folder of the CSV, or the working folder.
    **choices
        As for `signalrp.domains.video.readers.read`.

    Returns
    -------
    xarray.DataArray, shape (trial, rgb, frame, row, column)
        As `read`.

    Raises
    ------
    FileNotFoundError
        If the list, or a file on it, is not there.
    signalrp.manifests.DataError
        If the list is no such table, or a file is damaged.
    ValueError
        As `read`.
    """
    table, folder = _table(clips, folder)
    paths = [Path(folder) / str(name) for name in table["file"]]
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        raise FileNotFoundError(f"{len(absent)} of {len(paths)} files on the list are not there: {some(absent)}.")
    given = {key: table[key].to_numpy() for key in table.columns if key not in _OWN}
    bounds = {key: table[key].fillna(value).tolist() for key, value in _BOUNDS.items() if key in table}
    return read(
        paths,
        table["label"].tolist() if "label" in table else None,
        table["subject"].astype(str).tolist() if "subject" in table else None,
        classes,
        trial=given,
        **bounds,
        **choices,
    )


def list_folder(
    path: PathLike,
    classes: Sequence[str] | None = None,
    *,
    subject: Callable[[Path], str] | None = None,
    endings: Sequence[str] = ENDINGS,
) -> pd.DataFrame:
    """Clip list of a folder with one subfolder of video files per class.

    Parameters
    ----------
    path : path
        The folder.
    classes : sequence of str, optional
        Subfolders to list; by default all that hold such files.
    subject : callable, optional
        Takes the path of a file and returns the person or video it is of. By default every file is a subject.
    endings : sequence of str
        What names of video files end with.

    Returns
    -------
    pandas.DataFrame
        Columns file, label and subject; sorted by file within classes, for `read_list`.

    Raises
    ------
    FileNotFoundError
        If the folder, or a class, is not there.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    found = {entry.name: _videos(entry, endings) for entry in sorted(folder.iterdir()) if entry.is_dir()}
    names = [name for name, files in found.items() if files] if classes is None else [str(name) for name in classes]
    empty = [name for name in names if not found.get(name)]
    if empty or not names:
        raise FileNotFoundError(
            f"{folder} has no video files in the subfolders {some(empty)}; expected one subfolder per class with files "
            f"that end with {', '.join(endings)}."
        )
    rows = [
        (str(file), name, file.stem if subject is None else subject(file)) for name in names for file in found[name]
    ]
    return pd.DataFrame(rows, columns=["file", "label", "subject"])


def read_folder(path: PathLike, classes: Sequence[str] | None = None, **choices: Any) -> xr.DataArray:
    """Read a folder with one subfolder of video files per class; see `list_folder` and `read_list`."""
    listing = {key: choices.pop(key) for key in ("subject", "endings") if key in choices}
    table = list_folder(path, classes, **listing)
    return read_list(table, list(dict.fromkeys(table["label"])), **choices)


_BOUNDS = {"start": 0.0, "stop": float("inf")}


def _videos(folder: Path, endings: Sequence[str]) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)


def _table(clips: pd.DataFrame | PathLike, folder: PathLike | None) -> tuple[pd.DataFrame, PathLike]:
    if isinstance(clips, pd.DataFrame):
        table, name = clips, "The clip list"
    else:
        file = Path(clips)
        if not file.is_file():
            raise FileNotFoundError(f"There is no clip list {file}.")
        name, folder = file.name, file.parent if folder is None else folder
        try:
            table = pd.read_csv(file, dtype={"file": str, "label": object, "subject": str})
        except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
            raise DataError(f"{name} is no table of comma-separated values ({error}).") from error
        if "label" in table and table["label"].map(lambda text: str(text).isdigit()).all():
            table["label"] = table["label"].astype(int)
    if "file" not in table or table.empty:
        raise DataError(
            f"{name} has {len(table)} rows and the columns {some(list(map(str, table.columns)))}; expected at least "
            "one row and the column file, and where they are known label, subject, start and stop."
        )
    empty = [key for key in ("file", "label", "subject") if key in table and table[key].isna().any()]
    if empty:
        raise DataError(f"{name} has rows without a value of {some(empty)}; fill them in or drop the column.")
    for key in _BOUNDS:
        if key in table and not pd.api.types.is_numeric_dtype(table[key]):
            raise DataError(f"{name} has a {key} that is no number; expected seconds.")
    return table, os.curdir if folder is None else folder
