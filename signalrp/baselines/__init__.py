"""Every method by name: LRP, the baselines it is to be compared with, and yardsticks that know nothing of the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn

from signalrp.attribute import Attribution, check_inputs, eager
from signalrp.baselines import gradients, patterns, rectifiers
from signalrp.baselines.asked import Asked, Found, Setting, reference_trials, segment_labels, unchanged
from signalrp.baselines.patterns import Patterns, fit_patterns
from signalrp.baselines.table import methods
from signalrp.explain import explain
from signalrp.explanation import checked, empty_like_weights, in_batches, labelled
from signalrp.inspection.maps import InFrontOf
from signalrp.propagation.composites import COMPOSITES, Composite
from signalrp.propagation.composites import composite as composite_of
from signalrp.propagation.rules import Rule
from signalrp.targets import Target, explained

__all__ = ["Method", "Patterns", "explain_with", "fit_patterns", "methods"]

Relevance = xr.Dataset | xr.DataArray | np.ndarray | Tensor
Method = str | Composite | Rule | Callable[[nn.Module, xr.DataArray, Target], Relevance]
"""A name that :func:`methods` lists, a composite, a rule, or a function (model, signal, target) -> relevance."""

_OF_EXPLAIN = ("audit", "unknown", "window", "overlap")


def _amplitude(asked: Asked) -> Found:
    return Found(asked.x.abs())


def _random(asked: Asked) -> Found:
    drawn = np.stack([generator.standard_normal(asked.x.shape[1:]) for generator in asked.generators()])
    return Found(torch.as_tensor(drawn).to(asked.x))


_BASELINES: dict[str, Callable[..., Found]] = {
    "gradient": gradients.gradient,
    "input-x-gradient": gradients.input_x_gradient,
    "integrated-gradients": gradients.integrated_gradients,
    "smoothgrad": gradients.smoothgrad,
    "deconvnet": rectifiers.deconvnet,
    "guided-backprop": rectifiers.guided_backprop,
    "occlusion": gradients.occlusion,
    "gradient-shap": gradients.gradient_shap,
    "deeplift": gradients.deeplift,
    "pattern-net": patterns.pattern_net,
    "pattern-attribution": patterns.pattern_attribution,
    "amplitude": _amplitude,
    "random": _random,
}


def explain_with(
    method: Method,
    model: nn.Module,
    signal: xr.DataArray | np.ndarray | Tensor,
    target: Target = None,
    *,
    channels: Sequence[str] | None = None,
    time: Sequence[float] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    per_unit: bool = False,
    progress: bool = False,
    seed: int = 0,
    reference: xr.DataArray | ArrayLike | Tensor | None = None,
    segments: xr.DataArray | ArrayLike | None = None,
    **options: Any,
) -> xr.Dataset:
    """Explain what a model made of every trial, by any method.

    Parameters
    ----------
    method : str, Composite, Rule or callable
        A name that :func:`methods` lists; a composite or a rule of LRP; or a function of (model, signal, target)
        that returns relevance in the signal's dimensions, or a dataset with the variable ``relevance``.
    model, signal, target, channels, time, classes, device, progress
        As for :func:`signalrp.explain`.
    batch_size : int
        Signals that the model gets at once; memory grows with it.
    per_unit : bool
        Store relevance per unit of the signal as well: for LRP, and for input-x-gradient, integrated-gradients and
        deeplift without a reference.
    seed : int
        For smoothgrad, gradient-shap and random. Every trial has random numbers of its own, so that neither
        `batch_size` nor the trials behind it change them.
    reference : xarray.DataArray, numpy.ndarray or torch.Tensor, optional
        Trials of data, usually those of the training, or one signal. Its mean is where integrated-gradients and
        deeplift start from and what occlusion puts in; without it that is zero. gradient-shap draws from it,
        pattern-net and pattern-attribution are fitted to it.
    segments : xarray.DataArray or array of int, optional
        For occlusion: the number of the segment that each sample belongs to, negative for none, in some of the
        signal's dimensions, as `signalrp.validation.channels` and the like make
        them. By default ten windows in each channel; with more than two dimensions behind trial, six slices of each
        but the first.
    **options
        ``steps`` of integrated-gradients; ``samples`` of smoothgrad and gradient-shap; ``noise`` of smoothgrad, as a
        share of the signal's range; ``patterns`` from :func:`fit_patterns`, or its ``estimator``, for pattern-net
        and pattern-attribution; for LRP those of :func:`signalrp.composite`, and ``audit``, ``unknown``, ``window``
        and ``overlap`` of :func:`signalrp.explain`.

    Returns
    -------
    xarray.Dataset
        As :func:`signalrp.explain` returns it. The attribute ``method`` holds the name.

    Raises
    ------
    ValueError
        When there is no such method or option, the method cannot be right for this model, or signal, target,
        reference and segments do not fit.
    ImportError
        When the method needs Captum, which is not installed.
    """
    if isinstance(method, (Composite, Rule)) or (isinstance(method, str) and method in COMPOSITES):
        passed = {name: options.pop(name) for name in _OF_EXPLAIN if name in options}
        if options and not isinstance(method, str):
            raise ValueError(f"a composite has its options already, found {', '.join(options)}.")
        return explain(
            model, signal, target, composite_of(method, **options), channels=channels, time=time, classes=classes,
            batch_size=batch_size, device=device, per_unit=per_unit, progress=progress, **passed,
        )  # fmt: skip
    signal = checked(labelled(signal, channels, time), batch_size)
    data = reference_trials(reference, signal)
    if callable(method):
        name = str(getattr(method, "__name__", type(method).__name__))
        function: Callable[..., Found] = partial(_part, of=_own(method(model, signal, target), signal, name))
    elif method in _BASELINES:
        name, function = method, _BASELINES[method]
    else:
        raise ValueError(f"there is no method {method!r}; choose one of {', '.join((*COMPOSITES, *_BASELINES))}.")
    if name in ("pattern-net", "pattern-attribution") and any(isinstance(part, InFrontOf) for part in model.modules()):
        raise ValueError(
            f"{name} gives the signal's own samples something, which a change of basis does not lead further; explain "
            "the model itself, or choose another method for this basis."
        )
    if name in ("pattern-net", "pattern-attribution") and "patterns" not in options:
        if data is None:
            raise ValueError(f"{name} is fitted to data; give reference=..., such as the training signals.")
        fitted = {"estimator": options.pop("estimator")} if "estimator" in options else {}
        options["patterns"] = fit_patterns(model, data, batch_size=batch_size, **fitted)
    known = [key for key, value in inspect.signature(function).parameters.items() if value.kind is value.KEYWORD_ONLY]
    for option in options:
        if callable(method) or option not in known:
            raise ValueError(f"{name} takes no option {option!r}; it has {', '.join(known) or 'none'}.")
    setting = Setting(tuple(map(str, signal.dims)), batch_size, seed, segment_labels(segments, signal), data)

    like, model = empty_like_weights(model, device), eager(model)

    def ask(x: Tensor, wanted: Target, trials: Sequence[int]) -> Attribution:
        check_inputs(x)
        with unchanged(model, x):
            with torch.no_grad():
                _, scalar, _, chosen, shown = explained(model(x.clone()), wanted, x.shape[:1])
            found = function(Asked(model, x, wanted, chosen, trials, setting), **options)
        if per_unit and found.per_unit is None:
            raise ValueError(
                f"{name} is not the signal times something here, so that there is no per_unit; ask for an LRP "
                "composite, input-x-gradient, or without a reference integrated-gradients or deeplift."
            )
        bad = ~torch.isfinite(found.relevance).flatten(1).all(1)
        if bool(bad.any()):
            trial = trials[int(bad.int().argmax())]
            raise ValueError(f"{name} is NaN or infinite in trial {trial}: the model has no derivative there.")
        return Attribution(found.relevance, shown, chosen, scalar, found.per_unit)

    return in_batches(
        ask, model, signal, like, target,
        names={"method": name}, classes=classes, batch_size=batch_size, per_unit=per_unit, progress=progress,
    )  # fmt: skip


def _own(returned: Relevance, signal: xr.DataArray, name: str) -> dict[str, np.ndarray]:
    """Return what a user's own method found, in the signal's dimensions."""
    if isinstance(returned, xr.Dataset) and "relevance" not in returned:
        raise ValueError(f"{name} returned a dataset without the variable 'relevance'.")
    parts: dict[str, Any] = {"relevance": returned}
    if isinstance(returned, xr.Dataset):
        parts = {key: returned[key] for key in ("relevance", "per_unit") if key in returned}
    found = {}
    for key, value in parts.items():
        if isinstance(value, xr.DataArray) and set(value.dims) == set(signal.dims):
            value = value.transpose(*signal.dims)
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if array.shape != signal.shape or array.dtype.kind not in "fiub":
            raise ValueError(
                f"{name} returned {key} of shape {array.shape} and type {array.dtype}; expected real numbers in the "
                f"shape of the signal, {signal.shape}."
            )
        found[key] = array
    return found


def _part(asked: Asked, of: dict[str, np.ndarray]) -> Found:
    parts = {key: torch.as_tensor(values[asked.trials]).to(asked.x) for key, values in of.items()}
    return Found(**parts)
