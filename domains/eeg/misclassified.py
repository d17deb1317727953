"""Why trials were misclassified: what misled the model, how unusual that is, and what it coincides with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.special import softmax
from torch import nn

from signalrp import explain
from signalrp.groups import class_names
from signalrp.validation.checks import labelled_array, true_classes

from .misleading import PLACES, artefact_columns, find_misleading, place_columns
from .places import WINDOW
from .reasons import Limits, give_reasons, summarise
from .typicality import typicality

_FEWEST = 10
_OF_A_CLASS = ("relevance", "per_unit", "explained", "absorbed")


@dataclass(frozen=True)
class Examination:
    """What `examine` finds.

    Attributes
    ----------
    trials : pandas.DataFrame
        One row per trial, rightly classified ones too: what is unusual or explained among the errors means nothing
        without how often it is so among them. See `examine` for the columns.
    explained : xarray.Dataset
        What was examined, with the relevance for every class.
    misleading : xarray.Dataset
        ``evidence`` and ``robust_z`` (trial, channel, window), see `find_misleading`.
    artefacts : xarray.Dataset or None
        From `find_artefacts`.
    limits : Limits
        Where what is near, unlike and typical begins.
    """

    trials: pd.DataFrame
    explained: xr.Dataset
    misleading: xr.Dataset
    artefacts: xr.Dataset | None
    limits: Limits

    @property
    def errors(self) -> pd.DataFrame:
        """The misclassified trials, the one with the most unusual relevance first."""
        return self.trials[~self.trials["correct"]].sort_values("unusual", ascending=False, kind="stable")

    def summary(self) -> pd.DataFrame:
        """How many errors are explained by what, beside rightly classified trials; see `summarise`."""
        return summarise(self.trials)


def explain_classes(model: nn.Module, signal: xr.DataArray, composite: Any = "epsilon", **options: Any) -> xr.Dataset:
    """Explain every class of every trial, so that what speaks for either lies side by side.

    Parameters
    ----------
    model, signal, **options
        See `signalrp.explain`; no target. Give trials that the model was not trained on.
    composite : str or signalrp.Composite
        Which rules; see `signalrp.composite`. EEG is signed: the rules that follow positive contributions alone
        ("epsilon-plus" and whatever has z+) were less faithful than "epsilon", as measured by the removal of
        electrodes on nets such as `signalrp.domains.eeg.models.deep4` (see benchmarks), so that "epsilon" is the
        default here, other than in `signalrp.explain`.

    Returns
    -------
    xarray.Dataset
        The explanation of the predicted class, as `signalrp.explain` returns it, and ``class_relevance`` (trial,
        class, channel, time). Explanations of the folds of a cross-validation are put together with
        ``xarray.concat(parts, "trial")``; for pictures in volt see `signalrp.domains.eeg.relevance.in_volt`.

    Raises
    ------
    ValueError
        As `signalrp.explain`, and if the model fails on such trials or does not return (trial, class) with at least
        two classes.
    """
    _require_classes(model, signal, composite, options)
    first = explain(model, signal, 0, composite, **options)
    count = first.sizes["class"]
    each = [first, *(explain(model, signal, target, composite, **options) for target in range(1, count))]
    predicted = first["output"].values.argmax(1)
    rows = np.arange(len(predicted))
    chosen = {
        name: (first[name].dims, np.stack([one[name].values for one in each])[predicted, rows], first[name].attrs)
        for name in _OF_A_CLASS
        if name in first
    }
    maps = np.stack([one["relevance"].values for one in each], axis=1)
    dims = ("trial", "class", *first["relevance"].dims[1:])
    return first.assign(chosen | {"target": ("trial", predicted), "class_relevance": (dims, maps)})


def _require_classes(model: nn.Module, signal: xr.DataArray, composite: Any, options: dict[str, Any]) -> None:
    """Refuse a model that has no output for each of two or more classes."""
    trial = signal[:1]
    trial = trial.drop_vars("label", errors="ignore") if isinstance(trial, xr.DataArray) else trial
    passed = {name: options[name] for name in ("device", "unknown") if name in options}
    found = explain(model, trial, lambda out: out.reshape(len(out), -1).sum(1), composite, **passed)
    shape = found["output"].shape
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(
            f"The model returns {shape} for one trial; expected (trial, class), two classes at least: wrap a model of "
            "one output in a module that returns torch.cat([-z, z], 1), z being its output (trial, 1) before a sigmoid."
        )


def examine(
    explained: xr.Dataset,
    artefacts: xr.Dataset | None = None,
    *,
    window: float = WINDOW,
    places: int = PLACES,
    limits: Limits | None = None,
) -> Examination:
    """Examine every trial by its relevance: where it was misled, how unusual it is, what that coincides with.

    The *rival* of a trial is the class with the highest output other than the true one: the predicted class of a
    misclassified trial, the runner-up of a correct one. All trials are examined in the same way, and a correct trial
    is never compared with itself, so that correct trials tell how often anything is found without an error.

    Parameters
    ----------
    explained : xarray.Dataset
        Trials that the model was not trained on, from `explain_classes`, with ``label``. Those of several folds come
        from as many models, of which all correct trials together are the standard.
    artefacts : xarray.Dataset, optional
        Of the same trials, from `find_artefacts` with the same window.
    window : float
        Length of the windows, s.
    places : int
        How many of the most misleading places, electrodes × windows, count for a trial.
    limits : Limits, optional
        Where what is near, unlike and typical begins.

    Returns
    -------
    Examination
        Its table of trials has the columns ``true``, ``predicted``, ``rival``, ``correct``; ``margin``, output of the
        true class less that of its rival; ``probability`` of the predicted class; ``distance_true`` and
        ``distance_rival``, distance of the relevance for both classes from the mean of correct trials of either, as a
        multiple of the usual one, ``p_true`` and ``p_rival``, share of those that lie as far (`typicality`), and
        ``cosine_true`` and ``cosine_rival``; ``unusual``, the smaller distance; ``peak_z``, how far the most misleading
        place is above correct trials of the true class, ``peak_p``, how many of these have a place as high anywhere,
        ``electrode``, ``electrodes``, ``window_start`` and ``window_stop``, which these are (`find_misleading`);
        ``artefacts``, those present, and ``coincides``, those that are also unusual at one of the misleading places;
        and what `give_reasons` adds.

    Raises
    ------
    ValueError
        If the relevance for every class, outputs or labels are missing, that of a trial is zero, a class has fewer than
        ten correct trials, or artefacts are of other trials, channels or windows.
    """
    maps, label, output = _checked(explained)
    if places < 1:
        raise ValueError(f"The number of places is {places}; give 1 or more.")
    limits = limits or Limits()
    names = np.array(class_names(explained))
    rows = np.arange(len(label))
    predicted = output.argmax(1)
    correct = predicted == label
    others = output.copy()
    others[rows, label] = -np.inf
    rival = others.argmax(1)
    _require_correct(label[correct], rival, label, names)
    table = pd.DataFrame(
        {
            "true": names[label],
            "predicted": names[predicted],
            "rival": names[rival],
            "correct": correct,
            "margin": output[rows, label] - output[rows, rival],
            "probability": probabilities(output)[rows, predicted],
        },
        index=pd.Index(explained["trial"].values if "trial" in explained.coords else rows, name="trial"),
    )
    if not table.index.is_unique:
        again = table.index[table.index.duplicated()][0]
        raise ValueError(f"There are several trials {again}; number them anew with assign_coords(trial=...).")
    _require_relevance(maps, np.stack([label, rival], axis=1), table.index)
    table[["distance_true", "distance_rival", "p_true", "p_rival", "cosine_true", "cosine_rival"]] = _distances(
        maps, label, rival, correct
    )
    table["unusual"] = table[["distance_true", "distance_rival"]].min(axis=1)
    misleading = find_misleading(explained, label, rival, correct, window=window)
    found = place_columns(misleading, label, correct, places) | artefact_columns(misleading, artefacts, places)
    table = table.assign(**found)
    for name in ("subject", "session", "run", "fold", "event"):
        if name in explained.coords and explained[name].dims == ("trial",):
            table[name] = explained[name].values
    return Examination(give_reasons(table, limits), explained, misleading, artefacts, limits)


def _checked(explained: xr.Dataset) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Relevance (trial, class, channel, time), true classes, and outputs (trial, class)."""
    if "class_relevance" not in explained:
        raise ValueError("The explanation holds one class for each trial; explain all of them with explain_classes.")
    maps = explained["class_relevance"].transpose("trial", "class", "channel", "time")
    labelled_array(explained, "relevance")
    if not np.isfinite(maps.values).all():
        raise ValueError("The relevance for some class has NaN or infinite values; drop these trials.")
    label = true_classes(explained)
    output = explained["output"].transpose("trial", "class").values.astype(np.float64)
    if label.max() >= output.shape[1]:
        raise ValueError(f"label holds class {label.max()}; the model knows classes 0 to {output.shape[1] - 1}.")
    return maps.values, label, output


def _require_correct(
    found: npt.NDArray[np.int64],
    rival: npt.NDArray[np.int64],
    label: npt.NDArray[np.int64],
    names: npt.NDArray[np.str_],
) -> None:
    """Refuse a class that is true or a rival somewhere and that too few correct trials show."""
    counts = np.bincount(found, minlength=len(names))
    few = [number for number in np.union1d(label, rival) if counts[number] < _FEWEST]
    if few:
        raise ValueError(
            f"The class {names[few[0]]} has {counts[few[0]]} correctly classified trials, and a standard needs at "
            f"least {_FEWEST}; examine more trials, leave out the class, or take a model that classifies it better."
        )


def _require_relevance(maps: npt.NDArray[np.floating], classes: npt.NDArray[np.int64], names: pd.Index[Any]) -> None:
    """Refuse trials without any relevance for two classes (trial, 2)."""
    silent = ~np.stack([trial[pair].any() for trial, pair in zip(maps, classes, strict=True)])
    if silent.any():
        raise ValueError(
            f"The relevance of trial {names[silent.argmax()]} is zero everywhere, as that of {silent.sum()} of "
            f"{len(silent)} trials; leave them out."
        )


def _distances(
    maps: npt.NDArray[np.floating],
    label: npt.NDArray[np.int64],
    rival: npt.NDArray[np.int64],
    correct: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Distance, p and cosine to the true class and to the rival, (trial, 6).

    Every trial of a pair of classes is asked the same question, what speaks for the one and what for the other: a map
    has the relevance for both, so that nothing depends on which of them was predicted.
    """
    found = np.empty((len(label), 6))
    pairs = np.sort(np.stack([label, rival], axis=1), axis=1)
    for pair in np.unique(pairs, axis=0):
        mine = (pairs == pair).all(1)
        group = np.where(correct & (label == pair[1]), 1, np.where(correct & (label == pair[0]), 0, -1))
        compared = np.flatnonzero(mine | (group >= 0))
        result = typicality(maps[compared][:, pair], group[compared])
        at = np.flatnonzero(mine[compared])
        own = (label[mine] == pair[1]).astype(np.int64)
        columns = [values[at, side] for values in result for side in (own, 1 - own)]
        found[mine] = np.stack(columns, axis=1)
    return found


def probabilities(output: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Outputs as probabilities: as they are where they are such, else by softmax."""
    already = output.min() >= 0 and np.allclose(output.sum(1), 1, atol=1e-3)
    return output if already else softmax(output, axis=1)
