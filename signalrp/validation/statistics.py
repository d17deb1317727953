"""Numbers from curves: areas, intervals and paired tests that respect who the trials come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

# a resample of all clusters takes 8 bytes per cluster; this many values are drawn at once (64 MB)
_DRAWN_AT_ONCE = 2**23
# 2 ** 14 sign patterns are still listed one by one, which makes the permutation test exact
_EXACT_CLUSTERS = 14


class Interval(NamedTuple):
    """Mean with a confidence interval."""

    estimate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class PairedDifference(NamedTuple):
    """Mean difference with a confidence interval and the two-sided p of no difference."""

    estimate: float
    low: float
    high: float
    p: float


def aopc(curves: xr.Dataset) -> xr.DataArray:
    r"""Area over the perturbation curve, (order, direction, trial), in units of the model's output.

    Mean over the steps, the first included, of :math:`f(x_0) - f(x_k)`, with f the output of the initially
    predicted class (Samek et al. 2017, doi:10.1109/TNNLS.2016.2599820). Every step counts the same, so
    compare only curves over the same steps.
    """
    return (curves["initial_output"] - curves["output"]).mean("step").rename("AOPC")


def abpc(curves: xr.Dataset) -> xr.DataArray:
    r"""Area between the LeRF and the MoRF curve, (order, trial), in units of the model's output.

    Mean over the steps of :math:`f(x_k^{LeRF}) - f(x_k^{MoRF})` (Samek et al. 2017,
    doi:10.1109/TNNLS.2016.2599820).

    Raises
    ------
    ValueError
        If the curves hold only one direction.
    """
    missing = {"morf", "lerf"} - set(curves["direction"].values.tolist())
    if missing:
        raise ValueError(
            f"ABPC needs both directions, {missing.pop()} is missing; compute curves with direction='both'."
        )
    output = curves["output"]
    difference = output.sel(direction="lerf", drop=True) - output.sel(direction="morf", drop=True)
    return difference.mean("step").rename("ABPC")


def area_under_accuracy(curves: xr.Dataset) -> xr.DataArray:
    """Area under the accuracy curve, (order, direction, trial), 0 to 1; its mean over trials is the whole's.

    Trapezoids over the steps, divided by their range.
    """
    step = curves["step"]
    area = curves["correct"].integrate("step") / float(step.max() - step.min())
    return area.rename("area under accuracy")


def area_under_output(curves: xr.Dataset) -> xr.DataArray:
    """Area under the curve of the initially predicted class' output, (order, direction, trial), in its units.

    Trapezoids over the steps, divided by their range: small where deletion in this order takes the evidence fast,
    large where insertion brings it back fast (Petsiuk et al. 2018, RISE, arXiv 1806.07421).
    """
    step = curves["step"]
    area = curves["output"].integrate("step") / float(step.max() - step.min())
    return area.rename("area under output")


def bootstrap_interval(
    values: ArrayLike,
    cluster: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean over trials with a percentile bootstrap interval, resampling whole clusters.

    Parameters
    ----------
    values
        (trial, …), or a DataArray with ``trial`` among its dimensions; further dimensions are treated each
        for itself with the same resamples.
    cluster
        (trial,), e.g. the subject of every trial, or the name of a coordinate of `values`; trials of one
        subject are not independent. None: the coordinate ``subject`` of `values` where there is one, else
        each trial for itself. With fewer than about 20 clusters the interval is somewhat too narrow.
    level
        Coverage aimed at, between 0 and 1.
    resamples
        Number of bootstrap samples.
    seed
        Seed of the resampling.

    Returns
    -------
    Interval
        ``estimate``, ``low`` and ``high``, of the shape of `values` without its first dimension.

    Raises
    ------
    ValueError
        If there are not at least two clusters, values are not finite, or shapes do not fit.
    """
    array = finite(values)
    _check_level(level, resamples)
    sums, sizes = cluster_sums(array, trial_clusters(values, cluster))
    rng = np.random.default_rng(seed)
    clusters = len(sums)
    flat = sums.reshape(clusters, -1)
    means = np.empty((resamples, flat.shape[1]))
    at_once = max(1, _DRAWN_AT_ONCE // clusters)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=size).astype(np.float64)
        means[start : start + size] = weights @ flat / (weights @ sizes)[:, None]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    shape = array.shape[1:]
    return Interval(array.mean(0), low.reshape(shape)[()], high.reshape(shape)[()])


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    cluster: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """Mean of first − second over the same trials, with bootstrap interval and sign-flip permutation test.

    Under the null hypothesis the sign of a whole cluster's difference is arbitrary. With up to 14 clusters
    all sign patterns are listed and p is exact; beyond, they are drawn, and the observed one counts as one.

    Parameters
    ----------
    first, second
        (trial,), e.g. ``aopc(curves)`` of two orders. For more than two see `compare_methods`.
    cluster, level, resamples, seed
        See `bootstrap_interval`; resamples is the number of sign patterns too.

    Raises
    ------
    ValueError
        If the two differ in shape or are labelled as different trials, are not one value per trial, or fail as
        in `bootstrap_interval`.
    """
    one, two = finite(first), finite(second)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(
            f"The two sets of values have shapes {one.shape} and {two.shape}; expected one value per trial in both."
        )
    check_same_trials(first, second)
    difference, clusters = one - two, trial_clusters(first, cluster)
    interval = bootstrap_interval(difference, clusters, level, resamples, seed)
    sums, _ = cluster_sums(difference, clusters)
    # equal sums may differ in the last bits with the order of summation
    reached = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()
    hits = [np.abs(signs @ sums) >= reached for signs in sign_flips(len(sums), resamples, seed)]
    p = float(np.concatenate(hits).mean())
    return PairedDifference(float(interval.estimate), float(interval.low), float(interval.high), p)


def summary(
    curves: xr.Dataset,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy with its interval at every step, a tidy table.

    Parameters
    ----------
    curves
        From `perturbation_curves`.
    subject
        Coordinate along trial, or one value per trial, by which trials are clustered. By default the
        coordinate ``subject`` where there is one, else every trial counts for itself.
    level, resamples, seed
        See `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        Columns order, direction, step, accuracy, low, high; one row per point of every curve.

    Raises
    ------
    ValueError
        If the coordinate is missing, or as in `bootstrap_interval`.
    """
    correct = curves["correct"].transpose("trial", "order", "direction", "step")
    interval = bootstrap_interval(correct.values, trial_clusters(curves, subject), level, resamples, seed)
    index = pd.MultiIndex.from_product(
        [correct[name].values for name in ("order", "direction", "step")],
        names=["order", "direction", "step"],
    )
    columns = {"accuracy": interval.estimate, "low": interval.low, "high": interval.high}
    return pd.DataFrame({name: v.ravel() for name, v in columns.items()}, index=index).reset_index()


def sign_flips(clusters: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Sign patterns of a permutation test, in blocks (pattern, cluster), of which the very first flips nothing.

    All 2 ** clusters patterns for up to 14 clusters; beyond, `resamples` drawn ones follow the first.
    """
    if clusters <= _EXACT_CLUSTERS:
        flipped = (np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1
        yield np.where(flipped, -1.0, 1.0)
        return
    yield np.ones((1, clusters))
    rng = np.random.default_rng([seed, 1])
    at_once = max(1, _DRAWN_AT_ONCE // clusters)
    for start in range(0, resamples, at_once):
        yield rng.choice((-1.0, 1.0), size=(min(at_once, resamples - start), clusters))


def smallest_p(clusters: int, resamples: int) -> float:
    """Smallest two-sided p that `sign_flips` can give: a pattern and its mirror image always tie."""
    return 2.0 ** (1 - clusters) if clusters <= _EXACT_CLUSTERS else 1 / (1 + resamples)


def trial_clusters(data: object, subject: str | ArrayLike | None) -> NDArray[np.generic] | None:
    """Cluster of every trial, from a coordinate's name, from values, or the coordinate subject if present."""
    labelled = data if isinstance(data, (xr.Dataset, xr.DataArray)) else xr.Dataset()
    if subject is None:
        found = labelled.coords.get("subject")
        return found.values if found is not None and found.dims == ("trial",) else None
    if isinstance(subject, str):
        if subject not in labelled.coords or labelled.coords[subject].dims != ("trial",):
            along = [str(name) for name, c in labelled.coords.items() if c.dims == ("trial",)]
            raise ValueError(
                f"There is no coordinate {subject!r} along trial; found {', '.join(along) or 'none'}. "
                "Assign one, or give one value per trial."
            )
        return labelled.coords[subject].values
    return np.asarray(subject)


def check_same_trials(first: object, second: object, what: str = "The two sets of values") -> None:
    """Refuse to pair what is labelled as different trials or subjects."""
    if isinstance(first, (xr.Dataset, xr.DataArray)) and isinstance(second, (xr.Dataset, xr.DataArray)):
        for name in ("trial", "subject"):
            if name in first.coords and name in second.coords:
                one, two = first.coords[name].values, second.coords[name].values
                if one.shape != two.shape or (one != two).any():
                    raise ValueError(f"{what} differ in the coordinate {name!r}; give values of the same trials.")


def finite(values: ArrayLike, what: str = "Values") -> NDArray[np.float64]:
    """Values as numbers, trial first; refuses what is not finite."""
    if isinstance(values, xr.DataArray) and "trial" in values.dims:
        values = values.transpose("trial", ...)
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite, one per trial; drop trials with NaN first.")
    return array


def _check_level(level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level is {level} and resamples {resamples}; expected 0 < level < 1 and resamples ≥ 1.")


def cluster_sums(
    values: NDArray[np.float64], cluster: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the values of each cluster, (cluster, …), and the number of its trials."""
    names = np.arange(len(values)) if cluster is None else np.asarray(cluster)
    if names.shape != (len(values),):
        raise ValueError(f"cluster has shape {names.shape}; expected one entry for each of {len(values)} trials.")
    _, number, sizes = np.unique(names, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError(
            f"All {len(values)} trials belong to {len(sizes)} cluster; an interval needs at least two. "
            "Give trials of more subjects, or values without subjects to count each trial for itself."
        )
    sums = np.zeros((len(sizes), *values.shape[1:]))
    np.add.at(sums, number, values)
    return sums, sizes.astype(np.float64)
