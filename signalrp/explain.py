"""Explanations of labelled signals: an xarray.DataArray in, an xarray.Dataset out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp.attribute import Target, attribute
from signalrp.propagation.composites import Composite
from signalrp.propagation.composites import composite as composite_of
from signalrp.propagation.rules import Rule

DIMENSIONS = ("trial", "channel", "time")
_VARIABLES = {"signal", "relevance", "output", "target", "explained", "absorbed", "class"}


def explain(
    model: nn.Module,
    signal: xr.DataArray | np.ndarray | Tensor,
    target: Target = None,
    composite: str | Composite | Rule = "epsilon-plus",
    *,
    channels: Sequence[str] | None = None,
    time: Sequence[float] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    audit: bool = False,
    unknown: Literal["raise", "gradient"] = "raise",
    progress: bool = False,
) -> xr.Dataset:
    """Explain what a model made of every trial of a signal.

    Parameters
    ----------
    model : torch.nn.Module
        Takes a tensor in the signal's dimensions, in the type of its parameters, and returns (trial, class).
    signal : xarray.DataArray, numpy.ndarray or torch.Tensor
        ``(trial, channel, time)``, or any dimensions of which ``trial`` is the first. Coordinates and ``units`` are
        carried over. The coordinate ``label`` along trial, if there is one, holds the true classes as integers.
    target : int, sequence of int, callable, optional
        The class to explain, see :func:`signalrp.attribute`; None explains the predicted class of each trial.
    composite : str, Composite or Rule
        Which rule goes where.
    channels : sequence of str, optional
        Names of the channels, for a plain array.
    time : sequence of float, optional
        The time axis, for a plain array.
    classes : sequence of str, optional
        Names of the model's classes.
    batch_size : int
        Trials explained at once; memory grows with it and with nothing else but the result.
    device : str or torch.device, optional
        Where to compute; by default where the model is. The model itself is not moved.
    audit : bool
        Return what was absorbed as well (slower).
    unknown : {"raise", "gradient"}
        See :func:`signalrp.attribute`.
    progress : bool
        Show a progress bar (needs tqdm).

    Returns
    -------
    xarray.Dataset
        ``signal`` and ``relevance`` in the dimensions of the signal; ``output`` (trial, class) as the model returned
        it; ``target`` (trial), absent for a callable; ``explained`` (trial), the scalar that was explained;
        ``label`` (trial), where known; ``absorbed`` (trial), with an audit. The attributes tell model, composite and
        versions. :meth:`xarray.Dataset.to_netcdf` saves it, :func:`load` reads it again.

    Raises
    ------
    ValueError
        When dimensions, names, labels or targets do not fit, the signal holds NaN or no real numbers, or the model
        is on another device.
    """
    signal = labelled(signal, channels, time)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}.")
    if signal.dtype.kind not in "fiub":
        raise ValueError(f"the signal must hold real numbers, found {signal.dtype}.")
    taken = sorted(_VARIABLES & set(map(str, signal.coords)))
    if taken:
        raise ValueError(f"the coordinate {taken[0]!r} has the name of a part of the explanation; rename it.")
    trials = signal.sizes["trial"]
    if trials == 0:
        raise ValueError("the signal holds no trial; there is nothing to explain.")
    chosen = composite_of(composite)
    dtype, home = type_and_place(model)
    if device is not None and home is not None and torch.device(device).type != home.type:
        raise ValueError(f"the model is on {home} and {device} was asked for; move it with model.to({str(device)!r}).")
    place = home or torch.device(device or "cpu")
    parts: dict[str, list[np.ndarray]] = {}
    label = None
    for start in _steps(range(0, trials, batch_size), progress):
        batch = slice(start, start + batch_size)
        x = torch.as_tensor(np.ascontiguousarray(signal.values[batch])).to(place, dtype)
        result = attribute(model, x, _of_batch(target, batch, trials), chosen, audit=audit, unknown=unknown)
        if not start:
            label = _true_classes(signal, result.output.shape, classes)
        values = {"relevance": result.relevance, "output": result.output, "target": result.target}
        values |= {"explained": result.explained, "absorbed": result.absorbed}
        for name, value in values.items():
            if value is not None:
                parts.setdefault(name, []).append(_array(value))
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return _dataset(signal, joined, label, classes, model, chosen)


def labelled(
    signal: xr.DataArray | np.ndarray | Tensor,
    channels: Sequence[str] | None = None,
    time: Sequence[float] | np.ndarray | None = None,
) -> xr.DataArray:
    """Return a signal with names: a labelled array as it is, a plain one ``(trial, channel, time)`` with those given.

    Raises
    ------
    ValueError
        When the number of names does not fit, or a labelled array does not begin with the dimension ``trial``.
    """
    if isinstance(signal, xr.DataArray):
        if channels is not None or time is not None:
            raise ValueError("channels and time are for plain arrays; this signal is labelled: use assign_coords.")
        if not signal.dims or signal.dims[0] != "trial":
            raise ValueError(
                f"the signal has dimensions {signal.dims}; the first must be 'trial': "
                "rename or transpose it, or add it with expand_dims('trial')."
            )
        return signal
    array = signal.detach().cpu().numpy() if isinstance(signal, Tensor) else np.asarray(signal)
    if array.ndim != 3:
        raise ValueError(f"a plain array must be (trial, channel, time), found shape {array.shape}.")
    coords: dict[str, Any] = {"trial": np.arange(array.shape[0])}
    for axis, name, values in ((1, "channel", channels), (2, "time", time)):
        values = np.arange(array.shape[axis]) if values is None else np.asarray(values)
        if len(values) != array.shape[axis]:
            raise ValueError(f"found {len(values)} values for {array.shape[axis]} {name}s; give one for each.")
        coords[name] = values
    return xr.DataArray(array, dims=DIMENSIONS, coords=coords)


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read an explanation that :meth:`xarray.Dataset.to_netcdf` saved, into memory.

    Raises
    ------
    ValueError
        When the file is no explanation.
    """
    with xr.open_dataset(path) as dataset:
        missing = {"signal", "relevance", "output"} - set(dataset.data_vars)
        if missing:
            raise ValueError(f"{path} holds no explanation: {', '.join(sorted(missing))} missing.")
        # A name with a space cannot be marked as a coordinate in a file.
        dataset = dataset.load().set_coords([name for name in dataset.data_vars if " " in str(name)])
        with open(path, "rb") as file:
            classic = file.read(3) == b"CDF"
        restored = {}
        for name, variable in dataset.variables.items():
            # NetCDF 3 knows no 64-bit integers, and its texts come back as objects.
            if classic and variable.dtype == np.int32:
                restored[name] = variable.astype(np.int64)
            elif variable.dtype == object and all(isinstance(text, str) for text in variable.values.flat):
                restored[name] = variable.astype(str)
        return dataset.assign(restored)


def type_and_place(model: object) -> tuple[torch.dtype, torch.device | None]:
    """Return the floating-point type of a model's weights and where they are, None where it has none."""
    for tensor in (*model.parameters(), *model.buffers()) if isinstance(model, nn.Module) else ():
        if tensor.is_floating_point():
            return tensor.dtype, tensor.device
    return torch.get_default_dtype(), None


def _of_batch(target: Target, batch: slice, trials: int) -> Target:
    if target is None or callable(target):
        return target
    targets = np.asarray(target.cpu() if isinstance(target, Tensor) else target)
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets must be integers, the numbers of the classes, found {targets.dtype}.")
    if targets.shape not in ((), (trials,)):
        raise ValueError(f"found targets of shape {targets.shape} for {trials} trials; give one, or one per trial.")
    return torch.as_tensor(targets[batch]) if targets.ndim else int(targets)


def _array(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()


def _dataset(
    signal: xr.DataArray,
    parts: dict[str, np.ndarray],
    label: np.ndarray | None,
    classes: Sequence[str] | None,
    model: nn.Module,
    composite: Composite,
) -> xr.Dataset:
    output = parts["output"]
    variables: dict[str, Any] = {
        "signal": signal.variable,
        "relevance": (signal.dims, parts["relevance"], {"units": "relevance"}),
        "output": (("trial", "class") if output.ndim == 2 else ("trial",), output),
    }
    if output.ndim > 2:
        variables["output"] = (("trial", *(f"output_{i}" for i in range(1, output.ndim))), output)
    for name in ("target", "explained", "absorbed"):
        if name in parts:
            variables[name] = ("trial", parts[name])
    coords = dict(signal.drop_vars("label", errors="ignore").coords)
    if label is not None:
        variables["label"] = ("trial", label, signal.coords["label"].attrs)
    if output.ndim == 2:
        coords["class"] = np.arange(output.shape[1]) if classes is None else np.asarray(list(map(str, classes)))
    attributes = {
        "model": type(model).__name__,
        "composite": composite.name,
        "signal_name": str(signal.name or "signal"),
        "signalrp_version": version("signalrp"),
        "torch_version": str(torch.__version__),
    }
    return xr.Dataset(variables, coords, attributes)


def _true_classes(signal: xr.DataArray, output: Sequence[int], classes: Sequence[str] | None) -> np.ndarray | None:
    """Return the true class of each trial, once it and the names of the classes fit an output of this shape."""
    if classes is not None:
        if len(output) != 2 or len(classes) != output[1]:
            raise ValueError(f"found {len(classes)} class names for an output of shape {tuple(output[1:])} per trial.")
        if len(set(map(str, classes))) < len(classes):
            raise ValueError(f"the names of the classes must differ, found {', '.join(map(str, classes))}.")
    if "label" not in signal.coords:
        return None
    if signal.coords["label"].dims != ("trial",):
        raise ValueError(f"the coordinate 'label' must have one value per trial, found {signal.coords['label'].dims}.")
    labels = signal.coords["label"].values
    if classes is not None and labels.dtype.kind in "UO":
        index = {str(name): i for i, name in enumerate(classes)}
        unknown = sorted({str(v) for v in labels} - index.keys())
        if unknown:
            raise ValueError(f"the labels hold {unknown[0]!r}, which is not among the classes {', '.join(index)}.")
        return np.array([index[str(v)] for v in labels])
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"the coordinate 'label' must hold integers, or names together with classes=..., found {labels.dtype}."
        )
    if len(output) == 2 and (labels.min() < 0 or labels.max() >= output[1]):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but the model has classes 0 to {output[1] - 1}."
        )
    return labels


def _steps(steps: Sequence[int], progress: bool) -> Iterable[int] | Iterator[int]:
    if not progress:
        return steps
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('the progress bar needs tqdm: pip install "signalrp[cli]", or progress=False.') from None
    return tqdm(steps, desc="explain", unit="batch")
