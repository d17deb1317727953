"""Answers in one form: an estimate with its interval over trials or people, what chance would give, and p."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation import bootstrap_interval

Values = npt.NDArray[np.float64]
Units = npt.NDArray[np.generic]


def units_of(explanation: xr.Dataset) -> Units:
    """Person of every trial where there are several, else the number of the trial."""
    subject = explanation.coords.get("subject")
    if subject is not None and len(np.unique(subject.values)) > 1:
        return np.asarray(subject.values)
    return np.arange(explanation.sizes["trial"])


def mean_over(values: Values, units: Units) -> Values:
    """Mean over units of their means; of trials, the mean."""
    _, number, sizes = np.unique(units, return_inverse=True, return_counts=True)
    weights = 1 / sizes[number] / len(sizes)
    return np.tensordot(weights, values, axes=1)


def as_high(found: float, random: Values) -> float:
    """p: how often chance is as high, what was found counting as one draw."""
    return float((1 + (random >= found - 1e-12).sum()) / (1 + len(random)))


def answer(
    question: str, measure: str, values: Values, units: Units, chance: float, p: float, against: str
) -> dict[str, Any]:
    """A row of an answer: the mean of values (trial,) with its interval, beside chance."""
    interval = bootstrap_interval(values, units)
    return {
        "question": question,
        "measure": measure,
        "estimate": float(interval.estimate),
        "low": float(interval.low),
        "high": float(interval.high),
        "chance": chance,
        "p": p,
        "against": against,
    }


def answers(rows: list[dict[str, Any]], units: Units) -> pd.DataFrame:
    """The rows as a table that says what the units are."""
    count = len(np.unique(units))
    return pd.DataFrame(rows).assign(unit="trial" if count == len(units) else "person", units=count)
