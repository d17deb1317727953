"""What a linear model looks for, told from data, beside its relevance.

The filter of a linear model must cancel noise and so may weigh an electrode that holds nothing of the signal; the
pattern tells where the signal is (Haufe et al. 2014). Relevance stands between the two: that of one trial is filter
times signal, and on the average over trials (of a power: filter times pattern) noise that is cancelled gets none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor, nn

from ._fitted import Floats
from .classical import band_pass
from .equivalents import CspLda


def haufe_patterns(filters: npt.ArrayLike, observations: npt.ArrayLike) -> Floats:
    """Return the patterns of linear filters, ``cov(x) W' cov(W x)^-1``.

    Parameters
    ----------
    filters : array, shape (filter, feature)
        The filters W.
    observations : array, shape (observation, feature)
        What they were fitted on: instants of all trials for spatial filters, flattened trials for classifiers.

    Returns
    -------
    numpy.ndarray, shape (filter, feature)
        How the features change with the output of each filter, the other outputs held, in the unit of the features
        per unit of the output. Where outputs are linearly dependent they share what they have in common.

    Raises
    ------
    ValueError
        When shapes do not fit, there are fewer than two observations, or values are not finite.

    References
    ----------
    Haufe et al. 2014, doi:10.1016/j.neuroimage.2013.10.067
    """
    w, x = np.atleast_2d(np.asarray(filters, dtype=np.float64)), np.asarray(observations, dtype=np.float64)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1] or len(x) < 2:
        raise ValueError(
            f"filters of shape {w.shape} need two or more observations of shape (observation, {w.shape[-1]}), found "
            f"{x.shape}."
        )
    if not (np.isfinite(w).all() and np.isfinite(x).all()):
        raise ValueError("filters or observations hold NaN or infinite values; leave out those trials.")
    x = x - x.mean(0)
    outputs = x @ w.T
    # Never cov(x) itself: of flattened trials it would have more than ten thousand rows.
    covariances, of_outputs = outputs.T @ x, outputs.T @ outputs
    # Outputs may be of very different size; the pseudo-inverse drops what is small beside the largest.
    size = np.sqrt(np.diagonal(of_outputs))
    size = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(of_outputs / np.outer(size, size), rcond=1e-10, hermitian=True)
    return (inverse / np.outer(size, size)) @ covariances


def patterns_of(model: nn.Module, signal: xr.DataArray) -> xr.DataArray:
    """Return the patterns of a classical model on a signal, labelled.

    Parameters
    ----------
    model : CspLda or module of `signalrp.domains.eeg.equivalents.from_linear`
        The model.
    signal : xarray.DataArray, shape (trial, channel, time)
        The training trials.

    Returns
    -------
    xarray.DataArray
        Of CSP (component, channel), in the unit of the signal: the scalp map of each component at its typical power,
        of arbitrary sign. Of a linear classifier (class, channel, time): how the signal changes with the output of
        each class by itself, per unit of it.

    Raises
    ------
    TypeError
        When the model is neither.
    ValueError
        When the signal does not fit.
    """
    x = _tensor(signal)
    along_channel = {name: c for name, c in signal.coords.items() if c.dims == ("channel",)}
    if isinstance(model, CspLda):
        filtered = x.numpy() if model.band is None else band_pass(x.numpy(), **model.band)
        instants = np.moveaxis(filtered, 1, 2).reshape(-1, x.shape[1])
        found = haufe_patterns(model.filters.weight.detach().numpy(), instants)
        return xr.DataArray(found, dims=("component", "channel"), coords=along_channel, attrs=_units(signal))
    weights = _weights(model, x)
    flat = x.flatten(1).numpy()
    # The outputs of two classes are each other's negative: each by itself.
    found = np.stack([haufe_patterns(row, flat)[0] for row in weights.flatten(1).numpy()])
    return xr.DataArray(
        found.reshape(weights.shape),
        dims=("class", "channel", "time"),
        coords=along_channel | {"time": signal["time"]},
        attrs=_units(signal),
    )


def relative_to_average(model: nn.Module, explanation: xr.Dataset, training: xr.DataArray) -> xr.Dataset:
    """Return an explanation of a classical model as what a trial has more, or less, than the average trial.

    Relevance of a power is what it does against no power; that of an amplitude against zero. Either holds a part that
    every trial has, and that the model takes off again as a constant. Here the constant is placed on the electrodes
    and instants where the average trial has its power or amplitude. The sum for a trial is then the output less that
    for the average trial, and the lack of a rhythm that speaks for a class gets positive relevance, where it lacks.

    Parameters
    ----------
    model : CspLda or module of `signalrp.domains.eeg.equivalents.from_linear`
        The model that was explained.
    explanation : xarray.Dataset
        Of :func:`signalrp.explain` with an epsilon rule (``composite="epsilon"``) and classes for targets.
    training : xarray.DataArray, shape (trial, channel, time)
        The training trials, scaled as those explained.

    Returns
    -------
    xarray.Dataset
        The explanation with another ``relevance``, and ``absorbed`` where there was one; without ``per_unit``.

    Raises
    ------
    TypeError
        When the model is of another kind.
    ValueError
        When the explanation has no targets, or channels or times differ.
    """
    if "target" not in explanation:
        raise ValueError("the explanation has no target; explain classes, not a function of the output.")
    signal = explanation["signal"]
    for dim in ("channel", "time"):
        if not np.array_equal(signal[dim], training[dim]):
            raise ValueError(f"explanation and training trials differ in {dim}; select the same in both.")
    target = torch.as_tensor(explanation["target"].values)
    shared = _shared(model, _tensor(signal), target, _tensor(training)).numpy().astype(signal.dtype)
    difference = xr.DataArray(shared, dims=("trial", "channel", "time")).transpose(*signal.dims)
    result = explanation.drop_vars("per_unit", errors="ignore")
    relevance = result["relevance"] - difference.variable
    result = result.assign(relevance=relevance.assign_attrs(result["relevance"].attrs))
    if "absorbed" in result:
        absorbed = result["absorbed"] + difference.sum(("channel", "time")).variable
        result = result.assign(absorbed=absorbed.assign_attrs(result["absorbed"].attrs))
    return result.assign_attrs(reference="average trial")


def _shared(model: nn.Module, x: Tensor, target: Tensor, training: Tensor) -> Tensor:
    """Return the relevance that every trial has, (trial, channel, time)."""
    if not isinstance(model, CspLda):
        return _weights(model, x)[target] * training.mean(0)
    reference = training.clone().requires_grad_()
    power = model.power(reference)
    maps = []
    for k in range(power.shape[1]):
        (gradient,) = torch.autograd.grad(power[:, k].sum(), reference, retain_graph=True)
        # A power is of the second degree: half its derivative times the signal sums to it.
        share = (reference.detach() * gradient).mean(0)
        maps.append(share / share.sum())
    with torch.no_grad():
        relative = model.power(x)
        excess = relative - 1
        slope = torch.where(excess.abs() < 1e-9, 1.0, torch.log1p(excess) / excess) if model.log else 1.0
        return torch.einsum("nk,kct->nct", model.classifier.weight[target] * slope, torch.stack(maps))


def _weights(model: nn.Module, x: Tensor) -> Tensor:
    """Return the weights of a linear model for every channel and instant, (class, channel, time)."""
    linear = isinstance(model, nn.Sequential) and all(
        isinstance(p, nn.AvgPool1d | nn.Flatten | nn.Linear) for p in model
    )
    if not linear:
        raise TypeError(f"the {type(model).__name__} is neither of from_csp_lda nor of from_linear.")
    zero = torch.zeros_like(x[:1], requires_grad=True)
    outputs = model(zero)[0]
    return torch.stack([torch.autograd.grad(output, zero, retain_graph=True)[0][0] for output in outputs])


def _tensor(signal: xr.DataArray) -> Tensor:
    if set(signal.dims) != {"trial", "channel", "time"}:
        raise ValueError(f"the signal has dimensions {signal.dims}, expected trial, channel and time.")
    return torch.as_tensor(signal.transpose("trial", "channel", "time").values, dtype=torch.float64)


def _units(signal: xr.DataArray) -> dict[str, Any]:
    return {"units": signal.attrs["units"]} if "units" in signal.attrs else {}
