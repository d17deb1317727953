"""How much of the relevance lies in the context: outside of what a class is said to be about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.validation.checks import labelled_array
from signalrp.validation.localisation import Part, mask_like
from signalrp.validation.statistics import trial_clusters


def context_ratio(explanation: xr.Dataset, region: xr.DataArray, part: Part = "positive") -> xr.DataArray:
    r"""Relevance outside over inside of a region, per unit of area, for every trial.

    .. math:: \mu = \frac{\sum_{p \in P_{out}} R_p \, / \, |P_{out}|}{\sum_{p \in P_{in}} R_p \, / \, |P_{in}|}

    with R the relevance that counts, in the paper the positive (Lapuschkin et al. 2016,
    doi:10.1109/CVPR.2016.318). 1: a sample outside has as much relevance as one inside, the region is nothing special;
    0: all relevance lies inside.

    Parameters
    ----------
    explanation
        Dataset with ``relevance`` (trial, …).
    region
        True inside; its dimensions are some of those of the relevance, with ``trial`` among them where every trial
        has a region of its own. Coordinates that both have must be the same.
    part
        What counts: ``"positive"`` relevance, as in the paper, or ``"absolute"`` values.

    Returns
    -------
    xarray.DataArray
        (trial,); infinite where nothing lies inside, NaN where there is no (positive) relevance at all.

    Raises
    ------
    ValueError
        If the region is not boolean, does not fit, or leaves a trial with nothing inside or nothing outside.
    """
    inside, values = _counted(explanation, region, part)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = _density(values, ~inside) / _density(values, inside)
    along = explanation["relevance"].coords
    coords = {name: coordinate for name, coordinate in along.items() if coordinate.dims == ("trial",)}
    return xr.DataArray(ratio, dims="trial", coords=coords, name="outside over inside")


def context_by_class(
    explanation: xr.Dataset,
    region: xr.DataArray,
    by: str = "label",
    part: Part = "positive",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Relevance outside over inside of a region, per unit of area, for every class.

    Every trial's relevance is scaled to a sum of 1 first, then relevance outside and inside are averaged over trials
    and divided. The mean of the single trials' ratios would be ruled by the few trials with little inside, and be
    infinite with one that has nothing; their median stands beside it.

    Parameters
    ----------
    explanation, region, part
        See `context_ratio`.
    by
        What names a trial's class: ``"label"``, ``"target"`` (the class explained) or another variable along trial.
    subject, level, resamples, seed
        See `bootstrap_interval`; trials are clustered by the coordinate ``subject`` where there is one.

    Returns
    -------
    pandas.DataFrame
        One row per class. Columns: `by`; trials, with relevance; left_out, without any; ratio, low, high (infinite
        where resamples have nothing inside); median, of `context_ratio`; inside, share of the relevance inside the
        region; area, share of the samples inside.

    Raises
    ------
    ValueError
        If classes are missing, a class has no relevance, or trials of fewer than two subjects; or as `context_ratio`.
    """
    if by not in explanation.variables or explanation[by].dims != ("trial",):
        raise ValueError(f"The explanation has no variable {by!r} (trial), so classes are unknown; assign it.")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level is {level} and resamples {resamples}; expected 0 < level < 1 and resamples ≥ 1.")
    inside, values = _counted(explanation, region, part)
    totals = values.sum(1)
    known = totals > 0
    values = values / np.where(known, totals, 1)[:, None]
    densities = np.stack([_density(values, ~inside), _density(values, inside)], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        single = densities[:, 0] / densities[:, 1]
    share, area = (values * inside).sum(1), inside.mean(1)
    clusters = trial_clusters(explanation, subject)
    names = np.arange(len(share)) if clusters is None else np.asarray(clusters)
    classes = explanation[by].values
    rows = []
    for value in np.unique(classes):
        of_class = classes == value
        chosen = of_class & known
        if len(np.unique(names[chosen])) < 2:
            raise ValueError(
                f"{by} {value} has {int(chosen.sum())} trials with relevance, of {len(np.unique(names[chosen]))} "
                "subject; an interval needs two. Give more, or leave that class out."
            )
        interval = _ratio(densities[chosen], names[chosen], level, resamples, seed)
        counts = (int(chosen.sum()), int((of_class & ~known).sum()))
        rows.append((value, *counts, *interval, np.median(single[chosen]), share[chosen].mean(), area[chosen].mean()))
    columns = [by, "trials", "left_out", "ratio", "low", "high", "median", "inside", "area"]
    return pd.DataFrame(rows, columns=columns)


def _counted(
    explanation: xr.Dataset, region: xr.DataArray, part: Part
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """What is inside, and the relevance that counts, both (trial, sample)."""
    if part not in ("positive", "absolute"):
        raise ValueError(f'part is {part!r}; choose "positive" or "absolute".')
    relevance = labelled_array(explanation, "relevance")
    inside = mask_like(relevance, region).reshape(relevance.shape[0], -1)
    area = inside.mean(1)
    for bad, where in ((0, "inside"), (1, "outside")):
        wrong = np.flatnonzero(area == bad)
        if len(wrong):
            raise ValueError(
                f"Nothing lies {where} the region in {len(wrong)} of {len(area)} trials, first in trial {wrong[0]}, so "
                "that there is no ratio; leave such trials out."
            )
    values = relevance.values.reshape(inside.shape).astype(np.float64)
    return inside, np.abs(values) if part == "absolute" else np.maximum(values, 0)


def _density(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the samples (trial, sample) that are meant, (trial,)."""
    return (values * where).sum(1) / where.sum(1)


def _ratio(
    densities: NDArray[np.float64], cluster: NDArray[np.generic], level: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Mean outside over mean inside of (trial, 2), with percentile interval over clusters."""
    _, number = np.unique(cluster, return_inverse=True)
    count = int(number.max()) + 1
    sums = np.zeros((count, 2))
    np.add.at(sums, number, densities)
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.ones(count), rng.multinomial(count, np.full(count, 1 / count), size=resamples)])
    outside, inside = (weights @ sums).T
    ratios = np.divide(outside, inside, out=np.full(len(weights), np.inf), where=inside > 0)
    # an infinite ratio can be no part of a weighted mean of two quantiles
    low, high = np.quantile(ratios[1:], [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(ratios[0]), float(low), float(high)
