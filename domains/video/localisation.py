"""Does relevance lie where and when something moves? LRP beside its baselines, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from torch import nn

from signalrp.baselines import explain_with
from signalrp.places import same_places
from signalrp.validation import compare_methods, localisation_table, mass_accuracy
from signalrp.validation.statistics import trial_clusters

from .frames import over_colours
from .motion import motion_magnitude
from .segments import frame_segments, tube_segments

__all__ = ["METHODS", "explain_by_methods", "localisation_of", "localise", "true_places"]

METHODS = (
    "LRP", "gradient", "input-x-gradient", "integrated-gradients", "occlusion of tubes", "occlusion of frames",
    "random", "amplitude", "motion",
)  # fmt: skip


def explain_by_methods(
    model: nn.Module,
    signal: xr.DataArray,
    methods: Sequence[str] = METHODS,
    *,
    composite: str = "epsilon-plus",
    reference: xr.DataArray | None = None,
    tube: tuple[int, int, int] = (4, 16, 16),
    steps: int = 16,
    batch_size: int = 16,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """Explain the same clips by several methods.

    Parameters
    ----------
    model : torch.nn.Module
        Takes clips in the signal's dimensions.
    signal : xarray.DataArray
        Clips over trial, frame, row, column and perhaps rgb.
    methods : sequence of str
        Of `METHODS`, or names that `signalrp.explain_with` knows. "LRP" is the composite; "motion" the optical flow's
        magnitude, which knows nothing of the net, as "random" and "amplitude".
    composite : str
        Of LRP.
    reference : xarray.DataArray, optional
        Training clips, whose mean integrated gradients start from and occlusion puts in; without them that is zero.
    tube : (int, int, int)
        Frames, rows and columns of the tubes that are occluded.
    steps : int
        Of integrated gradients.
    batch_size, seed
        See `signalrp.explain_with`.

    Returns
    -------
    dict of str to xarray.Dataset
        Explanations of the predicted class.

    Raises
    ------
    ValueError
        As in `signalrp.explain_with`.
    """
    frames, *size = tube

    def motion(model: nn.Module, signal: xr.DataArray, target: Any) -> xr.DataArray:
        flow = motion_magnitude(signal)
        return xr.ones_like(signal) * flow.variable

    special: Mapping[str, Callable[[], dict[str, Any]]] = {
        "LRP": lambda: {"method": composite},
        "integrated-gradients": lambda: {"steps": steps},
        "occlusion of tubes": lambda: {
            "method": "occlusion", "segments": tube_segments(signal, frames, (size[0], size[1])),
        },
        "occlusion of frames": lambda: {"method": "occlusion", "segments": frame_segments(signal)},
        "motion": lambda: {"method": motion},
    }  # fmt: skip
    found = {}
    for name in methods:
        own = special.get(name, dict)()
        method = own.pop("method", name)
        found[name] = explain_with(
            method, model, signal, reference=reference, batch_size=batch_size, seed=seed, **own,
        )  # fmt: skip
    return found


def localise(
    model: nn.Module,
    signal: xr.DataArray,
    truth: xr.DataArray,
    *,
    methods: Sequence[str] = METHODS,
    interval: xr.DataArray | None = None,
    tolerance: Mapping[Any, int] | None = None,
    subject: str | npt.ArrayLike | None = None,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Explain clips by several methods, and tell how much of the relevance lies where something moves.

    Parameters
    ----------
    model, signal, methods
        See `explain_by_methods`.
    truth, interval, tolerance, subject
        See `localisation_of`.
    seed : int
        Of all that is drawn.
    **options
        Of `explain_by_methods`.

    Returns
    -------
    pandas.DataFrame
        See `localisation_of`.

    Raises
    ------
    ValueError
        As in `explain_by_methods` and `localisation_of`.
    """
    explanations = explain_by_methods(model, signal, methods, seed=seed, **options)
    return localisation_of(explanations, truth, interval=interval, tolerance=tolerance, subject=subject, seed=seed)


def localisation_of(
    explanations: Mapping[str, xr.Dataset],
    truth: xr.DataArray,
    *,
    interval: xr.DataArray | None = None,
    tolerance: Mapping[Any, int] | None = None,
    subject: str | npt.ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Positive relevance inside the true tube and the true interval, method by method.

    Relevance is summed over the colours first, as a place moves in all of them. Clips to which one of the methods gives
    no positive relevance are left out for all.

    Parameters
    ----------
    explanations : mapping of str to xarray.Dataset
        Of the same clips; the first is what the others are compared with.
    truth, interval
        See `true_places`.
    tolerance : mapping, optional
        Of the pointing game: by how many frames, rows and columns the highest relevance may miss,
        ``{"row": 2, "column": 2}``.
    subject, seed
        See `signalrp.validation.localisation_table`.

    Returns
    -------
    pandas.DataFrame
        As from `signalrp.validation.localisation_table`, with ``where`` before, "tube", "interval" or "tube in the
        interval", and behind, for the criterion "mass", ``difference`` to the first method, and its ``p``, corrected
        for the number of methods (`signalrp.validation.compare_methods`); else NaN. ``attrs["trials"]`` tells how many
        clips counted in each place.

    Raises
    ------
    ValueError
        If the truth does not fit, fewer than two clips are left, or as in `localisation_table`.
    """
    if isinstance(explanations, xr.Dataset) or not explanations:
        raise ValueError("Expected explanations by the names of methods, such as {'LRP': explanation}.")
    pooled = {name: xr.Dataset({"relevance": over_colours(e["relevance"])}) for name, e in explanations.items()}
    first = next(iter(pooled.values()))
    masks = true_places(truth, interval)
    clusters = trial_clusters(first, subject)
    places = ["frame", "row", "column"]
    points = np.logical_and.reduce([(e["relevance"] > 0).any(places).values for e in pooled.values()])
    tables, counts = [], {}
    for where, mask in masks.items():
        same_places(mask, first["relevance"], "The truth", of="relevance")
        share = mask.mean([dim for dim in mask.dims if dim != "trial"])
        kept = np.flatnonzero(points & (share > 0).values & (share < 1).values)
        if not len(kept):
            continue
        some = {name: e.isel(trial=kept) for name, e in pooled.items()}
        own = None if clusters is None else clusters[kept]
        table = localisation_table(
            some, mask.isel(trial=kept), subject=own, seed=seed,
            tolerance={dim: n for dim, n in (tolerance or {}).items() if dim in places},
        )  # fmt: skip
        table.insert(0, "where", where)
        tables.append(_compared(table, some, mask.isel(trial=kept), own, seed))
        counts[where] = len(kept)
    if not tables:
        raise ValueError(
            "No clip has positive relevance by all methods and a truth that is somewhere but not everywhere."
        )
    found = pd.concat(tables, ignore_index=True)
    found.attrs["trials"] = counts
    return found


def true_places(truth: xr.DataArray, interval: xr.DataArray | None = None) -> dict[str, xr.DataArray]:
    """Where and when something moves: the tube, the interval, and the tube within the interval.

    Parameters
    ----------
    truth : xarray.DataArray of bool, shape (trial, frame, row, column)
        The tube.
    interval : xarray.DataArray of bool, shape (trial, frame), optional
        By default the frames from the coordinate ``onset`` to before ``offset``, or, where these are not given, those
        in which the tube is anywhere.

    Returns
    -------
    dict of str to xarray.DataArray
        "tube"; "interval", unless it covers all frames of all clips; and "tube in the interval", where it differs
        from both.

    Raises
    ------
    ValueError
        If truth or interval is not boolean over these dimensions.
    """
    _check_truth(truth, ("trial", "frame", "row", "column"))
    if interval is None:
        number = xr.DataArray(np.arange(truth.sizes["frame"]), dims="frame")
        if {"onset", "offset"} <= set(truth.coords):
            interval = (number >= truth["onset"]) & (number < truth["offset"])
        else:
            interval = truth.any(["row", "column"])
    _check_truth(interval, ("trial", "frame"))
    interval = interval.transpose("trial", "frame").drop_vars("frame", errors="ignore")
    places = {"tube": truth}
    if not interval.all():
        places["interval"] = interval
        both = (truth & interval).transpose(*truth.dims)
        if not (both == truth).all():
            places["tube in the interval"] = both
    return places


def _compared(
    table: pd.DataFrame,
    explanations: Mapping[str, xr.Dataset],
    mask: xr.DataArray,
    clusters: npt.NDArray[Any] | None,
    seed: int,
) -> pd.DataFrame:
    """The table with the differences of every method's mass to that of the first."""
    reference = next(iter(explanations))
    differences = pd.DataFrame({"method": [], "difference": [], "p": []})
    if len(explanations) > 1:
        mass = {name: mass_accuracy(explanation, mask).values for name, explanation in explanations.items()}
        compared = compare_methods(mass, clusters, reference=reference, seed=seed)
        differences = compared[["first", "difference", "p_corrected"]].set_axis(["method", "difference", "p"], axis=1)
    return table.merge(differences.assign(criterion="mass"), "left", ["method", "criterion"])


def _check_truth(truth: xr.DataArray, dims: tuple[str, ...]) -> None:
    if set(truth.dims) != set(dims) or truth.dtype != bool:
        raise ValueError(f"Expected a boolean array over {', '.join(dims)}; found {truth.dtype} over {truth.dims}.")
