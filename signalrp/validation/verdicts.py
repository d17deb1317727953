"""What the sanity checks have in common: a model with its maps, and how a verdict is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from signalrp.baselines import Method, explain_with
from signalrp.explanation import type_and_place
from signalrp.targets import Target
from signalrp.validation.checks import labelled_array
from signalrp.validation.likeness import Measure
from signalrp.validation.statistics import Interval, bootstrap_interval, trial_clusters

# decides where a model with other weights may turn a whole map round without telling more by it
RESEMBLANCE: Measure = "spearman-up-to-sign"


@dataclass(frozen=True)
class Check:
    """Verdict of a sanity check, with the numbers it rests on. It is true where it passed.

    Attributes
    ----------
    name : str
        Of the check.
    passed : bool
        The verdict.
    statement : str
        What was found, what was asked for and what it means, in a sentence or two.
    table : pandas.DataFrame
        All numbers, tidy.
    """

    name: str
    passed: bool
    statement: str
    table: pd.DataFrame

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        table = self.table.to_string(index=False, float_format="{:.3f}".format)
        return f"{self.name}: {_verdict(self.passed)}. {self.statement}\n{table}"


def checks_table(checks: Iterable[Check]) -> pd.DataFrame:
    """One row per check, for a report: columns check, verdict, statement."""
    rows = [(check.name, _verdict(check.passed), check.statement) for check in checks]
    return pd.DataFrame(rows, columns=["check", "verdict", "statement"])


@dataclass(frozen=True)
class Case:
    """A model and signals with the maps that one method makes of them."""

    model: nn.Module
    signal: xr.DataArray
    method: Method
    options: Mapping[str, Any]
    target: Target
    cluster: NDArray[np.generic] | None
    original: xr.Dataset

    @classmethod
    def of(
        cls,
        model: nn.Module,
        data: xr.DataArray | xr.Dataset,
        method: Method,
        target: Target,
        subject: str | ArrayLike | None,
        options: Mapping[str, Any],
    ) -> Case:
        """Explain the signals once; from then on the explained classes are fixed.

        Raises
        ------
        ValueError
            If there is no signal, it holds NaN, or what was explained is not known.
        """
        if isinstance(data, xr.Dataset):
            signal = labelled_array(data, "signal")
            if target is None and "target" not in data:
                raise ValueError(
                    "The explanation has no variable 'target', so it explains something else than a class; "
                    "give its target again."
                )
            target = torch.as_tensor(data["target"].values) if target is None else target
        else:
            signal = labelled_array(data.to_dataset(name="signal"), "signal").rename(data.name)
        cluster = trial_clusters(signal.to_dataset(name="signal"), subject)
        original = explain_with(method, model, signal, target, **options)
        fixed = torch.as_tensor(original["target"].values) if "target" in original else target
        return cls(model, signal, method, options, fixed, cluster, original)

    @property
    def maps(self) -> NDArray[np.floating]:
        """Relevance (trial, …)."""
        return labelled_array(self.original, "relevance").values

    @property
    def name(self) -> str:
        """Of the method."""
        return str(self.original.attrs.get("method", self.method))

    def again(
        self, model: nn.Module | None = None, signal: xr.DataArray | None = None, target: Target = None
    ) -> xr.Dataset:
        """Explain once more, with another model, signal or class where given."""
        return explain_with(
            self.method,
            self.model if model is None else model,
            self.signal if signal is None else signal,
            self.target if target is None else target,
            **self.options,
        )

    def maps_of(self, model: nn.Module) -> NDArray[np.floating]:
        """Relevance (trial, …) of another model for the same classes."""
        return labelled_array(self.again(model), "relevance").values


def as_inputs(model: nn.Module, signal: xr.DataArray) -> Tensor:
    """The signal as the model takes it."""
    dtype, place = type_and_place(model)
    return torch.as_tensor(signal.values).to(device=place, dtype=dtype)


def deviation(signal: xr.DataArray) -> xr.DataArray:
    """Standard deviation of the signal, for every channel its own where there are channels.

    Raises
    ------
    ValueError
        If the signal is constant.
    """
    sd = signal.std([dim for dim in signal.dims if dim != "channel"])
    if not sd.values.any():
        raise ValueError("The signal is constant, so nothing can be measured in its standard deviations.")
    return sd


def plus(signal: xr.DataArray, added: xr.DataArray | NDArray[np.floating]) -> xr.DataArray:
    """The signal with something added, in its own dimensions and floating-point type."""
    dtype = signal.dtype if signal.dtype.kind == "f" else np.float64
    return (signal + added).transpose(*signal.dims).astype(dtype)


def norms(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Euclidean norm of every map (trial, …)."""
    return np.sqrt((maps.astype(np.float64) ** 2).sum(tuple(range(1, maps.ndim))))


def known_interval(
    values: NDArray[np.floating], cluster: NDArray[np.generic] | None, level: float, seed: int
) -> Interval:
    """Mean and interval of the trials (trial,) that have a value.

    Raises
    ------
    ValueError
        If fewer than half of them have.
    """
    known = np.isfinite(values)
    if 2 * known.sum() < len(values):
        raise ValueError(
            f"In {int((~known).sum())} of {len(values)} trials a map is zero or constant and resembles nothing; "
            "explain trials, a class or a method that has relevance."
        )
    return bootstrap_interval(values[known], None if cluster is None else cluster[known], level, seed=seed)


def over_trials(
    values: NDArray[np.float64],
    cluster: NDArray[np.generic] | None,
    level: float,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean and interval over the trials (trial,) that have a value; NaN where too few are left to resample."""
    known = np.isfinite(values)
    names = np.arange(len(values)) if cluster is None else cluster
    if len(np.unique(names[known])) < 2 <= len(np.unique(names)):
        return Interval(*np.full(3, np.nan))
    return bootstrap_interval(values[known], names[known], level, resamples, seed)


def words(interval: Interval) -> str:
    """Estimate with its interval, e.g. ``0.12 (0.08 to 0.17)``."""
    return f"{interval.estimate:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def left_out(values: NDArray[np.floating]) -> str:
    """A sentence on trials (trial,) without a value, nothing where there are none."""
    count = int((~np.isfinite(values)).sum())
    return f" {count} of {len(values)} trials are left out: a map is zero or constant." if count else ""


def at_least_one(repeats: int) -> None:
    """Refuse what asks for no repeat at all."""
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; expected at least 1.")


def _verdict(passed: bool) -> str:
    return "pass" if passed else "fail"
