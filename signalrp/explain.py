"""Explanations of labelled signals: an xarray.DataArray in, an xarray.Dataset out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp._reach import ADVICE, measure, noise_length
from signalrp.attribute import Target, attribute, eager
from signalrp.propagation.composites import Composite
from signalrp.propagation.composites import composite as composite_of
from signalrp.propagation.rules import Rule
from signalrp.windows import WHOLE, Batch, Parts, Plan, exact, sliding

DIMENSIONS = ("trial", "channel", "time")
_VARIABLES = {
    "signal", "relevance", "output", "target", "explained", "absorbed", "per_unit", "class", "window", "window_start",
    "window_stop",
}  # fmt: skip


def explain(
    model: nn.Module,
    signal: xr.DataArray | np.ndarray | Tensor,
    target: Target = None,
    composite: str | Composite | Rule = "epsilon-plus",
    *,
    channels: Sequence[str] | None = None,
    time: Sequence[float] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    window: int | None = None,
    overlap: int | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    audit: bool = False,
    per_unit: bool = False,
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
    window : int, optional
        Explain a long signal in pieces of about so many samples of the dimension ``time`` (one minute at 256 Hz:
        ``60 * 256``), so that memory is bounded by `batch_size` pieces instead of trials, beside signal and result.
        The result is that of the whole signal. For models that are convolutional along time and return an output
        resolved in time, of which `target` must be a sum over instants, such as ``lambda out: out[:, 2].sum(-1)``:
        the pieces divide the instants among themselves, read as much more signal as these depend on (measured on
        noise), and what they give to the same sample adds up.
    overlap : int, optional
        With a window, ask another question, for any model: each window of exactly `window` samples is explained
        by itself, as a trial of its own, and shares so many samples with the next. Where windows overlap, their
        relevance is averaged; sums over time equal those over windows only for overlap 0 and no remainder.
    batch_size : int
        Trials, or pieces of them, explained at once; memory grows with it and with nothing else but the result.
    device : str or torch.device, optional
        Where to compute; by default where the model is. The model itself is not moved.
    audit : bool
        Return what was absorbed as well (slower).
    per_unit : bool
        Return relevance per unit of the signal as well, which :func:`signalrp.inspect` needs.
    unknown : {"raise", "gradient"}
        See :func:`signalrp.attribute`.
    progress : bool
        Show a progress bar (needs tqdm).

    Returns
    -------
    xarray.Dataset
        ``signal`` and ``relevance`` in the dimensions of the signal; ``output`` (trial, class) as the model returned
        it; ``target`` (trial), absent for a callable; ``explained`` (trial), the scalar that was explained;
        ``label`` (trial), where known; ``absorbed`` (trial), with an audit; ``per_unit``, where asked for, in the
        dimensions of the signal: the modified gradient c of `signalrp.Attribution`. With an overlap, output, target,
        explained and absorbed have the dimension ``window`` behind ``trial``, with the coordinates ``window_start``
        and ``window_stop``, the times of a window's first and last sample. The attributes tell model, composite and
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
    like = torch.empty(0, dtype=dtype, device=place)
    plan = _plan(signal, window, overlap, target, model, like, batch_size)
    parts = Parts(signal, plan, per_unit)
    label = None
    for batch in _steps(plan.batches(trials, batch_size), progress):
        x = torch.as_tensor(parts.inputs(batch)).to(like)
        wanted = plan.target(_of_batch(target, [trial for trial, _ in batch], trials), batch[0][1])
        result = attribute(model, x, wanted, chosen, audit=audit, unknown=unknown)
        if not parts.maps:
            label = _true_classes(signal, result.output.shape, classes)
        parts.add(batch, result)
    return _dataset(signal, parts.finish(), label, classes, model, chosen)


def _plan(
    signal: xr.DataArray,
    window: int | None,
    overlap: int | None,
    target: Target,
    model: nn.Module,
    like: Tensor,
    batch_size: int,
) -> Plan:
    """Say which pieces of the signal to explain; `like` has the type and the place of the model."""
    if window is None:
        if overlap is not None:
            raise ValueError("an overlap is for windows; give window=... as well.")
        return WHOLE
    if "time" not in signal.dims:
        raise ValueError(f"a window needs a dimension 'time', found {signal.dims}; rename the one that is meant.")
    for name, value in (("window", window), ("overlap", overlap)):
        if value is not None and not isinstance(value, Integral):
            raise ValueError(f"{name} is a number of samples, found {value!r}; one minute at 256 Hz is 60 * 256.")
    length = signal.sizes["time"]
    if overlap is not None:
        return sliding(length, int(window), int(overlap))
    if window < 1:
        raise ValueError(f"the window must be at least one sample long, found {window}.")
    if window >= length:
        return WHOLE
    if not callable(target):
        raise ValueError(
            "a window needs a target function that is a sum over the output's instants, e.g. target=lambda out: "
            f"out[:, 0].sum(-1); for a model that classifies, {ADVICE}."
        )
    # The signal's own values in random order: noise in the range that the model knows.
    order = np.random.default_rng(0).integers(length, size=noise_length(window))
    stretch = signal.variable[{"trial": slice(1), "time": order}]
    noise = torch.as_tensor(stretch.values).to(like)
    axis = signal.dims.index("time")
    reach = measure(eager(model), noise, axis, length=length, window=window, target=target, batch_size=batch_size)
    return exact(reach, length, window)


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


def _of_batch(target: Target, batch: Sequence[int], trials: int) -> Target:
    if target is None or callable(target):
        return target
    targets = np.asarray(target.cpu() if isinstance(target, Tensor) else target)
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets must be integers, the numbers of the classes, found {targets.dtype}.")
    if targets.shape not in ((), (trials,)):
        raise ValueError(f"found targets of shape {targets.shape} for {trials} trials; give one, or one per trial.")
    return torch.as_tensor(targets[batch]) if targets.ndim else int(targets)


def _dataset(
    signal: xr.DataArray,
    variables: dict[str, Any],
    label: np.ndarray | None,
    classes: Sequence[str] | None,
    model: nn.Module,
    composite: Composite,
) -> xr.Dataset:
    coords = dict(signal.drop_vars("label", errors="ignore").coords)
    if label is not None:
        variables["label"] = ("trial", label, signal.coords["label"].attrs)
    dims, output = variables["output"]
    if "class" in dims:
        coords["class"] = np.arange(output.shape[-1]) if classes is None else np.asarray(list(map(str, classes)))
    attributes = {
        "model": type(model).__name__,
        "composite": composite.name,
        "signal_name": str(signal.name or "signal"),
        "signalrp_version": version("signalrp"),
        "torch_version": str(torch.__version__),
    }
    dataset = xr.Dataset({"signal": signal.variable, **variables}, coords, attributes)
    return dataset.set_coords([name for name in ("window_start", "window_stop") if name in dataset])


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


def _steps(steps: list[Batch], progress: bool) -> Iterable[Batch]:
    if not progress:
        return steps
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('the progress bar needs tqdm: pip install "signalrp[cli]", or progress=False.') from None
    return tqdm(steps, desc="explain", unit="batch")
