"""What two nets answer and where their relevance lies, as tables: means, intervals over speakers, and p."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation import bootstrap_interval, paired_difference
from signalrp.validation.likeness import Measure, likeness

from .checks import sampling_rate
from .harmonics import harmonic_share
from .time_frequency import time_frequency

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Names = npt.NDArray[np.generic]
Maps = tuple[Array, Array]
Places = dict[str, npt.NDArray[np.bool_]]

_MEASURES: tuple[Measure, ...] = ("cosine", "spearman")
_HARMONIC_LENGTH = 0.064
"""Seconds of the frames in which harmonics are looked for; that long to resolve those of low voices."""
_RESAMPLES = 2000


def answered(net: xr.Dataset) -> npt.NDArray[np.int64]:
    """The class that has the largest output, (trial,)."""
    return net["output"].transpose("trial", "class").values.argmax(1)


def answer_table(
    first: xr.Dataset, second: xr.Dataset, names: tuple[str, str], subjects: Names, seed: int
) -> pd.DataFrame:
    """Accuracies, who is correct, and how consistent errors are."""
    label, answers = first["label"].values, [answered(net) for net in (first, second)]
    one, two = ((answer == label).astype(np.float64) for answer in answers)
    same_error = np.where((one + two) == 0, answers[0] == answers[1], np.nan)
    quantities = {
        f"accuracy of {names[0]}": one,
        f"accuracy of {names[1]}": two,
        "both correct": one * two,
        f"{names[0]} alone correct": one * (1 - two),
        f"{names[1]} alone correct": (1 - one) * two,
        "none correct": (1 - one) * (1 - two),
        "same answer where none is correct": same_error,
    }
    rows: list[tuple[Any, ...]] = [
        (name, *_interval(values, subjects, seed), np.nan) for name, values in quantities.items()
    ]
    rows.insert(2, ("difference of accuracies", *_difference(one, two, subjects, seed)))
    rows.append(("error consistency", *_error_consistency(one, two, subjects, seed), np.nan))
    return pd.DataFrame(rows, columns=["quantity", "estimate", "low", "high", "p"])


def _error_consistency(one: Array, two: Array, subjects: Names, seed: int) -> tuple[float, float, float]:
    """Kappa of being correct, with its interval; NaN where a net is always right or always wrong."""

    def kappa(means: Array) -> Array:
        first, second, agree = means.T
        chance = first * second + (1 - first) * (1 - second)
        known = chance < 1 - 1e-12
        return np.where(known, (agree - chance) / np.where(known, 1 - chance, 1), np.nan)

    values = np.stack([one, two, one == two], 1).astype(np.float64)
    estimate = float(kappa(values.mean(0)[None])[0])
    number = np.unique(subjects, return_inverse=True)[1]
    count = int(number.max()) + 1
    sums, sizes = np.zeros((count, 3)), np.bincount(number)
    np.add.at(sums, number, values)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    found = kappa((drawn @ sums) / (drawn @ sizes)[:, None])
    found = found[np.isfinite(found)]
    if count < 2 or not len(found):
        return estimate, np.nan, np.nan
    low, high = np.quantile(found, (0.025, 0.975))
    return estimate, float(low), float(high)


def similarity_table(
    maps: Maps, places: Places, begins: Indices | None, label: Names, subjects: Names, seed: int
) -> pd.DataFrame:
    """How alike the two maps of a clip are, and how alike those of two clips of a class that begin together."""
    trials = len(maps[0])
    other = _others(label, subjects, seed)
    moved = np.full(maps[1].shape, np.nan)
    if begins is not None:
        for trial in map(int, np.flatnonzero(other >= 0)):
            moved[trial] = np.roll(maps[1][other[trial]], int(begins[trial] - begins[other[trial]]), 1)
    rows = []
    for place, mask in ({"all": np.ones((1, 1, 1), bool)} | places).items():
        inside = np.broadcast_to(mask, maps[0].shape)
        for measure in _MEASURES:
            found = [np.full(trials, np.nan) for _ in (maps[1], moved)]
            for trial in range(trials):
                here = inside[trial]
                for values, second in zip(found, (maps[1], moved), strict=True):
                    if here.sum() > 1 and np.isfinite(second[trial, 0, 0]):
                        values[trial] = likeness(maps[0][trial][here][None], second[trial][here][None], measure)[0]
            difference = _difference(found[0], found[1], subjects, seed)
            known = int(np.isfinite(found[0]).sum())
            rows.append(
                (
                    place,
                    measure,
                    *_interval(found[0], subjects, seed),
                    _interval(found[1], subjects, seed)[0],
                    *difference,
                    known,
                )
            )
    columns = [
        "where",
        "measure",
        "similarity",
        "low",
        "high",
        "other",
        "difference",
        "difference_low",
        "difference_high",
    ]
    return pd.DataFrame(rows, columns=[*columns, "p", "trials"])


def _others(label: Names, subjects: Names, seed: int) -> npt.NDArray[np.int64]:
    """Another clip of the class for every clip, by another speaker where there is one; -1 where there is none."""
    rng = np.random.default_rng(seed)
    found = np.full(len(label), -1)
    for trial in range(len(label)):
        alike = (label == label[trial]) & (np.arange(len(label)) != trial)
        elsewhere = alike & (subjects != subjects[trial])
        choice = np.flatnonzero(elsewhere if elsewhere.any() else alike)
        if len(choice):
            found[trial] = rng.choice(choice)
    return found


def share_table(maps: Maps, places: Places, names: tuple[str, str], subjects: Names, seed: int) -> pd.DataFrame:
    """Share of the positive relevance of the cells in every place."""
    positive = [values.clip(min=0) for values in maps]
    rows = []
    for place, mask in places.items():
        one, two = (_part(values * mask, values) for values in positive)
        rows.append(_row(place, one, two, names, subjects, seed))
    return pd.DataFrame(rows)


def _part(values: Array, whole: Array) -> Array:
    total = whole.sum((1, 2))
    return np.divide(values.sum((1, 2)), total, out=np.full(len(total), np.nan), where=total > 0)


def harmonic_rows(
    nets: list[xr.Dataset], f0: xr.DataArray, names: tuple[str, str], subjects: Names, seed: int
) -> pd.DataFrame:
    """Share of the positive relevance on harmonics, and the same less the share of the bins."""
    shares: list[Array] = []
    chance: list[Array] = []
    numbers = np.arange(nets[0].sizes["trial"])
    for net in nets:
        if "time" in net["relevance"].dims:
            length = 2 * round(_HARMONIC_LENGTH * sampling_rate(net["signal"]) / 2)
            net = time_frequency(net, length, length // 2)
        found = harmonic_share(net.assign_coords(number=("trial", numbers)), f0, seed=seed)
        for values, name in ((shares, "share"), (chance, "bins")):
            whole = np.full(len(numbers), np.nan)
            whole[found["number"].values] = found[name].values
            values.append(whole)
    above = [share - bins for share, bins in zip(shares, chance, strict=True)]
    rows = [
        _row("harmonics", shares[0], shares[1], names, subjects, seed),
        _row("harmonics less chance", above[0], above[1], names, subjects, seed),
    ]
    return pd.DataFrame(rows)


def _row(place: str, one: Array, two: Array, names: tuple[str, str], subjects: Names, seed: int) -> dict[str, object]:
    known = np.isfinite(one) & np.isfinite(two)
    difference = dict(zip(("difference", "low", "high", "p"), _difference(one, two, subjects, seed), strict=True))
    means = {
        name: float(values[known].mean()) if known.any() else np.nan
        for name, values in zip(names, (one, two), strict=True)
    }
    return {"where": place, **means, **difference, "trials": int(known.sum())}


def _interval(values: Array, subjects: Names, seed: int) -> tuple[float, float, float]:
    """Mean with its interval over the trials that have a value; NaN where there are too few."""
    known = np.isfinite(values)
    if len(np.unique(subjects[known])) < 2:
        return (float(values[known].mean()) if known.any() else np.nan), np.nan, np.nan
    found = bootstrap_interval(values[known], subjects[known], resamples=_RESAMPLES, seed=seed)
    return float(found.estimate), float(found.low), float(found.high)


def _difference(one: Array, two: Array, subjects: Names, seed: int) -> tuple[float, ...]:
    known = np.isfinite(one) & np.isfinite(two)
    if len(np.unique(subjects[known])) < 2:
        return (float((one - two)[known].mean()) if known.any() else np.nan), np.nan, np.nan, np.nan
    return tuple(paired_difference(one[known], two[known], subjects[known], resamples=_RESAMPLES, seed=seed))
