"""Refuse what would give a wrong number: every input of a validation is looked at here first."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.places import same_places

_FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
# dimensions that may stand for time, the first that a signal has
_TIME = ("time", "frame")


def labelled_array(explanation: xr.Dataset, name: str) -> xr.DataArray:
    """A variable of the explanation with the dimensions of its signal, ``trial`` first, finite throughout.

    Usually (trial, channel, time), but any dimensions besides trial will do, in the order in which the model
    takes them: (trial, channel, frequency, time), or (trial, rgb, frame, row, column).

    Raises
    ------
    ValueError
        If it is missing, has no dimension trial or no other, has other dimensions than the signal, is empty or
        not finite.
    """
    if name not in explanation:
        raise ValueError(
            f"The explanation has no variable {name!r}; expected signal and relevance, with trial and the other "
            "dimensions of the signal."
        )
    array = explanation[name]
    like = explanation.get("signal", array)
    if "trial" not in array.dims or array.ndim < 2:
        raise ValueError(
            f"{name} has dimensions {array.dims}; expected trial and at least one more, such as (trial, channel, time)."
        )
    if set(array.dims) != set(like.dims):
        raise ValueError(f"{name} has dimensions {array.dims}, the signal {like.dims}; expected the same in both.")
    if not array.size:
        raise ValueError(f"{name} is empty with sizes {dict(array.sizes)}; give at least one trial.")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} is {array.dtype}; expected real numbers.")
    array = array.transpose("trial", *(dim for dim in like.dims if dim != "trial"))
    bad = ~np.isfinite(array.values.reshape(len(array), -1)).all(1)
    if bad.any():
        raise ValueError(
            f"{name} has NaN or infinite values in {int(bad.sum())} of {len(bad)} trials, first in trial "
            f"{int(bad.argmax())}; fill or drop them."
        )
    return array


def time_dimension(dims: Iterable[Hashable], purpose: str) -> str:
    """The dimension that runs in time: ``time``, or ``frame`` where there is no time.

    Raises
    ------
    ValueError
        If there is neither; `purpose` begins the sentence ("The fill 'interpolate'").
    """
    names = [str(dim) for dim in dims]
    for name in _TIME:
        if name in names:
            return name
    raise ValueError(
        f"{purpose} needs a dimension 'time' or 'frame', found {tuple(names)}; rename the one that runs in time."
    )


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
        If its channels, times or other places are not those of the signal, or it is not finite.
    """
    if reference is None:
        return signal.values
    if isinstance(reference, xr.DataArray):
        if set(reference.dims) != set(signal.dims):
            raise ValueError(f"The reference has dimensions {reference.dims}; expected {signal.dims} as in the signal.")
        same_places(reference, signal, "The reference's trials", free=("trial",))
        reference = reference.transpose(*signal.dims)
    values = np.asarray(reference)
    if values.ndim != signal.ndim or values.shape[1:] != signal.shape[1:] or not len(values):
        raise ValueError(
            f"The reference has shape {values.shape}; expected trials of shape {signal.shape[1:]} as in the signal."
        )
    if not np.isfinite(values).all():
        raise ValueError("The reference has NaN or infinite values; fill or drop those trials.")
    return values


def own_positions(reference: NDArray[np.generic], values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Where among the reference's trials each trial itself stands, (trial,), −1 where it is none of them."""
    if reference is values:
        return np.arange(len(values))
    known = {_fingerprint(trial): position for position, trial in enumerate(reference.astype(values.dtype, copy=False))}
    return np.array([known.get(_fingerprint(trial), -1) for trial in values], dtype=np.int64)


def _fingerprint(trial: NDArray[np.generic]) -> bytes:
    return hashlib.blake2b(trial.tobytes(), digest_size=16).digest()


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
        if "window" in explanation["output"].dims:
            raise ValueError(
                "The explanation has an output for each window, none for a trial; cut the signal into windows, as "
                "trials of their own, and explain these."
            )
        explained = explanation["output"].values
        if explained.shape != initial.shape or abs(explained - initial).max() > 0.01 * abs(explained).max():
            raise ValueError(
                "The model's outputs differ from those stored in the explanation; give the model (and the "
                "transform) that was explained."
            )
    if (label == label[0]).all():
        warnings.warn(
            f"All trials have the label {label[0]}: a model that always answers so is always right, and accuracy under "
            "removal says nothing; read the output instead, or add trials of other classes.",
            UserWarning,
            stacklevel=3,
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
