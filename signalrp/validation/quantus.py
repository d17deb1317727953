"""A bridge to Quantus: any explanation and model, handed to any of its metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from signalrp.baselines import Method, explain_with
from signalrp.explanation import type_and_place
from signalrp.validation.checks import labelled_array
from signalrp.validation.localisation import mask_like


def to_quantus(
    model: nn.Module,
    explanation: xr.Dataset,
    mask: xr.DataArray | None = None,
    *,
    method: Method | None = None,
    channel: str | None = None,
    device: str | torch.device | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Arguments for the call of any Quantus metric (Hedström et al. 2023, jmlr.org/papers/v24/22-0142.html).

    ``quantus.PixelFlipping()(**to_quantus(model, explanation))``. Quantus takes images, (trial, colour, row, column),
    and masks that hold for all colours. The map of a signal goes in as a picture of one colour, (trial, 1, channel,
    time), so that a mask or a patch may tell channels apart, and every entry of the map counts as a pixel.

    Parameters
    ----------
    model
        What was explained: takes (trial, …) in the dimensions of the signal, returns (trial, class); in evaluation
        mode. It gets its inputs in its own type and shape, rounded to 32 bits by Quantus on the way.
    explanation
        Dataset with ``signal`` and ``relevance`` (trial, …) and ``target`` (trial), the class explained, which is
        the one that Quantus looks at.
    mask
        True where the cause is: boolean, in dimensions of the relevance, see `mass_accuracy`. Metrics of
        localisation need it.
    method
        How metrics of robustness and randomisation explain again, see `signalrp.explain_with`, to which `options` go.
        By default the one that the explanation's attributes name, if it gives the same relevance again.
    channel
        A dimension that Quantus shall take as its colours, such as ``"rgb"``: a pixel is removed in all of them, so
        their relevance is summed. The mask must not depend on it.
    device
        Where to compute; by default where the model is.

    Returns
    -------
    dict
        ``model``, ``x_batch``, ``y_batch``, ``a_batch``, ``s_batch`` (None without a mask), ``channel_first``,
        ``softmax`` (False: the output as it was explained, where Quantus would often take probabilities),
        ``device``, ``explain_func`` and ``explain_func_kwargs``.

    Raises
    ------
    ValueError
        If an input is incomplete or does not fit, the model is in training mode, or the explanation is one seen in
        another basis, whose signal the model cannot take.

    Notes
    -----
    What to know of Quantus 0.6. Areas under its curves (IROF, ``return_auc_per_sample``) use a function that NumPy
    2.4 no longer has. Its patches (RegionPerturbation, Selectivity, IROF, Infidelity) and stabilities take maps of two
    dimensions (beside trial and `channel`) at most; InputInvariance asks for a model whose first part is a
    convolution of images. Fills such as ``"mean"`` are taken from the trial as perturbed so far, so they drift; a
    number does not. RelevanceMassAccuracy divides by the sum of positive and negative relevance unless ``abs=True``
    (`mass_accuracy` counts the positive or the absolute); PointingGame counts a trial with an empty mask as a hit.
    MPRT draws all layers from one seed, so that layers of one shape get the same weights, and its SSIM sees maps laid
    out as one line.
    """
    _check(model, explanation)
    signal, relevance = labelled_array(explanation, "signal"), labelled_array(explanation, "relevance")
    view = _View(signal.drop_vars("label", errors="ignore"), channel)
    marked = None
    if mask is not None:
        if channel in mask.dims:
            raise ValueError(
                f"The mask depends on {channel}, whose entries Quantus tells not apart; leave channel out."
            )
        marked = view.picture(mask_like(relevance, mask))[:, :1]
    home = type_and_place(model)[1] or torch.device("cpu")
    return {
        "model": _Pictures(model, view),
        "x_batch": view.picture(signal.values),
        "y_batch": explanation["target"].values,
        "a_batch": view.relevance(relevance.values),
        "s_batch": marked,
        "channel_first": True,
        "softmax": False,
        "device": str(device or home),
        "explain_func": _explainer(model, explanation, view, method, options),
        "explain_func_kwargs": {},
    }


def quantus_scores(
    metric: Any,
    model: nn.Module,
    explanation: xr.Dataset,
    mask: xr.DataArray | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    softmax: bool | None = None,
    batch_size: int = 64,
    **options: Any,
) -> xr.DataArray:
    """Score an explanation by a metric of Quantus, in one call.

    Parameters
    ----------
    metric
        A metric made with Quantus, ``quantus.PixelFlipping(features_in_step=4)``, or the name of its class.
    model, explanation, mask
        See `to_quantus`.
    settings
        What to make a metric with that is given by name: ``{"features_in_step": 4, "perturb_baseline": 0.0}``.
    softmax
        Let Quantus turn outputs into probabilities; by default only where the metric refuses anything else
        (EfficientMPRT).
    batch_size
        Trials that Quantus takes at once.
    **options
        ``method``, ``channel``, ``device`` and what else `to_quantus` takes.

    Returns
    -------
    xarray.DataArray
        What the metric returned: (trial), (trial, step), (step, trial) where it returns trials under names such as
        layers, which are then the coordinate ``step``, (step), or a single number. Coordinates of the trials are kept.

    Raises
    ------
    ValueError
        If there is no such metric, a metric of localisation has no mask, or as in `to_quantus`.
    ImportError
        If quantus is not installed.
    """
    try:
        import quantus
    except ImportError as error:
        # OpenCV, which it imports, may be there and lack a library of the system
        raise ImportError(f'quantus_scores needs quantus: pip install "signalrp[quantus]" ({error}).') from None
    if isinstance(metric, str):
        known = {kind.__name__: kind for group in quantus.AVAILABLE_METRICS.values() for kind in group.values()}
        if metric not in known:
            raise ValueError(f"Quantus has no metric {metric!r}; choose from {', '.join(known)}.")
        metric = known[metric](**{"disable_warnings": True, **(settings or {})})
    elif settings:
        raise ValueError("settings are for a metric given by name; make this one with them.")
    name = type(metric).__name__
    if mask is None and type(metric) in quantus.AVAILABLE_METRICS["Localisation"].values():
        raise ValueError(f"{name} needs a mask of where the cause is.")
    arguments = to_quantus(model, explanation, mask, **options)
    arguments["softmax"] = name == "EfficientMPRT" if softmax is None else softmax
    scores = metric(**arguments, batch_size=batch_size)
    named = isinstance(scores, dict)
    values = np.asarray(list(scores.values()) if named else scores, dtype=np.float64)
    dims = ["step"] if named else []
    rest = values.shape[len(dims) :]
    if rest[:1] == (explanation.sizes["trial"],) and len(rest) <= 2 - named:
        dims += ["trial", "step"][: len(rest)]
    elif rest == (1,):
        values = values[..., 0]
    elif rest:
        raise ValueError(f"{name} returned scores of shape {values.shape}; call it yourself with to_quantus.")
    along = {key: c for key, c in explanation.coords.items() if c.dims == ("trial",) and "trial" in dims}
    result = xr.DataArray(values, dims=dims, coords=along, name=name)
    if not named:
        return result
    # the path of a layer begins in the model, not in what wraps it here
    return result.assign_coords(step=[key.removeprefix("model.") if isinstance(key, str) else key for key in scores])


class _View:
    """The signal as a picture, (trial, colour, row, column), and back."""

    def __init__(self, signal: xr.DataArray, channel: str | None) -> None:
        if channel is not None and channel not in signal.dims[1:]:
            raise ValueError(f"channel is {channel!r}; the signal has {', '.join(map(str, signal.dims[1:]))}.")
        self.dims = signal.dims
        self.coords = {name: c for name, c in signal.coords.items() if "trial" not in c.dims}
        self.colour = None if channel is None else signal.dims.index(channel)

    def picture(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[:, None].copy() if self.colour is None else np.moveaxis(values, self.colour, 1).copy()

    def relevance(self, values: NDArray[Any]) -> NDArray[Any]:
        """Relevance of every pixel, (trial, 1, row, column)."""
        return self.picture(values).sum(1, keepdims=True)

    def back(self, picture: Tensor) -> Tensor:
        return picture[:, 0] if self.colour is None else picture.movedim(1, self.colour)

    def labelled(self, picture: ArrayLike) -> xr.DataArray:
        return xr.DataArray(self.back(torch.as_tensor(np.asarray(picture))).numpy(), dims=self.dims, coords=self.coords)


class _Pictures(nn.Module):
    """The model, taking pictures. Quantus copies it and finds the layers inside to randomise them."""

    def __init__(self, model: nn.Module, view: _View) -> None:
        super().__init__()
        self.model = model
        self.view = view
        self.eval()

    def forward(self, picture: Tensor) -> Tensor:
        # Quantus hands over 32 bits, whatever the model has
        return self.model(self.view.back(picture).to(type_and_place(self.model)[0]))


def _explainer(
    model: nn.Module, explanation: xr.Dataset, view: _View, method: Method | None, options: Mapping[str, Any]
) -> Callable[..., NDArray[np.floating]]:
    def named() -> Method:
        """The method that the explanation names, once it gives the same relevance again."""
        name = explanation.attrs.get("method", explanation.attrs.get("composite"))
        if name is None:
            raise ValueError("The explanation does not name its method; give method=..., which explains again.")
        first = explanation.isel(trial=slice(1))
        signal, target = labelled_array(first, "signal"), torch.as_tensor(first["target"].values)
        again = explain_with(name, model, signal, target, **options)
        given = labelled_array(first, "relevance").values
        if not np.allclose(again["relevance"].values, given, rtol=0, atol=1e-3 * np.abs(given).max()):
            raise ValueError(
                f"Explaining again by {name!r} does not give the relevance of the explanation; give method=... and the "
                "options that it was made with."
            )
        return name

    def explain_func(model: _Pictures, inputs: ArrayLike, targets: NDArray[np.integer], **_: Any) -> NDArray[Any]:
        nonlocal method
        method = method or named()
        found = explain_with(method, model.model, view.labelled(inputs), torch.as_tensor(targets), **options)
        return view.relevance(found["relevance"].values)

    return explain_func


def _check(model: Any, explanation: xr.Dataset) -> None:
    if isinstance(model, nn.Module) and any(module.training for module in model.modules()):
        raise ValueError("The model is in training mode; call model.eval() first.")
    if "waveform" in explanation:
        raise ValueError(
            "The explanation is seen in another basis, whose signal the model cannot take; give the one of the "
            "signal itself, or a model with the basis in front (basis.bind(signal).in_front_of(model))."
        )
    target = explanation.get("target")
    if target is None or target.dims != ("trial",):
        raise ValueError(
            "The explanation has no variable 'target' (trial), the class that Quantus looks at; explain a class "
            "(target=None for the predicted one)."
        )
