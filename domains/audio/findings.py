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
    """What the study found for one net on one task; every clip was held out once.

    Attributes
    ----------
    correct : xarray.DataArray, shape (trial,)
        Whether the net is right, of every held-out clip, with the coordinate subject.
    explanation : xarray.Dataset
        Of the clips that are explained; of a raw net with ``per_unit``, of others on spectrograms.
    curves : dict of str to xarray.Dataset
        Masking curves by what was masked.
    checks : list of Check
        Sanity checks on the explained clips of the first fold.
    """

    correct: xr.DataArray
    explanation: xr.Dataset
    curves: dict[str, xr.Dataset]
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
    clips : xarray.DataArray, shape (trial, channel, time)
        The clips that are explained.
    f0 : xarray.DataArray, shape (trial, frame)
        Their fundamental frequency in Hz.
    nets : dict of str to Findings
        By net.
    """

    task: Task
    clips: xr.DataArray
    f0: xr.DataArray
    nets: dict[str, Findings]


@dataclass
class PitchFindings:
    """What was found for the pitch net.

    Attributes
    ----------
    source : str
        Whose sound it was.
    shares : dict of str to xarray.Dataset
        By composite: `signalrp.domains.audio.harmonics.harmonic_share` of its frames.
    error : pandas.DataFrame
        How far its pitch is from that of pYIN.
    example : xarray.Dataset
        The mean explanation of the frames of one voice, in frequency.
    """

    source: str
    shares: dict[str, xr.Dataset]
    error: pd.DataFrame
    example: xr.Dataset
