"""The tables of the study: accuracy, manipulation, stability, phases of stance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from signalrp.validation import bootstrap_interval, similarity, summary

from .findings import Findings, recognised
from .segments import stance_phases


def accuracy_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Accuracy of each model with its interval (bootstrap over people), and that of always saying the same."""
    rows = []
    for name, found in findings.items():
        data = found.explanation
        correct = (data["target"].values == data["label"].values).astype(float)
        interval = bootstrap_interval(correct, data["subject"].values)
        chance = np.bincount(data["label"].values).max() / data.sizes["trial"]
        rows.append((name, interval.estimate, interval.low, interval.high, chance, data.sizes["trial"]))
    return pd.DataFrame(rows, columns=["model", "accuracy", "low", "high", "chance", "trials"])


def curve_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Accuracy along every manipulation curve, tidy."""
    return pd.concat([summary(found.samples).assign(model=name) for name, found in findings.items()], ignore_index=True)


def stability_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Cosine similarity of relevance within a person and between persons, for trials that were recognised.

    Empty where fewer than three people were recognised, or none twice.
    """
    rows: list[tuple[object, ...]] = []
    for name, found in findings.items():
        data = recognised(found.explanation)
        data = data.isel(trial=np.flatnonzero(abs(data["relevance"]).max(("channel", "time"))))
        trials = np.unique(data["subject"].values, return_counts=True)[1]
        if len(trials) < 3 or trials.max() < 2:
            rows += [(name, pairs, np.nan, np.nan, np.nan) for pairs in ("within", "between", "difference")]
            continue
        table = similarity(data)
        rows += [(name, what, *table.loc[what, ["estimate", "low", "high"]]) for what in table.index]
        control = [value for value in found.same_output.values() if np.isfinite(value)]
        if control:
            rows.append((name, "between, same output", *bootstrap_interval(control)))
    return pd.DataFrame(rows, columns=["model", "pairs", "cosine similarity", "low", "high"])


def phase_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Share of the positive relevance in each phase of stance, beside the phase's share of time.

    Empty where fewer than two people were recognised.
    """
    rows = []
    for name, found in findings.items():
        data = recognised(found.explanation)
        positive = data["relevance"].clip(min=0).sum("channel")
        positive = positive.isel(trial=np.flatnonzero(positive.sum("time")))
        subjects = positive["subject"].values
        share = positive / positive.sum("time")
        labels = stance_phases(data["signal"])
        for number, phase in enumerate(labels.attrs["names"]):
            inside = labels.values == number
            values = share.isel(time=np.flatnonzero(inside)).sum("time").values
            several = len(np.unique(subjects)) > 1
            interval = bootstrap_interval(values, subjects) if several else (np.nan, np.nan, np.nan)
            rows.append((name, phase, *interval, inside.mean()))
    return pd.DataFrame(rows, columns=["model", "phase", "share of relevance", "low", "high", "share of time"])
