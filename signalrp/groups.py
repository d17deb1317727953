"""Trials in groups: by true class, explained class, predicted class, or whatever else stands along trial."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

SEPARATOR = " | "
"""Between the names of classes in the attribute ``classes`` of a signal, since netCDF takes a text and no list."""


def classes_of(signal: xr.DataArray) -> list[str]:
    """Names of the classes, the first being that of label 0."""
    joined = signal.attrs.get("classes", "")
    if joined:
        return str(joined).split(SEPARATOR)
    return [str(number) for number in range(int(signal["label"].max()) + 1)]


def predicted(explanation: xr.Dataset) -> npt.NDArray[np.int64]:
    """Return the class that the model predicted for each trial.

    Raises
    ------
    ValueError
        If the explanation has no output (trial, class).
    """
    if "output" not in explanation or explanation["output"].dims != ("trial", "class"):
        found = explanation["output"].dims if "output" in explanation else "none"
        raise ValueError(f"A predicted class needs an output (trial, class); the explanation has {found}.")
    return explanation["output"].values.argmax(1).astype(np.int64)


def class_names(explanation: xr.Dataset) -> list[str]:
    """Return the names of the model's classes, those of its output or else of the signal; numbers if it has none."""
    if "class" in explanation.coords and explanation["class"].dtype.kind in "UO":
        return [str(name) for name in explanation["class"].values]
    if "signal" in explanation and explanation["signal"].attrs.get("classes"):
        return classes_of(explanation["signal"])
    highest = [int(explanation[name].max()) for name in ("label", "target") if name in explanation]
    return [str(number) for number in range(max([*highest, explanation.sizes.get("class", 1) - 1]) + 1)]


def trial_groups(
    explanation: xr.Dataset, by: str | None = "label", trials: npt.ArrayLike | None = None
) -> dict[str, npt.NDArray[np.int64]]:
    """Return the positions of the trials of each group.

    Parameters
    ----------
    explanation : xarray.Dataset
        From `signalrp.explain`.
    by : str, optional
        "label" (true class), "target" (class explained), "predicted", or any coordinate along trial; None makes one
        group, called "".
    trials : array, optional
        Positions or boolean mask of the trials that count.

    Raises
    ------
    ValueError
        If the explanation has no such grouping, or no trial is chosen.
    """
    chosen = chosen_trials(trials, explanation.sizes["trial"])
    if by is None:
        return {"": chosen}
    if by == "predicted":
        values = predicted(explanation)
    elif by in explanation.variables and explanation[by].dims == ("trial",):
        values = explanation[by].values
    else:
        known = [str(name) for name, variable in explanation.variables.items() if variable.dims == ("trial",)]
        raise ValueError(f"There is no {by!r} along trial; group by predicted or one of {', '.join(sorted(known))}.")
    if by in ("label", "target", "predicted"):
        found = {name: chosen[values[chosen] == number] for number, name in enumerate(class_names(explanation))}
    else:
        found = {str(value): chosen[values[chosen] == value] for value in np.unique(values[chosen])}
    return {name: group for name, group in found.items() if len(group)}


def chosen_trials(trials: npt.ArrayLike | None, count: int) -> npt.NDArray[np.int64]:
    """Return the positions of chosen trials, given by their positions or by a boolean mask; None chooses all.

    Raises
    ------
    ValueError
        If none is chosen, or there are not so many.
    """
    if trials is None:
        return np.arange(count)
    chosen = np.asarray(trials)
    if chosen.dtype == bool and chosen.shape == (count,):
        chosen = np.flatnonzero(chosen)
    if chosen.size == 0:
        raise ValueError("There is no trial to show; check the selection of trials.")
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or chosen.min() < -count or chosen.max() >= count:
        raise ValueError(
            f"Trials are chosen by a boolean mask of {count} or by positions up to {count - 1}; found {chosen.dtype} "
            f"of shape {chosen.shape}."
        )
    return np.arange(count)[chosen]
