"""The data that the study knows by name, anybody's own, and folds that cannot leak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from signalrp.splits import folds

from .classes import classes_of
from .datasets import FACES_CLASSES, faces
from .findings import Task
from .packed import headband
from .physiology import MOTOR, N170, VISUAL, Expectation
from .readers import read
from .trials import blocks

_FEWEST = 20
"""Trials of a person without which no cross-validation is tried."""
_FEWEST_OF_A_CLASS = 4
_MOST_LEFT_OUT = 0.2
"""Share of the trials that borders between blocks may cost."""
_LEFT_OVER = Expectation("visual, whole epoch", VISUAL.places, None, VISUAL.within, VISUAL.source)
"""Presses answer a stimulus on the same side, of which the beginning of the epoch may still tell."""
_KNOWN: dict[str, dict[str, Any]] = {
    "faces": {"question": "Face or house?", "expected": (N170,)},
    "presses": {
        "question": "Which hand pressed, left or right?", "expected": (MOTOR,), "lateral": (MOTOR, _LEFT_OVER),
    },
    "checkerboards": {
        "question": "Checkerboard on the left or the right?", "expected": (VISUAL,), "lateral": (VISUAL,),
    },
}  # fmt: skip


def load_task(data: str) -> Task:
    """Load a task by name, or anybody's own epochs by path.

    Parameters
    ----------
    data : str
        "faces", "presses" or "checkerboards" (fetched, two people); "ssvep=FOLDER", the steady-state recordings of
        `signalrp.domains.eeg.packed.headband`; or the path of a file of epochs, .fif, .set or .npz, see
        `signalrp.domains.eeg.readers.read`. A person is told from another by the metadata column subject.

    Raises
    ------
    ValueError
        If there is no such task or file, there is one class only, or a person has too few trials.
    """
    if data in FACES_CLASSES:
        signals = {f"person {number}": numbered(faces(number, data)) for number in (1, 2)}  # type: ignore[arg-type]
        return Task(data, signals=signals, **_KNOWN[data])
    if data.startswith("ssvep"):
        _, _, folder = data.partition("=")
        if not folder:
            raise ValueError("the steady-state recordings are not fetched; give their folder: ssvep=FOLDER.")
        signal = headband(folder, "SSVEP", reject=200e-6)
        return Task("ssvep", "Flicker at 30 Hz or at 20 Hz?", by_person(signal), frequencies={0: 30.0, 1: 20.0})
    if not Path(data).is_file():
        raise ValueError(
            f"{data!r} is no task of this study and no file; give {', '.join(FACES_CLASSES)}, ssvep=FOLDER or a file "
            "of epochs (.fif, .set, .npz)."
        )
    signal = read(data)
    names = classes_of(signal)
    question = f"{' or '.join(names)}?" if 1 < len(names) < 6 else "Which class is it?"
    return Task(Path(data).stem.removesuffix("-epo"), question, by_person(signal))


def by_person(signal: xr.DataArray) -> dict[str, xr.DataArray]:
    """Divide trials by the coordinate subject, if there is one, and number them as they were given.

    Raises
    ------
    ValueError
        If there is one class only, or a person has too few trials or lacks a class.
    """
    labels = np.unique(signal["label"].values)
    if len(labels) < 2:
        raise ValueError("The epochs are all of one class; there is nothing to tell apart.")
    signal = numbered(signal)
    if signal.sizes["channel"] == 1:
        # One place makes no map.
        signal = signal.drop_vars([*"xyz"], errors="ignore")
    if "subject" not in signal.coords:
        people = {"one person": signal}
    else:
        subjects = signal["subject"].values.astype(str)
        people = {f"person {name}": signal.isel(trial=np.flatnonzero(subjects == name)) for name in np.unique(subjects)}
    for name, own in people.items():
        counts = [int((own["label"].values == label).sum()) for label in labels]
        if sum(counts) < _FEWEST or min(counts) < _FEWEST_OF_A_CLASS:
            raise ValueError(
                f"{name[0].upper()}{name[1:]} has {sum(counts)} trials, by class {', '.join(map(str, counts))}; "
                f"cross-validation within a person needs at least {_FEWEST}, and {_FEWEST_OF_A_CLASS} of each class; "
                "leave out that person or class."
            )
    return people


def numbered(signal: xr.DataArray) -> xr.DataArray:
    """Number the trials as they were given: whatever is left out later, errors are told by these numbers."""
    return signal.assign_coords(trial=np.arange(signal.sizes["trial"]))


def split(signal: xr.DataArray, count: int, seed: int) -> tuple[xr.DataArray, list[tuple[Any, Any]], str]:
    """Divide the trials of a person into folds between which as little leaks as the data allow.

    Returns
    -------
    signal : xarray.DataArray
        With the coordinate block where trials were divided by time.
    folds : list of (train, test)
        See `signalrp.splits.folds`.
    words : str
        How it was done.

    Raises
    ------
    ValueError
        If there are too few trials of a class for so many folds.
    """
    for group in ("session", "run"):
        if group in signal.coords and _enough(signal, group, count):
            return signal, folds(signal, count, group=group, seed=seed), f"every {group} in one fold only"
    if "onset" in signal.coords:
        divided = _blocks(signal, max(2 * count, 10))
        left_out = signal.sizes["trial"] - divided.sizes["trial"]
        if _enough(divided, "block", count) and left_out <= _MOST_LEFT_OUT * signal.sizes["trial"]:
            words = "blocks of time, each in one fold only"
            if left_out:
                words = f"{words}, without {left_out} trials that overlap with the next block"
            return divided, folds(divided, count, group="block", seed=seed), words
    words = "single trials, for want of runs or onsets: neighbours in time may be on both sides"
    return signal, folds(signal, count, seed=seed), words


def _blocks(signal: xr.DataArray, count: int) -> xr.DataArray:
    """So many blocks of every recording, none of the trials where a recording has fewer than that."""
    try:
        return blocks(signal, count)
    except ValueError:
        return signal[:0].assign_coords(block=("trial", np.array([], dtype=str)))


def _enough(signal: xr.DataArray, group: str, count: int) -> bool:
    """Whether every class occurs in as many groups as there are folds."""
    label, groups = signal["label"].values, signal[group].values.astype(str)
    return len(label) > 0 and all(len(np.unique(groups[label == value])) >= count for value in np.unique(label))
