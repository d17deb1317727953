"""Does relevance tell classes apart, and does it hang on where the zero of the signal lies?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn

from signalrp.baselines import Method
from signalrp.targets import Target, main_output
from signalrp.validation.checks import labelled_array
from signalrp.validation.likeness import Measure, likeness, mean_of
from signalrp.validation.sanity.randomised import copy_of, layers_from_output, unchanged_random_state
from signalrp.validation.verdicts import (
    Case,
    Check,
    as_inputs,
    deviation,
    known_interval,
    left_out,
    norms,
    over_trials,
    plus,
    words,
)

# so many trials show whether a changed bias makes up for a shift
_PROBED = 32
# rank correlation up to sign from which a map counts as another one turned round: two thirds of the variance
_MIRRORED = 0.8


def class_contrast(
    model: nn.Module,
    data: xr.DataArray | xr.Dataset,
    method: Method = "epsilon-plus",
    *,
    target: Target = None,
    others: int | None = None,
    threshold: float = 0.5,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Check:
    """Compare relevance for the explained class with relevance for the other classes of the same trial.

    A class-blind method shows the same map whatever class is asked for (Sixt et al. 2020, arXiv:1912.09818), or
    shows it turned round where the output of the other class is negative. So two rank correlations are taken, with
    sign and up to sign.

    Parameters
    ----------
    others
        Compare with so many other classes, those with the highest outputs; by default with all.
    threshold
        It passes if the interval of the correlation with sign lies below this (0.5: a quarter of the variance of
        ranks in common), and the one up to sign below 0.8. Perfect contrast leaves up to 1 / (classes − 1) of the
        latter, the evidence for all classes then summing to zero; with two classes that is 1, one map being the other
        turned round, and the sign alone decides.
    model, data, method, target, subject, level, seed
        See `cascading_randomisation`.

    Returns
    -------
    Check
        Table with columns other (``"all"``, then the rank of the other class by its output), measure, similarity,
        low, high.

    Raises
    ------
    ValueError
        If the model has one class only, `others` does not fit, or as `cascading_randomisation`.
    """
    case = Case.of(model, data, method, target, subject, options)
    rivals = _rivals(case.original, others)
    classes = case.original["output"].shape[1]
    measures: tuple[Measure, Measure] = ("spearman", "spearman-up-to-sign")
    maps = [labelled_array(case.again(target=rival), "relevance").values for rival in rivals]
    rows: list[tuple[object, ...]] = []
    over = {}
    for measure in measures:
        values = np.stack([likeness(case.maps, other, measure) for other in maps])
        mean = mean_of(values)
        over[measure] = known_interval(mean, case.cluster, level, seed)
        rows.append(("all", measure, *over[measure]))
        for rank, alone in enumerate(values, start=1):
            rows.append((str(rank), measure, *over_trials(alone, case.cluster, level, seed=seed)))
    signed, unsigned = over["spearman"], over["spearman-up-to-sign"]
    passed = bool(signed.high < threshold and (classes == 2 or unsigned.high < _MIRRORED))
    asked = f"below {threshold:g}" + (f" and {_MIRRORED:g}" if classes > 2 else " with sign")
    statement = (
        f"Maps of {case.name} for the explained class and for {len(rivals)} of {classes - 1} other classes have a rank "
        f"correlation of {words(signed)} with sign and {words(unsigned)} up to sign; asked for is {asked}. "
        + ("The maps tell classes apart." if passed else "The maps do not tell classes well apart.")
        + left_out(mean)
    )
    table = pd.DataFrame(rows, columns=["other", "measure", "similarity", "low", "high"])
    return Check("class contrast", passed, statement, table)


def input_invariance(
    model: nn.Module,
    data: xr.DataArray | xr.Dataset,
    method: Method = "epsilon-plus",
    *,
    target: Target = None,
    shift: ArrayLike | None = None,
    tolerance: float = 0.01,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Check:
    """Shift the signal and the model alike, and see whether the map shifts too.

    Kindermans et al. (2019), arXiv:1711.00867. The shifted model makes of the shifted signal what the model makes of
    the signal, so a map of the model alone stays. Methods that share the output out relative to a zero do not: input
    x gradient, LRP, integrated gradients from zero. For them a change is no fault but a size: it says how much the
    map hangs on which value counts as "nothing there". Choose that zero on purpose, by centring and scaling the
    data or by the reference, and state it.

    Parameters
    ----------
    shift
        What is added to the signal, of a shape that broadcasts to a trial. By default one standard deviation of the
        signal, for every channel its own where there is a dimension ``channel``.
    tolerance
        It passes if the relative change of the map has its interval below this.
    model, data, method, target, subject, level, seed
        See `cascading_randomisation`.

    Returns
    -------
    Check
        Table with one row: change (norm of the difference over norm of the map), low, high, spearman (rank
        correlation of the two maps) and compensated, by ``"bias"`` of the first layer where that is possible, else by
        ``"subtraction"`` in front of the model.

    Raises
    ------
    ValueError
        If the shift is zero, not finite or of a wrong shape, or as `cascading_randomisation`.
    """
    case = Case.of(model, data, method, target, subject, options)
    moved = _moved(case.signal, shift)
    shifted, how = _shifted_model(model, as_inputs(model, case.signal), as_inputs(model, moved))
    other = labelled_array(case.again(shifted, moved), "relevance").values
    size = norms(case.maps)
    change = norms(other - case.maps) / np.where(size > 0, size, np.nan)
    interval = known_interval(change, case.cluster, level, seed)
    passed = bool(interval.high < tolerance)
    statement = (
        f"Shifting the signal, with the model shifted alike ({how}), changes the maps of {case.name} by a share of "
        f"{words(interval)} of their norm; asked for is less than {tolerance:g}. "
        + (
            "The maps do not hang on where the zero of the signal lies."
            if passed
            else "The maps are relative to the zero of the signal: choose it on purpose and state it."
        )
        + left_out(change)
    )
    row = {
        "change": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "spearman": float(np.nanmean(likeness(case.maps, other, "spearman"))),
        "compensated": how,
    }
    return Check("input invariance", passed, statement, pd.DataFrame([row]))


def _rivals(original: xr.Dataset, others: int | None) -> list[Tensor]:
    """Of every rank by output, the class that is not explained (trial,)."""
    output = original["output"].values
    if output.ndim != 2 or output.shape[1] < 2 or "target" not in original:
        raise ValueError(
            f"The model's output has shape {output.shape}; class contrast needs (trial, class) with two classes or "
            "more, one of which is explained."
        )
    classes = output.shape[1]
    if others is not None and not 1 <= others < classes:
        raise ValueError(f"others is {others}; the model has {classes - 1} other classes, ask for 1 to {classes - 1}.")
    explained = original["target"].values
    order = np.argsort(-output, axis=1, kind="stable")
    rest = order[order != explained[:, None]].reshape(len(output), classes - 1)
    return [torch.as_tensor(rank) for rank in rest.T[:others]]


def _moved(signal: xr.DataArray, shift: ArrayLike | None) -> xr.DataArray:
    """The signal with the shift added, in its own type."""
    if shift is None:
        return plus(signal, deviation(signal))
    values = np.asarray(shift, dtype=np.float64)
    try:
        whole = np.broadcast_to(values, signal.shape[1:])
    except ValueError:
        raise ValueError(
            f"The shift has shape {values.shape}; expected one that broadcasts to a trial, {signal.shape[1:]}."
        ) from None
    if not np.isfinite(whole).all() or not whole.any():
        raise ValueError("The shift is zero or not finite; give what is to be added to the signal.")
    return plus(signal, whole)


def _shifted_model(model: nn.Module, inputs: Tensor, moved: Tensor) -> tuple[nn.Module, str]:
    """A model that makes of the moved inputs what the given one makes of the inputs, and how it does."""
    inputs, moved = inputs[:_PROBED], moved[:_PROBED]
    copy = copy_of(model)
    first = copy.get_submodule(layers_from_output(model, inputs[:1])[-1])
    with torch.no_grad(), unchanged_random_state(model):
        expected = main_output(copy(inputs))
        if isinstance(first, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            seen: list[Tensor] = []
            handle = first.register_forward_hook(lambda _, __, output: seen.append(output))
            copy(inputs), copy(moved)
            handle.remove()
            axis = -1 if isinstance(first, nn.Linear) else 1
            change = (seen[-1] - seen[0]).movedim(axis, -1).flatten(0, -2).mean(0)
            first.bias = nn.Parameter(-change if first.bias is None else first.bias - change)
            # padding, or a layer that does not see the signal itself, leaves a rest
            if torch.allclose(main_output(copy(moved)), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())):
                return copy, "bias"
    return _Shifted(copy_of(model), (moved - inputs)[:1]).eval(), "subtraction"


class _Shifted(nn.Module):
    """The model of a signal from which the shift is taken first."""

    shift: Tensor

    def __init__(self, model: nn.Module, shift: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Any:
        return self.model(x - self.shift)
