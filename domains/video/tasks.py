"""The task that the study knows by name, and anybody's own folder of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.splits import folds

from .data import classes_of, every
from .digits import moving_digits
from .lists import read_folder

Indices = npt.NDArray[np.int64]
_FRAMES, _SIZE = 16, (48, 48)
_LONGER = 3
"""How many times as long clips are fetched as a net takes, for fast forward."""


@dataclass(frozen=True)
class Task:
    """What is to be told from what moves.

    Attributes
    ----------
    name, question : str
        For files and titles.
    signal : xarray.DataArray
        Clips (trial, rgb, frame, row, column) with the trial coordinates label and subject.
    splits : sequence of (train, test)
        Of own clips; empty where weights come with signalrp and all clips are held out.
    words : str
        How training and test were kept apart.
    truth : xarray.DataArray or None
        Where the cause is, boolean (trial, frame, row, column).
    longer : xarray.DataArray or None
        Clips that go on for longer, for fast forward.
    """

    name: str
    question: str
    signal: xr.DataArray
    splits: Sequence[tuple[Indices, Indices]]
    words: str
    truth: xr.DataArray | None = None
    longer: xr.DataArray | None = None


def load_task(data: str, clips: int = 240, *, count: int = 4, seed: int = 0) -> Task:
    """Load the task that is known by name, or anybody's own clips by path.

    Parameters
    ----------
    data : str
        "moving-digits", where a handwritten digit moves to in front of real video (semi-synthetic), or the path of a
        folder with one subfolder of video files per class.
    clips : int
        How many held-out clips of moving digits.
    count : int
        Number of folds of own clips.
    seed : int
        Of clips and folds.

    Raises
    ------
    ValueError
        If there is no such task or folder, one class only, or too few clips.
    signalrp.manifests.DataError
        If the background cannot be fetched, or a file cannot be read.
    """
    if data == "moving-digits":
        longer, truth = moving_digits(clips, part="test", frames=_LONGER * _FRAMES, seed=seed + 1)
        signal, where = (every(part, 1, frames=_FRAMES) for part in (longer, truth))
        words = "no image of a digit and no scene of the background is in training and test"
        return Task(data, "Where does the digit move to?", signal, (), words, where, longer)
    if not Path(data).is_dir():
        raise ValueError(
            f"{data!r} is no task of this study and no folder; give moving-digits or a folder with one subfolder of "
            "video files per class."
        )
    signal = read_folder(data, frames=_FRAMES, size=_SIZE, window="centre", shorter="loop")
    if len(classes_of(signal)) < 2:
        raise ValueError(
            f"{data!r} has clips of one class only, {classes_of(signal)[0]!r}; give two subfolders or more."
        )
    group = "subject" if len(np.unique(signal["subject"].values)) < signal.sizes["trial"] else None
    words = f"{count} folds, " + ("every subject in one only" if group else "single files")
    return Task(
        Path(data).resolve().name, "Which class is shown?", signal, folds(signal, count, group=group, seed=seed), words
    )
