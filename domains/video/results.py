"""The tables of the study: accuracy, time course, evidence, cuts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from signalrp.validation import bootstrap_interval, paired_difference

from .border import border_effect
from .findings import PUBLISHED, CutFindings, Findings, TaskFindings
from .frames import concentration

_ENDS = 2
"""Frames at either end of the clip that count as its border."""


def accuracy_table(found: TaskFindings) -> pd.DataFrame:
    """Accuracy of every net on all held-out clips, with intervals over subjects, and that of always saying the same."""
    rows = []
    for name, net in found.nets.items():
        interval = bootstrap_interval(net.correct, "subject" if "subject" in net.correct.coords else None)
        label = found.task.signal["label"].values
        chance = float(np.bincount(label).max() / len(label))
        rows.append((name, *map(float, interval), chance, net.correct.sizes["trial"]))
    return pd.DataFrame(rows, columns=["net", "accuracy", "low", "high", "chance", "clips"])


def concentration_table(nets: Mapping[str, Findings]) -> pd.DataFrame:
    """Positive and negative shares, and how relevance is spread over the frames, mean over the explained clips."""
    rows = []
    for name, net in nets.items():
        found = concentration(net.explanation)
        names = ("positive", "negative", "effective_frames", "largest_frame", "centre", "spread")
        rows.append({"net": name} | {what.replace("_", " "): float(found[what].mean()) for what in names})
    return pd.DataFrame(rows)


def evidence_table(nets: Mapping[str, Findings]) -> pd.DataFrame:
    """Correlation of relevance with motion and with contrast; empty where no net has any."""
    tables = [net.evidence.assign(net=name) for name, net in nets.items() if len(net.evidence)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def border_table(nets: Mapping[str, Findings]) -> pd.DataFrame:
    """Relevance of the first and last two frames over what an even spread would give them, and that of controls.

    The differences of nets are to the first one, those of controls to the net that they belong to.
    """
    explanations = {name: net.explanation for name, net in nets.items()}
    tables = [border_effect(explanations, _ENDS)]
    for name, net in nets.items():
        tables.append(border_effect(with_controls(name, net), _ENDS).iloc[1:])
    return pd.concat(tables, ignore_index=True)


def with_controls(name: str, net: Findings) -> dict[str, xr.Dataset]:
    """Return the explanation of a net and those of its controls, by name."""
    return {name: net.explanation} | {f"{name}, {what}": found for what, found in net.controls.items()}


def cut_table(found: CutFindings) -> pd.DataFrame:
    """Share of the relevance within two frames of the cut, with intervals over pairs of shots.

    The rows of controls have the difference of the published net to them, and its p.
    """
    rows = []
    first = found.shares[PUBLISHED]
    for name, share in found.shares.items():
        interval = bootstrap_interval(share, "subject")
        difference = [np.nan] * 4 if name == PUBLISHED else paired_difference(first, share, "subject")
        rows.append((name, *map(float, interval), float(share.attrs["chance"]), *map(float, difference)))
    told = ["difference", "difference low", "difference high", "p"]
    return pd.DataFrame(rows, columns=["net", "share at the cut", "low", "high", "chance", *told])


def surest(net: Findings, count: int) -> list[int]:
    """Return the positions of clips that the net got right, the surest of the first of different classes."""
    output = np.sort(net.explanation["output"].values, axis=1)
    margin, label = output[:, -1] - output[:, -2], net.explanation["label"].values
    right = net.recognised()
    best = [max(right[label[right] == number], key=lambda trial: margin[trial]) for number in np.unique(label[right])]
    return [int(trial) for trial in sorted(best, key=lambda trial: -margin[trial])[:count]]


def per_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """The table with the name of the task in front."""
    return table.assign(task=task)[["task", *table.columns]]


__all__ = [
    "accuracy_table", "border_table", "concentration_table", "cut_table", "evidence_table", "per_task", "surest",
]  # fmt: skip
