"""What plots and reports read from manipulation curves: points with intervals, chance, distances, words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.validation.statistics import bootstrap_interval, trial_clusters

VALUES = {"accuracy": "correct", "output": "output"}
# a share of trials that is more than chance and wording
_CLEARLY = 0.1
_DIMS = ("order", "direction", "step", "trial")


def named_curves(curves: xr.Dataset | Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Curves by name, each with what `perturbation_curves` returns; a single set has the name "".

    Raises
    ------
    ValueError
        If there are none, or one lacks a variable or a dimension.
    """
    # a Dataset is a mapping as well
    single = isinstance(curves, xr.Dataset) or not isinstance(curves, Mapping)
    named: dict[str, Any] = {"": curves} if single else {str(name): data for name, data in curves.items()}
    if not named:
        raise ValueError("There are no curves; give what perturbation_curves returns, or several such by name.")
    for name, data in named.items():
        where = f"The curves {name!r}" if name else "The curves"
        if not isinstance(data, xr.Dataset):
            raise ValueError(f"{where} are of type {type(data).__name__}; give what perturbation_curves returns.")
        missing = [variable for variable in ("output", "correct", "label") if variable not in data]
        if missing:
            raise ValueError(f"{where} have no variable {missing[0]!r}; give what perturbation_curves returns.")
        if set(data["correct"].dims) != set(_DIMS):
            raise ValueError(f"{where} have dimensions {data['correct'].dims}; expected {_DIMS}.")
    return named


def clusters_of(curves: xr.Dataset, subject: str | ArrayLike | None) -> tuple[NDArray[np.generic] | None, int, str]:
    """Cluster of every trial, how many there are, and what they are called.

    The name of the coordinate is the name of the thing: three subjects, one session, 20 trials.
    """
    cluster = trial_clusters(curves, subject)
    if cluster is None:
        return None, curves.sizes["trial"], "trial"
    return cluster, len(np.unique(cluster)), subject if isinstance(subject, str) else "subject"


def point_table(
    curves: xr.Dataset,
    value: str = "accuracy",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean with its interval at every point of every curve; no interval where there is one subject or trial.

    Returns
    -------
    pandas.DataFrame
        Columns order, direction, step, estimate, low, high.
    """
    values = curves[VALUES[value]].transpose("trial", "order", "direction", "step")
    cluster, count, _ = clusters_of(curves, subject)
    if count > 1:
        interval = bootstrap_interval(values.values, cluster, level, resamples, seed)
        columns = dict(zip(("estimate", "low", "high"), map(np.ravel, interval), strict=True))
    else:
        estimate = values.mean("trial").values.ravel()
        columns = {"estimate": estimate, "low": np.full_like(estimate, np.nan), "high": np.full_like(estimate, np.nan)}
    names = ("order", "direction", "step")
    index = pd.MultiIndex.from_product([values[name].values for name in names], names=names)
    return pd.DataFrame(columns, index=index).reset_index()


def chance_level(curves: xr.Dataset) -> float | None:
    """Accuracy of always saying the most frequent class; None where all trials are of one class."""
    counts = np.bincount(curves["label"].values)
    return None if (counts > 0).sum() < 2 else float(counts.max() / counts.sum())


class FillDistance(NamedTuple):
    """How many filled trials lie farther from the data than 95 % of the data do.

    ``share`` (order, direction, step), NaN where nothing is filled; ``untouched``, the share among untouched trials;
    ``limit``, the distance that 95 % of the data keep to.
    """

    share: xr.DataArray
    untouched: float
    limit: float

    @property
    def outside(self) -> xr.DataArray:
        """Where clearly more trials lie outside the data than do untouched."""
        return self.share > self.untouched + _CLEARLY


def fill_distance(curves: xr.Dataset) -> FillDistance | None:
    """Distance of filled trials from the data, None where the curves hold none."""
    if "distance" not in curves or "distance_95" not in curves.attrs:
        return None
    limit = float(curves.attrs["distance_95"])
    share = (curves["distance"] > limit).mean("trial")
    if "random_distance" in curves and "random" in curves["order"].values:
        # single draws lie farther than their mean does
        draws = (curves["random_distance"] > limit).mean(("repeat", "trial"))
        share = share.where(share["order"] != "random", draws)
    if inserted(curves):
        # these steps hold no untouched trial; of the data themselves it is as many by definition
        return FillDistance(share, 0.05, limit)
    return FillDistance(share.where(share["step"] > 0), float(share.isel(order=0, direction=0, step=0)), limit)


def inserted(curves: xr.Dataset) -> bool:
    """Whether pieces are put in, step by step, instead of taken out."""
    return curves.attrs.get("perturbation", "deletion") == "insertion"


def done(curves: xr.Dataset) -> str:
    """What happens to the pieces: ``"removed"`` or ``"inserted"``."""
    return "inserted" if inserted(curves) else "removed"


def pieces(curves: xr.Dataset) -> str:
    """What goes or comes step by step, e.g. ``"samples"``, ``"phases of stance"``, ``"samples in the DFT basis"``."""
    removed = str(curves.attrs.get("removed", "samples"))
    basis = str(curves.attrs.get("basis", "") or "")
    # what was given a name of its own, such as "bands", says by that where it is
    general = removed in ("samples", "segments", "coefficients")
    return f"{removed} in the {basis} basis" if general and basis and basis != "signal" else removed


def step_unit(curves: xr.Dataset) -> str:
    """``" %"`` where steps are shares, nothing where they count."""
    return " %" if str(curves["step"].attrs.get("units", "%")) == "%" else ""


def p_words(p: float) -> str:
    """A p as tables and prose have it: ``"< .001"``, ``".002"``, ``".31"``."""
    if p < 0.001:
        return "< .001"
    return (f"{p:.3f}" if p < 0.0995 else f"{p:.3g}").replace("0.", ".", 1)


def percent(share: float) -> str:
    """A share as prose has it, e.g. ``"95 %"``."""
    return f"{100 * share:.0f} %"
