"""What the study asks and what it finds: the records that its rooms hand one another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from signalrp.validation.verdicts import Check


@dataclass
class Task:
    """What is to be told apart.

    Attributes
    ----------
    signal : xarray.DataArray
        (trial, channel, time) with the trial coordinates ``label`` and ``subject``.
    classes : list of str
        Names of the classes.
    question : str
        The question in words.
    group : str or None
        Coordinate that is kept together in cross-validation; None where the subject is the class.
    """

    signal: xr.DataArray
    classes: list[str]
    question: str
    group: str | None = "subject"


@dataclass
class Findings:
    """What the study found for one model.

    Attributes
    ----------
    explanation : xarray.Dataset
        Of every held-out trial.
    samples, phases : xarray.Dataset
        Manipulation curves over samples and, on a time axis in % stance, over phases of stance.
    same_output : dict
        Person -> mean cosine similarity between the relevance of the person's recognised trials and that of other
        people's trials when the same output, the person's, is explained. Empty unless people are the classes.
    checks : list of signalrp.validation.Check
        Sanity checks on the held-out trials of the first fold.
    """

    explanation: xr.Dataset
    samples: xr.Dataset
    phases: xr.Dataset | None
    same_output: dict[str, float]
    checks: list[Check] = field(default_factory=list)


def recognised(explanation: xr.Dataset) -> xr.Dataset:
    """Return the trials whose predicted class is the true one.

    Raises
    ------
    ValueError
        If trials were explained in windows, so that there is no one prediction for a trial.
    """
    if explanation["target"].dims != ("trial",):
        raise ValueError(
            f"The target has dimensions {explanation['target'].dims}, one prediction per window; "
            "choose a window with isel(window=…), or explain whole trials."
        )
    return explanation.isel(trial=np.flatnonzero(explanation["target"].values == explanation["label"].values))
