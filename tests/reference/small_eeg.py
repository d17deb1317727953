"""Epochs of a small study: two people, a wave that tells two classes apart, some blinks, some wrong labels."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pandas as pd
import xarray as xr

from signalrp.domains.eeg.data import from_epochs
from signalrp.domains.eeg.npz import write_npz
from signalrp.domains.eeg.regions import ten_ten

CHANNELS = (
    *("Fpz", "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4"),
    *("T8", "P7", "P3", "Pz", "P4", "P8", "O1", "O2"),
)
CAUSE, PEAK = ("P7", "P8"), 0.17
RATE, INSTANTS, FIRST, EVERY = 64.0, 45, -0.2, 2.0
WRONG, BLINKS = (5, 18, 33, 50, 61, 76), (3, 24, 47, 70)
CLASSES = ("face", "house")


def epochs(
    people: int = 2,
    trials: int = 80,
    *,
    channels: tuple[str, ...] = CHANNELS,
    classes: tuple[str, ...] = CLASSES,
    positions: bool = True,
    metadata: tuple[str, ...] = ("subject", "onset"),
    cause: float = 12.0,
    wrong: tuple[int, ...] = WRONG,
    blinks: tuple[int, ...] = BLINKS,
    seed: int = 0,
) -> mne.EpochsArray:
    """Noise of 5 µV, and of each class a wave at `CAUSE` around `PEAK`, from -cause to +cause µV.

    Trials take turns in class, of each person those numbered in `wrong` are labelled as the next class, and in those
    of `blinks` 150 µV lie over the forehead late in the epoch. A trial begins every `EVERY` s; a run has ten trials.
    """
    rng = np.random.default_rng(seed)
    count = people * trials
    number = np.tile(np.arange(trials), people)
    truth = number % len(classes)
    time = FIRST + np.arange(INSTANTS) / RATE
    values = 5 * rng.standard_normal((count, len(channels), INSTANTS))
    wave = np.exp(-((time - PEAK) ** 2) / (2 * 0.025**2)) * np.isin(channels, CAUSE)[:, None]
    values += np.linspace(-cause, cause, len(classes))[truth][:, None, None] * wave
    values[np.isin(number, blinks)] += (
        150 * np.isin(channels, ("Fpz", "Fp1", "Fp2"))[:, None] * np.exp(-((time - 0.35) ** 2) / (2 * 0.05**2))
    )
    label = np.where(np.isin(number, wrong), (truth + 1) % len(classes), truth)
    info = mne.create_info(list(channels), RATE, "eeg")
    if positions:
        known, towards = ten_ten()
        places = {name: 0.095 * towards[known.index(name)] + [0, 0, 0.04] for name in channels if name in known}
        info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    columns = {
        "subject": np.repeat([f"S{person + 1:02d}" for person in range(people)], trials),
        "onset": EVERY * (number + 1.0),
        "run": [f"run {n // 10}" for n in number],
        "session": [f"session {n // 40}" for n in number],
    }
    events = np.column_stack([(RATE * EVERY * np.arange(1, count + 1)).astype(int), np.zeros(count, int), label + 1])
    return mne.EpochsArray(
        1e-6 * values, info, events, FIRST, {name: code + 1 for code, name in enumerate(classes)},
        metadata=pd.DataFrame({name: columns[name] for name in metadata}) if metadata else None, verbose="error",
    )  # fmt: skip


def save(made: mne.EpochsArray, folder: Path, name: str = "small") -> str:
    path = folder / f"{name}-epo.fif"
    made.save(path, verbose="error")
    return str(path)


def save_npz(made: mne.EpochsArray, folder: Path, name: str = "small") -> str:
    return str(write_npz(from_epochs(made), folder / f"{name}.npz"))


def person(made: mne.EpochsArray, name: str = "S01") -> xr.DataArray:
    """The labelled trials of one person."""
    signal = from_epochs(made)
    return signal.isel(trial=np.flatnonzero(signal["subject"].values == name))
