"""The tasks that the study knows by name, and anybody's own folder of clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.splits import folds

from .datasets import digits, official_split
from .readers import load, read_folder

NAMED = ("digit", "speaker")
"""Tasks that the study knows by name, both of the Free Spoken Digit Dataset."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What is to be told from what is heard.

    Attributes
    ----------
    name, question : str
        For files and titles.
    signal : xarray.DataArray
        Clips (trial, channel, time) with the trial coordinates label and subject.
    splits : sequence of (train, test)
        Between which as little leaks as the data allow.
    words : str
        How they were made.
    known : sequence of str
        The speaker that each fold holds out, where weights come with signalrp; else none.
    """

    name: str
    question: str
    signal: xr.DataArray
    splits: Sequence[tuple[Indices, Indices]]
    words: str
    known: Sequence[str] = ()


def load_task(data: str, *, count: int = 4, seed: int = 0, speaker: bool = False) -> Task:
    """Load a task by name, or anybody's own clips by path.

    Parameters
    ----------
    data : str
        "digit", which digit is said, of the Free Spoken Digit Dataset; "speaker", who says it; or the path of a folder
        with one subfolder of .wav files per class, all of one sampling rate.
    count : int
        Number of folds of own clips.
    seed : int
        Of folds.
    speaker : bool
        Whether names of own files begin with who is heard, up to the first underscore, so that nobody is in training
        and test at once.

    Raises
    ------
    ValueError
        If there is no such task or folder, its files do not fit each other, or clips or classes are too few.
    signalrp.manifests.DataError
        If the set can neither be found nor fetched, or a file is damaged.
    """
    if data == "digit":
        signal = digits("digit")
        speakers = sorted(set(map(str, signal["speaker"].values)))
        apart = [_apart(signal["speaker"].values.astype(str) == name) for name in speakers]
        words = f"one of {len(speakers)} speakers held out at a time"
        return Task(data, "Which digit is said?", signal, apart, words, speakers)
    if data == "speaker":
        signal = digits("speaker")
        return Task(data, "Who says it?", signal, [official_split(signal)], "takes 0 to 4 of everybody held out")
    if not Path(data).is_dir():
        raise ValueError(
            f"{data!r} is no task of this study and no folder; give digit, speaker or a folder with one subfolder of "
            ".wav files per class."
        )
    signal = own_clips(Path(data), (lambda path: path.name.split("_")[0]) if speaker else None)
    group = "speaker" if speaker else None
    words = "every speaker in one fold only" if speaker else "single clips: a speaker may be on both sides"
    name = Path(data).resolve().name
    return Task(name, "Which class is heard?", signal, folds(signal, count, group=group, seed=seed), words)


def own_clips(folder: Path, speaker: Callable[[Path], str] | None) -> xr.DataArray:
    """Read a folder of clips, all brought to the length of the longest by zeros at a random instant."""
    lengths = {path: _samples(path) for path in sorted(folder.glob("*/*.wav"))}
    if not lengths:
        raise ValueError(f"{folder} holds no subfolder with .wav files; give one subfolder per class.")
    names = sorted({path.parent.name for path in lengths})
    if len(names) < 2:
        raise ValueError(f"{folder} has .wav files of the class {names[0]} alone; give a subfolder for every class.")
    rates = {rate for _, rate in lengths.values()}
    if len(rates) > 1:
        raise ValueError(
            f"The files of {folder} have sampling rates of {', '.join(f'{rate:g}' for rate in sorted(rates))} Hz; "
            "bring them to one rate first."
        )
    choices: dict[str, Any] = {"length": max(count for count, _ in lengths.values()), "shorter": "random"}
    signal = read_folder(folder, names, speaker=speaker or _in_class, sfreq=rates.pop(), channels="mix", **choices)
    # Files of several classes may have one name.
    return signal.assign_coords(file=("trial", [_in_class(path) for path in lengths]))


def _in_class(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _samples(path: Path) -> tuple[int, float]:
    clip, rate = load(path)
    return clip.shape[-1], rate


def _apart(test: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
    return np.flatnonzero(~test), np.flatnonzero(test)
