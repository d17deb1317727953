"""What the study asks and what it finds: the records that its rooms hand one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation.verdicts import Check

from .misclassified import Examination
from .physiology import Expectation


@dataclass(frozen=True)
class Task:
    """What is to be told apart, and what is known about where it can be told.

    Attributes
    ----------
    name : str
        Short, for titles and files.
    question : str
        In words.
    signals : mapping of str to xarray.DataArray
        By person: (trial, channel, time) in V with the trial coordinate ``label``.
    expected : tuple of Expectation
        Where and when relevance is expected; none for data of which nothing is known.
    lateral : tuple of Expectation
        Where the contralateral side is expected to have more of it than the other.
    frequencies : mapping of int to float
        Number of the class -> frequency of its steady-state response in Hz.
    """

    name: str
    question: str
    signals: Mapping[str, xr.DataArray]
    expected: tuple[Expectation, ...] = ()
    lateral: tuple[Expectation, ...] = ()
    frequencies: Mapping[int, float] = field(default_factory=dict)


@dataclass
class Recording:
    """What the study found for one person doing one task; every trial was held out once.

    Attributes
    ----------
    task, person : str
        Whose, and what.
    signal : xarray.DataArray
        As it was measured.
    explanations : dict of str to xarray.Dataset
        By model, the first one's with ``per_unit`` and ``class_relevance``. Signals are in V, as deviation from the
        mean of the channel over the training trials, to which the relevance belongs.
    splits : str
        How trials were divided, in words.
    examination : Examination or None
        Of the first model's trials.
    missing : str
        Why there is no examination.
    patterns : xarray.DataArray or None
        Of the linear yardstick (class, channel, time) in V (Haufe et al. 2014), mean over folds.
    curves : dict of str to xarray.Dataset
        Manipulation curves by what was removed.
    without : pandas.DataFrame
        What became of trials with artefacts when these were taken out, see `signalrp.domains.eeg.removal`.
    checks : list of Check
        Sanity checks on the held-out trials of the first fold.
    elsewhere : dict of str to xarray.Dataset
        By person: how the first model, trained on this person, explains the trials of another.
    """

    task: str
    person: str
    signal: xr.DataArray
    explanations: dict[str, xr.Dataset]
    splits: str
    examination: Examination | None = None
    missing: str = ""
    patterns: xr.DataArray | None = None
    curves: dict[str, xr.Dataset] = field(default_factory=dict)
    without: pd.DataFrame = field(default_factory=pd.DataFrame)
    checks: list[Check] = field(default_factory=list)
    elsewhere: dict[str, xr.Dataset] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the recording."""
        return f"{self.task}, {self.person}"

    @property
    def best(self) -> xr.Dataset:
        """Explanation by the first model, the one that is examined."""
        return next(iter(self.explanations.values()))

    def correct(self, explanation: xr.Dataset | None = None) -> npt.NDArray[np.int64]:
        """Return the positions of the trials that were classified correctly, by the first model or another."""
        data = self.best if explanation is None else explanation
        return np.flatnonzero(data["target"].values == data["label"].values)
