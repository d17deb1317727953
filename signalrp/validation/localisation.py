"""Localisation: does relevance lie where the cause is known to be?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation

from signalrp.places import same_places
from signalrp.validation.checks import labelled_array
from signalrp.validation.statistics import bootstrap_interval, trial_clusters

Part = Literal["positive", "absolute"]
Tolerance = int | Mapping[Hashable, int]

CRITERIA = ("mass", "rank", "pointing")
"""The rows of `localisation_table` for each method, in their order."""


def mass_accuracy(explanation: xr.Dataset, mask: xr.DataArray, part: Part = "positive") -> xr.DataArray:
    """Relevance mass accuracy: the share of relevance that lies in the mask (trial), 0 to 1.

    Arras et al. (2022), doi:10.1016/j.inffus.2021.11.008.

    Parameters
    ----------
    explanation
        Dataset with ``relevance``, ``trial`` first, any dimensions after it.
    mask
        Where the cause is: boolean, in dimensions of the relevance; over those that it lacks it holds
        everywhere. With ``trial`` among them, each trial has its own. Coordinates, where both have them, must
        be the same.
    part
        What counts: ``"positive"``, the relevance above 0, as in the paper, or ``"absolute"``, its magnitude.

    Returns
    -------
    xarray.DataArray
        One value per trial, with those coordinates of the explanation that belong to trials, and the
        coordinate ``chance``: what is expected where relevance knows nothing of the mask, the mask's share of
        the trial.

    Raises
    ------
    ValueError
        If mask and relevance do not fit, the mask is empty or covers everything, or a trial has no relevance
        that counts.
    """
    truth = _truth(explanation, mask, part)
    return _result(explanation, "relevance mass accuracy", *_mass(truth))


def rank_accuracy(explanation: xr.Dataset, mask: xr.DataArray, part: Part = "positive") -> xr.DataArray:
    """Relevance rank accuracy: how many of the k highest values lie in a mask of k samples (trial), 0 to 1.

    Arras et al. (2022), doi:10.1016/j.inffus.2021.11.008. Where values around the k-th are equal, what is
    expected from a choice among them at random.

    Parameters
    ----------
    explanation, mask
        See `mass_accuracy`.
    part
        ``"positive"`` ranks relevance by its signed value, so that what speaks against comes last;
        ``"absolute"`` by its magnitude.

    Returns
    -------
    xarray.DataArray
        As `mass_accuracy` does.

    Raises
    ------
    ValueError
        As in `mass_accuracy`.
    """
    truth = _truth(explanation, mask, part)
    return _result(explanation, "relevance rank accuracy", *_rank(truth))


def pointing_game(
    explanation: xr.Dataset, mask: xr.DataArray, part: Part = "positive", tolerance: Tolerance = 0
) -> xr.DataArray:
    """Pointing game: does the highest relevance of a trial lie in the mask (trial), 1 or 0?

    Zhang et al. (2018), doi:10.1007/s11263-017-1059-x. Where several samples share the highest value, the
    share of them that lies in the mask.

    Parameters
    ----------
    explanation, mask, part
        See `rank_accuracy`.
    tolerance
        Samples by which the highest relevance may miss the mask: along ``time``, or a mapping from dimensions
        to samples. The chance level counts it in.

    Returns
    -------
    xarray.DataArray
        As `mass_accuracy` does.

    Raises
    ------
    ValueError
        As in `mass_accuracy`, or if the tolerance is negative, along a dimension that relevance has not, or
        so large that nothing is outside.
    """
    truth = _truth(explanation, mask, part)
    return _result(explanation, "pointing game", *_pointing(truth, tolerance))


def localisation_table(
    explanations: Mapping[str, xr.Dataset],
    mask: xr.DataArray,
    *,
    part: Part = "positive",
    tolerance: Tolerance = 0,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Localisation of several methods beside each other, with intervals and chance level.

    Parameters
    ----------
    explanations
        From the name of a method to its explanation; all of the same trials.
    mask, part, tolerance
        See `mass_accuracy` and `pointing_game`.
    subject
        Coordinate along trial, or one value per trial, by which trials are clustered; by default the
        coordinate ``subject`` where there is one, else every trial counts for itself.
    level, resamples, seed
        See `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        Columns method, criterion (``mass``, ``rank``, ``pointing``), estimate (mean over trials), low, high and
        chance; one row per method and criterion.

    Raises
    ------
    ValueError
        If there is no method, or as in `mass_accuracy` and `pointing_game`, with the name of the method, or in
        `bootstrap_interval`.
    """
    if isinstance(explanations, xr.Dataset) or not explanations:
        raise ValueError(
            "localisation needs a mapping from names of methods to explanations, such as {'epsilon': explanation}."
        )
    rows = []
    for name, explanation in explanations.items():
        try:
            truth = _truth(explanation, mask, part)
            scores = (_mass(truth), _rank(truth), _pointing(truth, tolerance))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        values = np.stack([score for score, _ in scores], axis=1)
        clusters = trial_clusters(explanation, subject)
        interval = bootstrap_interval(values, clusters, level, resamples, seed)
        for number, (criterion, (_, chance)) in enumerate(zip(CRITERIA, scores, strict=True)):
            numbers = (*(part_of[number] for part_of in interval), chance.mean())
            rows.append((name, criterion, *map(float, numbers)))
    return pd.DataFrame(rows, columns=["method", "criterion", "estimate", "low", "high", "chance"])


class _Truth(NamedTuple):
    """Relevance that counts and where it should be, of the same shape (trial, …)."""

    relevance: NDArray[np.float64]
    mask: NDArray[np.bool_]
    dims: tuple[Hashable, ...]
    part: Part


_Scores = tuple[NDArray[np.float64], NDArray[np.float64]]


def _truth(explanation: xr.Dataset, mask: xr.DataArray, part: Part) -> _Truth:
    if part not in ("positive", "absolute"):
        raise ValueError(f'part is {part!r}; choose "positive" or "absolute".')
    relevance = labelled_array(explanation, "relevance")
    values = relevance.values.astype(np.float64)
    inside = mask_like(relevance, mask)
    share = inside.reshape(len(inside), -1).mean(1)
    for wrong, what, why in (
        (share == 0, "is empty", "there is nothing to find"),
        (share == 1, "covers everything", "nothing can be missed"),
    ):
        if wrong.any():
            raise ValueError(f"The mask {what} in trial {int(wrong.argmax())}, so that {why}; leave such trials out.")
    counted = np.abs(values) if part == "absolute" else values
    nothing = counted.reshape(len(counted), -1).max(1) <= 0
    if nothing.any():
        none_of_it = "no relevance above 0" if values[nothing.argmax()].any() else "no relevance at all, only zeros"
        raise ValueError(
            f"Trial {int(nothing.argmax())} has {none_of_it} ({int(nothing.sum())} of {len(nothing)} trials are such), "
            "so that it points nowhere; drop it" + ("." if part == "absolute" else ', or count part="absolute".')
        )
    return _Truth(counted, inside, relevance.dims, part)


def mask_like(relevance: xr.DataArray, mask: xr.DataArray) -> NDArray[np.bool_]:
    """Mask in the shape of the relevance.

    Raises
    ------
    ValueError
        If it is no labelled boolean array, or does not fit the relevance.
    """
    if not isinstance(mask, xr.DataArray) or mask.dtype != bool:
        found = f"of type {mask.dtype}" if isinstance(mask, xr.DataArray) else f"a {type(mask).__name__}"
        raise ValueError(f"The mask is {found}; expected a boolean xarray.DataArray with named dimensions.")
    if not mask.dims or not set(mask.dims) <= set(relevance.dims):
        raise ValueError(
            f"The mask has dimensions {mask.dims} and relevance {relevance.dims}; expected some of the latter. "
            "Relevance in another basis comes from signalrp.inspect."
        )
    same_places(mask, relevance, "Entries of the mask")
    # Plain variables: coordinates that agree but for rounding must not be joined by value.
    return mask.variable.set_dims(dict(relevance.sizes)).transpose(*relevance.dims).values


def _mass(truth: _Truth) -> _Scores:
    counted = truth.relevance.clip(min=0).reshape(len(truth.relevance), -1)
    inside = truth.mask.reshape(counted.shape)
    return (counted * inside).sum(1) / counted.sum(1), inside.mean(1)


def _rank(truth: _Truth) -> _Scores:
    values = truth.relevance.reshape(len(truth.relevance), -1)
    inside = truth.mask.reshape(values.shape)
    size = inside.sum(1)
    last = np.take_along_axis(-np.sort(-values, axis=1), size[:, None] - 1, axis=1)
    above, tied = values > last, values == last
    # The k highest are all above the k-th and some of those equal to it: each of these is as good as another.
    left = (size - above.sum(1)) / tied.sum(1)
    return ((above & inside).sum(1) + left * (tied & inside).sum(1)) / size, inside.mean(1)


def _pointing(truth: _Truth, tolerance: Tolerance) -> _Scores:
    values = truth.relevance.reshape(len(truth.relevance), -1)
    highest = values == values.max(1, keepdims=True)
    inside = _widened(truth.mask, truth.dims, tolerance).reshape(values.shape)
    return (highest & inside).sum(1) / highest.sum(1), inside.mean(1)


def _widened(mask: NDArray[np.bool_], dims: tuple[Hashable, ...], tolerance: Tolerance) -> NDArray[np.bool_]:
    along = tolerance if isinstance(tolerance, Mapping) else {"time": tolerance} if tolerance else {}
    for dim, samples in along.items():
        if dim not in dims[1:]:
            raise ValueError(
                f"The tolerance is along {dim}, relevance has dimensions {dims[1:]}; give {{dimension: samples}}."
            )
        if samples != int(samples) or samples < 0:
            raise ValueError(f"The tolerance is {samples} samples along {dim}; expected a whole number, 0 or more.")
        if samples:
            shape = [1] * mask.ndim
            shape[dims.index(dim)] = 2 * int(samples) + 1
            mask = binary_dilation(mask, np.ones(shape, dtype=bool))
    full = mask.reshape(len(mask), -1).all(1)
    if full.any():
        raise ValueError(
            f"With the tolerance {tolerance} nothing lies outside the mask in trial {int(full.argmax())}; allow less."
        )
    return mask


def _result(
    explanation: xr.Dataset, name: str, values: NDArray[np.float64], chance: NDArray[np.float64]
) -> xr.DataArray:
    kept = {str(key): value for key, value in explanation.coords.items() if value.dims == ("trial",)}
    return xr.DataArray(values, coords={**kept, "chance": ("trial", chance)}, dims="trial", name=name)
