"""Refuse what would give a wrong number: every input of a validation is looked at here first."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

_DIMS = ("trial", "channel", "time")
_FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def labelled_array(explanation: xr.Dataset, name: str) -> xr.DataArray:
    """A variable of the explanation with dimensions (trial, channel, time), finite throughout.

    Raises
    ------
    ValueError
        If it is missing, has other dimensions, is empty or not finite.
    """
    if name not in explanation:
        raise ValueError(
            f"The explanation has no variable {name!r}; expected signal and relevance (trial, channel, time)."
        )
    array = explanation[name]
    if set(array.dims) != set(_DIMS):
        raise ValueError(f"{name} has dimensions {array.dims}; expected {_DIMS}.")
    if not array.size:
        raise ValueError(f"{name} is empty with sizes {dict(array.sizes)}; give at least one trial.")
    array = array.transpose(*_DIMS)
    bad = ~np.isfinite(array.values).all((1, 2))
    if bad.any():
        raise ValueError(
            f"{name} has NaN or infinite values in {int(bad.sum())} of {len(bad)} trials, first in trial "
            f"{int(bad.argmax())}; fill or drop them."
        )
    return array


def true_classes(explanation: xr.Dataset) -> NDArray[np.int64]:
    """Label of every trial.

    Raises
    ------
    ValueError
        If labels are missing or not classes counted from 0.
    """
    if "label" not in explanation:
        raise ValueError(
            "The explanation has no variable 'label' (trial), without which no accuracy can be given; "
            "assign the true class of every trial."
        )
    label = explanation["label"].values
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer) or label.min() < 0:
        raise ValueError(
            f"label has shape {label.shape} and type {label.dtype}; expected one class per trial, "
            "integers counted from 0."
        )
    return np.asarray(label, dtype=np.int64)


def reference_values(reference: ArrayLike | None, signal: xr.DataArray) -> NDArray[np.floating]:
    """Data the fills take mean and standard deviation from, by default the signal itself.

    Raises
    ------
    ValueError
        If its channels or times are not those of the signal, or it is not finite.
    """
    if reference is None:
        return signal.values
    if isinstance(reference, xr.DataArray):
        if set(reference.dims) != set(_DIMS):
            raise ValueError(f"The reference has dimensions {reference.dims}; expected {_DIMS}.")
        reference = reference.transpose(*_DIMS)
    values = np.asarray(reference)
    if values.ndim != 3 or values.shape[1:] != signal.shape[1:] or not len(values):
        raise ValueError(
            f"The reference has shape {values.shape}; expected trials of shape {signal.shape[1:]} as in the signal."
        )
    if not np.isfinite(values).all():
        raise ValueError("The reference has NaN or infinite values; fill or drop those trials.")
    return values


def removal_steps(
    fractions: Sequence[float] | None, pieces: int, one_by_one: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Steps as % removed, or as number of pieces where they go one by one, and the pieces removed at each.

    Raises
    ------
    ValueError
        If a fraction lies outside 0 to 1, or none is above 0.
    """
    if fractions is None and one_by_one:
        counts = np.arange(pieces + 1)
        return counts.astype(np.float64), counts
    shares = np.unique(np.asarray(_FRACTIONS if fractions is None else fractions, dtype=np.float64))
    if not (np.isfinite(shares).all() and (shares >= 0).all() and (shares <= 1).all()):
        raise ValueError(f"fractions are {shares.tolist()}; expected shares between 0 and 1 (0.05 for 5 %).")
    if not (shares > 0).any():
        raise ValueError("fractions hold nothing above 0; give at least one share to remove.")
    shares = np.union1d([0.0], shares)
    # 0.29 × 100 is 28.999… in floating point and means 29
    return 100 * shares, np.floor(shares * pieces + 1e-9).astype(np.int64)


def check_model(explanation: xr.Dataset, initial: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Compare the model's outputs (trial, class) with the explanation and return the predicted classes.

    Raises
    ------
    ValueError
        If the outputs are not those that were explained, or a label is no class of the model.
    """
    classes = initial.shape[1]
    if label.max() >= classes:
        raise ValueError(f"label holds class {label.max()}; the model knows classes 0 to {classes - 1}.")
    if "output" in explanation:
        explained = explanation["output"].values
        if explained.shape != initial.shape or abs(explained - initial).max() > 0.01 * abs(explained).max():
            raise ValueError(
                "The model's outputs differ from those stored in the explanation; give the model (and the "
                "transform) that was explained."
            )
    predicted: NDArray[np.int64] = initial.argmax(1)
    if "target" in explanation:
        leaks = (explanation["target"].values == label) & (predicted != label)
        if leaks.any():
            warnings.warn(
                f"In {int(leaks.sum())} wrongly classified trials the relevance explains the true class, not "
                "the predicted one. This order leaks the label, and accuracy under removal then says nothing "
                "about the explanation; explain the predicted class (target=None) instead.",
                UserWarning,
                stacklevel=3,
            )
    return predicted
