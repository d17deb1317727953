"""From curves to numbers side by side: areas of all orders, and what one order has over the others."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from signalrp.validation.comparison import compare_methods
from signalrp.validation.curve_reading import clusters_of, inserted, named_curves
from signalrp.validation.statistics import abpc, aopc, area_under_accuracy, area_under_output, bootstrap_interval

_COMPARED = ["advantage", "advantage_low", "advantage_high", "p", "p_corrected"]


def curve_scores(
    curves: xr.Dataset,
    order: str = "relevance",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Areas of all orders with intervals, and what one order has over each of the others, corrected for their number.

    For deletion AOPC, ABPC (with both directions), and the areas under accuracy and output; for insertion the latter
    two. All but ABPC are of highest first, or of lowest first where the curves hold only that.

    Parameters
    ----------
    curves
        From `perturbation_curves`.
    order
        The order under test.
    subject, level, resamples, seed
        See `bootstrap_interval`. With a single subject (or trial) intervals and p are NaN.

    Returns
    -------
    pandas.DataFrame
        Columns ``order``, ``measure``, ``better`` (higher or lower), ``estimate``, ``low``, ``high``, and, for the
        other orders, ``advantage`` of the order under test (positive where it does better, in units of the measure)
        with ``advantage_low``, ``advantage_high``, ``p`` and ``p_corrected`` (`compare_methods`, by max-t over the
        orders of one measure). ``attrs["smallest_p"]`` is the smallest corrected p that so many subjects allow,
        ``attrs["direction"]`` the direction.

    Raises
    ------
    ValueError
        If these are no curves, or hold no such order.
    """
    named_curves(curves)
    orders = [str(name) for name in curves["order"].values]
    if order not in orders:
        raise ValueError(f"There is no order {order!r} in the curves; found {', '.join(orders)}.")
    cluster, clusters, _ = clusters_of(curves, subject)
    direction = "morf" if "morf" in curves["direction"].values else "lerf"
    parts, smallest = [], np.nan
    for measure, (values, better) in _measures(curves, direction).items():
        rows = pd.DataFrame({"order": orders, "measure": measure, "better": better})
        columns = {name: values.sel(order=name).values for name in orders}
        rows["estimate"] = [column.mean() for column in columns.values()]
        rows[["low", "high", *_COMPARED]] = np.nan
        if clusters > 1:
            interval = bootstrap_interval(np.stack(list(columns.values()), 1), cluster, level, resamples, seed)
            rows["low"], rows["high"] = interval.low, interval.high
        if clusters > 1 and len(orders) > 1:
            with warnings.catch_warnings():
                # too few subjects for any finding: smallest_p says so
                warnings.filterwarnings("ignore", message=".*no corrected p below")
                found = compare_methods(
                    columns, cluster, reference=order, level=level, resamples=resamples, seed=seed
                )  # fmt: skip
            smallest = found.attrs["smallest_p_corrected"]
            # differences are other - order
            signed = found[["difference", "low", "high"]].to_numpy() * (-1.0 if better == "higher" else 1.0)
            signed[:, 1:].sort(axis=1)
            others = rows["order"] != order
            rows.loc[others, _COMPARED] = np.column_stack([signed, found["p"], found["p_corrected"]])
        parts.append(rows)
    table = pd.concat(parts, ignore_index=True)
    table.attrs = {"smallest_p": smallest, "direction": direction}
    return table


def _measures(curves: xr.Dataset, direction: str) -> dict[str, tuple[xr.DataArray, str]]:
    """Values (order, trial) of each measure, and which of them are better."""
    # what matters is taken away early, or put back late: the sooner the model fails the better
    falls = inserted(curves) == (direction == "lerf")
    under = "lower" if falls else "higher"
    measures = {
        "area under accuracy": (area_under_accuracy(curves).sel(direction=direction), under),
        "area under output": (area_under_output(curves).sel(direction=direction), under),
    }
    if inserted(curves):
        return measures
    areas = {"AOPC": (aopc(curves).sel(direction=direction), "higher" if falls else "lower")}
    if curves.sizes["direction"] > 1:
        areas["ABPC"] = (abpc(curves), "higher")
    return areas | measures
