"""What must respect the border between training and test: folds and scaling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from signalrp.signals import units_of, with_units

Indices = npt.NDArray[np.int64]


def folds(
    signal: xr.DataArray, k: int = 10, by: str = "label", group: str | None = None, seed: int = 0
) -> list[tuple[Indices, Indices]]:
    """Split the trials for k-fold cross-validation, balanced over the classes.

    Parameters
    ----------
    signal : xarray.DataArray
        Signal with the trial coordinate `by`, and `group` if given.
    k : int
        Number of folds.
    by : str
        Trial coordinate with the class.
    group : str, optional
        Trial coordinate whose values stay together, such as "subject": no person is in training and test at
        once. Leave it out only when the person is the class, as in the identification of people.
    seed : int
        Seed of the shuffling.

    Returns
    -------
    list of (train, test)
        k pairs of sorted trial numbers; every trial is in exactly one test part.

    Raises
    ------
    ValueError
        If there are fewer trials per class, or groups, than folds, or every class consists of a single group.
    ImportError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    except ImportError as error:
        raise ImportError("Folds need scikit-learn, which every domain needs: pip install scikit-learn.") from error
    for key in (by, group):
        if key is not None and key not in signal.coords:
            raise ValueError(
                f"The signal has no coordinate {key!r} along trial; it has {sorted(map(str, signal.coords))}."
            )
    if k < 2:
        raise ValueError(f"Cross-validation needs at least 2 folds, got {k}.")
    classes = signal[by].values
    _, counts = np.unique(classes, return_counts=True)
    trials = np.zeros(len(classes))
    if group is None:
        if counts.min() < k:
            raise ValueError(f"A class has {counts.min()} trials, fewer than the {k} folds; use fewer folds.")
        pairs = StratifiedKFold(k, shuffle=True, random_state=seed).split(trials, classes)
    else:
        groups = signal[group].values
        per_class = [len(np.unique(groups[classes == value])) for value in np.unique(classes)]
        if max(per_class) == 1:
            raise ValueError(
                f"Every class of {by!r} has one {group}: grouped by {group}, no class would be in training "
                "and test. "
                "To identify people, leave group out."
            )
        if min(per_class) < k:
            raise ValueError(f"A class has {min(per_class)} of {group!r}, fewer than the {k} folds; use fewer folds.")
        pairs = StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(trials, classes, groups)
    return [(np.sort(train).astype(np.int64), np.sort(test).astype(np.int64)) for train, test in pairs]


class Scaler:
    """Scale every channel with numbers taken from the training trials only.

    Parameters
    ----------
    kind : {"min-max", "z-score"}
        "min-max": (x - min) / (max - min), 0 to 1 on the training trials. "z-score": (x - mean) / sd.

    Attributes
    ----------
    offset, scale : xarray.DataArray, shape (channel,)
        What is subtracted, and what is divided by, after `fit`. A constant channel is divided by 1.
    """

    def __init__(self, kind: Literal["min-max", "z-score"] = "min-max") -> None:
        if kind not in ("min-max", "z-score"):
            raise ValueError(f"The scaling {kind!r} is unknown; choose 'min-max' or 'z-score'.")
        self.kind = kind
        self.offset: xr.DataArray | None = None
        self.scale: xr.DataArray | None = None
        self._units: dict[str, str] = {}

    def fit(self, signal: xr.DataArray) -> Scaler:
        """Take offset and scale of every channel from these trials: pass the training part only."""
        if not np.isfinite(signal.values).all():
            raise ValueError("The signal contains missing values; fill them or leave out those trials first.")
        dims = [dim for dim in signal.dims if dim != "channel"]
        if self.kind == "min-max":
            offset, scale = signal.min(dims), signal.max(dims) - signal.min(dims)
        else:
            offset, scale = signal.mean(dims), signal.std(dims)
        scale = scale.where(scale > 0, 1.0)
        self.offset, self.scale = (part.drop_vars("unit", errors="ignore") for part in (offset, scale))
        self._units = dict(zip(map(str, signal["channel"].values), units_of(signal), strict=True))
        return self

    def transform(self, signal: xr.DataArray) -> xr.DataArray:
        """Scale a signal; its unit becomes "1". Channels that were not fitted are refused."""
        offset, scale = self._for(signal)
        scaled = self._like(signal, (signal - offset) / scale)
        return with_units(scaled, ["1"] * signal.sizes["channel"])

    def inverse(self, signal: xr.DataArray) -> xr.DataArray:
        """Undo `transform`, units included."""
        offset, scale = self._for(signal)
        restored = self._like(signal, signal * scale + offset)
        return with_units(restored, [self._units[str(name)] for name in signal["channel"].values])

    def on_tensors(self) -> Callable[[Tensor], Tensor]:
        """Return the scaling as a function of tensors (trial, channel, time), the channels those of the fit."""
        if self.offset is None or self.scale is None:
            raise ValueError("The scaler has not seen any training trials; call fit first.")
        offset, scale = (torch.as_tensor(part.values)[:, None] for part in (self.offset, self.scale))
        return lambda x: (x - offset.to(x)) / scale.to(x)

    def _for(self, signal: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
        if self.offset is None or self.scale is None:
            raise ValueError("The scaler has not seen any training trials; call fit first.")
        unseen = [str(name) for name in signal["channel"].values if str(name) not in self._units]
        if unseen:
            raise ValueError(f"The scaler was fitted on {list(self._units)} and has not seen {unseen}; fit it on them.")
        chosen = signal["channel"].drop_vars("unit", errors="ignore")
        return self.offset.sel(channel=chosen), self.scale.sel(channel=chosen)

    @staticmethod
    def _like(signal: xr.DataArray, result: xr.DataArray) -> xr.DataArray:
        result = result.transpose(*signal.dims).astype(signal.dtype)
        result.name, result.attrs = signal.name, dict(signal.attrs)
        return result
