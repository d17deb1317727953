"""Which of several methods is better, and by how much: paired tests corrected for their number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.validation.statistics import (
    bootstrap_interval,
    check_same_trials,
    cluster_sums,
    finite,
    sign_flips,
    smallest_p,
    trial_clusters,
)

Correction = Literal["max-t", "holm"]


def compare_methods(
    values: Mapping[str, ArrayLike] | xr.DataArray,
    cluster: str | ArrayLike | None = None,
    *,
    reference: str | None = None,
    correction: Correction = "max-t",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean differences between methods over the same trials, each with interval and p, corrected for their number.

    Every p is that of `paired_difference`: under the null hypothesis the sign of all differences of one
    subject is arbitrary. One pattern of signs serves all comparisons at once, so that ``"max-t"`` knows how
    the comparisons depend on each other: the step-down procedure of Westfall & Young (1993, ISBN
    978-0-471-55761-6; written out by Ge et al. 2003, doi:10.1007/BF02595811) on Student's t, which bounds the
    chance of even one false finding. ``"holm"`` (Holm 1979, jstor.org/stable/4615733) bounds it without
    knowing the dependence, and finds less.

    The smallest p that n subjects allow is 2 / 2 ** n (5 subjects: 0.0625) with all patterns listed, for up
    to 14 subjects, and 1 / (1 + resamples) beyond. ``"max-t"`` keeps it, ``"holm"`` multiplies it by the
    number of comparisons. It stands in the attributes of the table, and a warning says when it is above
    1 − level, so that no difference whatever could have been found.

    Parameters
    ----------
    values
        One value per trial of every method: a mapping from its name to (trial,), or a DataArray of ``trial``
        and one more dimension such as ``order``, e.g. ``aopc(curves).sel(direction="morf")``.
    cluster
        (trial,), e.g. the subject of every trial, or the name of a coordinate along trial. None: the
        coordinate ``subject`` where the values have one, else every trial for itself.
    reference
        Compare every other method with this one. By default all pairs.
    correction
        ``"max-t"`` or ``"holm"``.
    level
        Coverage of the intervals, each for its own comparison (they are not corrected).
    resamples, seed
        See `paired_difference`.

    Returns
    -------
    pandas.DataFrame
        One row per comparison: ``first``, ``second``, ``difference`` (mean of first − second, in units of the
        values), ``low``, ``high``, ``p`` and ``p_corrected``. ``attrs`` holds ``clusters``, ``smallest_p``,
        ``smallest_p_corrected`` and ``correction``.

    Raises
    ------
    ValueError
        If there are fewer than two methods, the reference or the correction is unknown, a method does not
        have one finite value per trial, trials differ between methods, or as in `bootstrap_interval`.
    """
    if correction not in ("max-t", "holm"):
        raise ValueError(f"Correction {correction!r} is unknown; choose max-t or holm.")
    methods, table, subjects = _table(values, cluster)
    pairs = _pairs(methods, reference)
    differences = np.stack([table[first] - table[second] for first, second in pairs], axis=1)
    interval = bootstrap_interval(differences, subjects, level, resamples, seed)
    sums, _ = cluster_sums(differences, subjects)
    p, stepped = _permutation_p(sums, resamples, seed)
    corrected = stepped if correction == "max-t" else _holm(p)
    least = smallest_p(len(sums), resamples)
    least_corrected = least if correction == "max-t" else min(1.0, least * len(pairs))
    if least_corrected > 1 - level:
        warnings.warn(
            f"With {len(sums)} clusters and {len(pairs)} comparisons ({correction}) no corrected p below "
            f"{least_corrected:.3g} is possible; nothing can be found at the level {1 - level:.3g}.",
            UserWarning,
            stacklevel=2,
        )
    result = pd.DataFrame(
        {
            "first": [first for first, _ in pairs],
            "second": [second for _, second in pairs],
            "difference": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "p": p,
            "p_corrected": corrected,
        }
    )
    result.attrs = {
        "clusters": len(sums),
        "smallest_p": least,
        "smallest_p_corrected": least_corrected,
        "correction": correction,
    }
    return result


def _table(
    values: Mapping[str, ArrayLike] | xr.DataArray, cluster: str | ArrayLike | None
) -> tuple[list[str], dict[str, NDArray[np.float64]], NDArray[np.generic] | None]:
    """Names of the methods, their values (trial,), and the cluster of every trial."""
    if isinstance(values, xr.DataArray):
        others = [dim for dim in values.dims if dim != "trial"]
        if "trial" not in values.dims or len(others) != 1:
            raise ValueError(
                f"The values have dimensions {values.dims}; expected trial and one more for the methods, "
                "e.g. aopc(curves).sel(direction='morf')."
            )
        names = values[others[0]].values.tolist()
        rows: list[ArrayLike] = [values.isel({others[0]: number}) for number in range(len(names))]
    else:
        names, rows = list(values), list(values.values())
    names = [str(name) for name in names]
    if len(set(names)) < max(2, len(names)):
        raise ValueError(f"The methods are {', '.join(names) or 'none'}; expected at least two different names.")
    table = {name: finite(row, f"Values of {name!r}") for name, row in zip(names, rows, strict=True)}
    for name, row in zip(names, rows, strict=True):
        if table[name].ndim != 1 or table[name].shape != table[names[0]].shape:
            raise ValueError(
                f"Values of {name!r} have shape {table[name].shape}, those of {names[0]!r} {table[names[0]].shape}; "
                "expected one value for each of the same trials."
            )
        check_same_trials(rows[0], row, f"Values of {names[0]!r} and {name!r}")
    return names, table, trial_clusters(rows[0], cluster)


def _pairs(methods: list[str], reference: str | None) -> list[tuple[str, str]]:
    if reference is None:
        return list(combinations(methods, 2))
    if reference not in methods:
        raise ValueError(f"The reference {reference!r} is none of the methods {', '.join(methods)}.")
    return [(method, reference) for method in methods if method != reference]


def _permutation_p(
    sums: NDArray[np.float64], resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two-sided p of each column of cluster sums, (cluster, comparison), alone and by step-down max-t."""
    # Flipping signs leaves the sum of squares Q, so |S| / √(n Q), between 0 and 1, orders patterns and
    # comparisons as Student's |t| does, and stays finite where all differences are equal.
    scale = np.sqrt(len(sums) * (sums**2).sum(0))
    scale[scale == 0] = 1
    observed = np.abs(sums.sum(0)) / scale
    # equal sums may differ in the last bits with the order of summation
    reached = observed - 1e-12 * np.abs(sums).sum(0) / scale
    order = np.argsort(-observed, kind="stable")
    alone, stepped, patterns = np.zeros(len(order)), np.zeros(len(order)), 0
    for signs in sign_flips(len(sums), resamples, seed):
        found = np.abs(signs @ sums) / scale
        alone += (found >= reached).sum(0)
        # the largest of this comparison and all that are observed to be weaker
        largest = np.maximum.accumulate(found[:, order[::-1]], axis=1)[:, ::-1]
        stepped[order] += (largest >= reached[order]).sum(0)
        patterns += len(signs)
    stepped[order] = np.maximum.accumulate(stepped[order])
    return alone / patterns, stepped / patterns


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected
