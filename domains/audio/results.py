"""The tables of the study: accuracy, harmonics, pitch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.inspection import STFT, inspect
from signalrp.validation import bootstrap_interval

from .findings import Findings, PitchFindings, TaskFindings
from .harmonics import harmonic_share, harmonic_table

_HARMONICS = 0.064
"""Length in s of the frames in which harmonics are resolved, those of low voices too."""


def accuracy_table(found: Sequence[TaskFindings]) -> pd.DataFrame:
    """Accuracy of every net on all held-out clips, with intervals over speakers, and that of always saying the same."""
    rows = []
    for task in found:
        for name, net in task.nets.items():
            speakers = net.correct["subject"].values
            interval = bootstrap_interval(net.correct.values, speakers)
            label = task.task.signal["label"].values
            chance = float(np.bincount(label).max() / len(label))
            count = len(np.unique(speakers))
            rows.append((task.task.name, name, *interval, chance, net.correct.sizes["trial"], count))
    return pd.DataFrame(rows, columns=["task", "net", "accuracy", "low", "high", "chance", "clips", "speakers"])


def speaker_table(found: Sequence[TaskFindings]) -> pd.DataFrame:
    """Accuracy of every net for each speaker."""
    rows = []
    for task in found:
        for name, net in task.nets.items():
            mean = net.correct.groupby("subject").mean()
            rows.append({"task": task.task.name, "net": name} | {str(s): float(v) for s, v in zip(
                mean["subject"].values, mean.values, strict=True)})  # fmt: skip
    return pd.DataFrame(rows)


def on_harmonics(net: Findings, f0: xr.DataArray, seed: int = 0) -> xr.Dataset:
    """Share of the relevance of recognised clips that lies on the harmonics of the voice.

    Raises
    ------
    ValueError
        If no clip is recognised, or none of those is voiced.
    """
    rows = net.recognised()
    if not len(rows):
        raise ValueError(f"none of {net.explanation.sizes['trial']} clips is recognised; train the net for longer.")
    data = net.explanation.isel(trial=rows)
    track = f0.isel(trial=rows)
    if "per_unit" in data:
        rate = float(data["signal"].attrs["sfreq"])
        length = int(2 * round(_HARMONICS * rate / 2))
        data = inspect(data, STFT("hann", length, length // 4))
    return harmonic_share(data, track, seed=seed)


def harmonics_table(found: Sequence[TaskFindings], seed: int = 0) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """By task and raw net: relevance on the harmonics against that without aim, intervals over speakers; or why not."""
    tables, missing = {}, {}
    for task in found:
        for name, net in task.nets.items():
            if "per_unit" not in net.explanation:
                continue
            title = f"{task.task.name}, {name}"
            try:
                tables[title] = harmonic_table(on_harmonics(net, task.f0, seed))
            except ValueError as error:
                missing[title] = str(error)
    return tables, missing


def pitch_table(voice: PitchFindings) -> dict[str, pd.DataFrame]:
    """By composite: relevance of the pitch net on the harmonics, intervals over clips."""
    return {rules: harmonic_table(shares, "recording") for rules, shares in voice.shares.items()}


def pitch_errors(found: xr.Dataset, tracked: npt.NDArray[np.float64]) -> pd.DataFrame:
    """How far the pitch of the net is from that of pYIN, in cents, over frames that are voiced for both."""
    cents = 1200 * np.abs(np.log2(found["f0"].values / tracked))
    return pd.DataFrame(
        {
            "frames": [len(cents)],
            "median distance (cents)": [float(np.median(cents))],
            "within 50 cents": [float((cents <= 50).mean())],
            "an octave away": [float((np.abs(cents - 1200) <= 50).mean())],
        }
    )
