"""How many trials it takes until the mean map no longer changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from signalrp.validation.checks import labelled_array


def split_half(
    explanation: xr.Dataset, by: str | Sequence[str] = "label", splits: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Correlation of the mean maps of two disjoint sets of trials, for sets of every size.

    Each split draws two random halves of a group's trials; their first n trials make the two sets of size n.

    Parameters
    ----------
    explanation
        Dataset with ``relevance`` (trial, …).
    by
        What groups the trials: ``"label"``, ``"target"``, any other variable or coordinate along trial
        (``"subject"``), or several of them.
    splits
        Number of random splits.
    seed
        Of the splits.

    Returns
    -------
    pandas.DataFrame
        Columns: those of `by`, trials (in each set), reliability (Pearson's correlation over all samples of the map,
        mean over splits), low, high (between which the middle 95 % of the splits lie; no confidence interval).

    Raises
    ------
    ValueError
        If a group has fewer than four trials, a map is not finite, or what groups them is missing.
    """
    if splits < 1:
        raise ValueError(f"splits is {splits}; expected at least 1.")
    maps = labelled_array(explanation, "relevance").values.astype(np.float64)
    maps = maps.reshape(len(maps), -1)
    maps = maps - maps.mean(1, keepdims=True)
    names = [by] if isinstance(by, str) else list(by)
    rng = np.random.default_rng(seed)
    tables = []
    for group, members in _groups(explanation, names).items():
        # means of maps are correlated by way of products of single maps, whatever the maps' size
        found = _correlations(maps[members] @ maps[members].T, splits, rng)
        if not np.isfinite(found).all():
            raise ValueError(f"Mean maps of {_named(names, group)} are constant, so they have no correlation.")
        low, high = np.quantile(found, [0.025, 0.975], axis=0)
        columns = {"trials": np.arange(1, found.shape[1] + 1), "reliability": found.mean(0), "low": low, "high": high}
        tables.append(pd.DataFrame({**dict(zip(names, group, strict=True)), **columns}))
    return pd.concat(tables, ignore_index=True)


def trials_needed(
    explanation: xr.Dataset,
    by: str | Sequence[str] = "label",
    threshold: float = 0.9,
    splits: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Number of trials from which the mean map is stable, for every class.

    Stable means that mean maps of two sets of n trials correlate at `threshold` or above, and do so for all larger sets
    (see `split_half`). That can be seen up to half of the trials. Beyond, the Spearman-Brown formula extrapolates from
    the halves, of m trials each and with correlation r: sets of k·m trials have
    :math:`k r / (1 + (k - 1) r)`. It holds where trials differ from a common map by independent noise; trials of one
    person share more, so that the number is one for further trials of the same people.

    Parameters
    ----------
    explanation, by, splits, seed
        See `split_half`.
    threshold
        Correlation asked for, between 0 and 1.

    Returns
    -------
    pandas.DataFrame
        One row per group. Columns: those of `by`; trials, all there are; half, trials in the largest sets compared;
        reliability, of means of so many; needed, the number seen to suffice, NaN where half is not enough;
        extrapolated, the number by Spearman and Brown, rounded up, infinite where the halves do not correlate;
        reliability_all, of the mean over all trials, extrapolated; statement.

    Raises
    ------
    ValueError
        As `split_half`, and if the threshold lies outside 0 to 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold}; expected a correlation between 0 and 1.")
    names = [by] if isinstance(by, str) else list(by)
    curves = split_half(explanation, by, splits, seed)
    sizes = {group: len(members) for group, members in _groups(explanation, names).items()}
    rows = []
    for group, curve in curves.groupby(names, sort=False):
        total, half, r = sizes[group], int(curve["trials"].max()), float(curve["reliability"].iloc[-1])
        below = curve.loc[curve["reliability"] < threshold, "trials"].max()
        needed = 1 if np.isnan(below) else int(below) + 1
        reached = needed <= half
        ratio = threshold * (1 - r) / (r * (1 - threshold)) if r > 0 else np.inf
        extrapolated = max(1.0, np.ceil(half * ratio - 1e-9)) if np.isfinite(ratio) else np.inf
        whole = total / half * r / (1 + (total / half - 1) * r) if r > 0 else r
        statement = (
            f"{threshold:g} reached with {needed} trials."
            if reached
            else f"{threshold:g} not reached with {half} trials, half of {total}; "
            + (f"Spearman-Brown expects it with {extrapolated:.0f}." if r > 0 else "the halves do not correlate.")
        )
        rows.append((*group, total, half, r, needed if reached else np.nan, extrapolated, whole, statement))
    columns = ["trials", "half", "reliability", "needed", "extrapolated", "reliability_all", "statement"]
    return pd.DataFrame(rows, columns=[*names, *columns])


def _groups(explanation: xr.Dataset, names: Sequence[str]) -> dict[tuple[object, ...], NDArray[np.int64]]:
    """Positions of the trials of every group."""
    for name in names:
        if name not in explanation.variables or explanation[name].dims != ("trial",):
            along = [str(key) for key, variable in explanation.variables.items() if variable.dims == ("trial",)]
            raise ValueError(
                f"There is no {name!r} along trial to group by; found {', '.join(along) or 'none'}. Assign it, or "
                "group by one of these."
            )
    keys = pd.DataFrame({name: explanation[name].values for name in names})
    groups = {key: np.asarray(found) for key, found in keys.groupby(list(names)).indices.items()}
    groups = {key if isinstance(key, tuple) else (key,): members for key, members in groups.items()}
    for key, members in groups.items():
        if len(members) < 4:
            raise ValueError(
                f"There are {len(members)} trials of {_named(names, key)}; two halves need at least 4. Give more, or "
                "leave that group out."
            )
    return groups


def _named(names: Sequence[str], group: tuple[object, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, group, strict=True))


def _correlations(products: NDArray[np.float64], splits: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Correlation (split, n − 1) of the means of the first n trials of two halves, from products of centred maps."""
    count, half = len(products), len(products) // 2
    found = np.empty((splits, half))
    for split in range(splits):
        order = rng.permutation(count)
        one, two = order[:half], order[half : 2 * half]
        across, first, second = (
            np.diag(products[np.ix_(rows, columns)].cumsum(0).cumsum(1))
            for rows, columns in ((one, two), (one, one), (two, two))
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            found[split] = across / np.sqrt(first * second)
    return found
