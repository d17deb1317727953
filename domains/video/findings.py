"""What the study asks and what it finds: the records that its rooms hand one another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation.verdicts import Check

from .tasks import Task


@dataclass
class Findings:
    """What the study found for one net.

    Attributes
    ----------
    correct : xarray.DataArray, shape (trial,)
        Whether the net is right, of every held-out clip, with the coordinate subject.
    explanation : xarray.Dataset
        Of the clips that are explained.
    controls : dict of str to xarray.Dataset
        Explanations of the same clips with their frames in random order ("shuffled"), and by a net of the same
        architecture with random weights ("untrained").
    curves : dict of str to xarray.Dataset
        Manipulation curves by what was done to frames and tubes.
    forward : pandas.DataFrame
        Accuracy against the frame step; empty where clips are too short.
    evidence : pandas.DataFrame
        Relevance against motion and contrast; empty where a clip stands still.
    localisation : pandas.DataFrame
        Relevance inside the true tube and interval, by method; empty where the truth is not known.
    checks : list of Check
        Sanity checks.
    """

    correct: xr.DataArray
    explanation: xr.Dataset
    controls: dict[str, xr.Dataset]
    curves: dict[str, xr.Dataset]
    forward: pd.DataFrame
    evidence: pd.DataFrame
    localisation: pd.DataFrame
    checks: list[Check] = field(default_factory=list)

    def recognised(self) -> npt.NDArray[np.int64]:
        """Return the positions of the explained clips that the net got right."""
        return np.flatnonzero(self.explanation["target"].values == self.explanation["label"].values)


@dataclass
class TaskFindings:
    """What was found for a task.

    Attributes
    ----------
    task : Task
        What was asked.
    nets : dict of str to Findings
        By net.
    """

    task: Task
    nets: dict[str, Findings]


PUBLISHED = "TransNet V2"
"""The net that finds cuts, as it was published."""


@dataclass
class CutFindings:
    """What was found for the net that finds cuts.

    Attributes
    ----------
    shares : dict of str to xarray.DataArray
        Share of the relevance near the cut (trial,), of the published net (`PUBLISHED`, first), of the same on clips in
        which no cut was made, and of a net with random weights.
    around : dict of str to xarray.DataArray
        Relevance by distance from the cut (trial, offset).
    probability : xarray.DataArray, shape (trial,)
        What the published net says of the cut.
    example : xarray.Dataset
        Explanation of one clip.
    """

    shares: dict[str, xr.DataArray]
    around: dict[str, xr.DataArray]
    probability: xr.DataArray
    example: xr.Dataset
