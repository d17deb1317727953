"""Explanations of labelled signals: an xarray.DataArray in, an xarray.Dataset out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp._reach import ADVICE, measure, noise_length
from signalrp.attribute import Attribution, attribute, eager
from signalrp.explanation import checked, empty_like_weights, in_batches, labelled
from signalrp.propagation.composites import Composite
from signalrp.propagation.composites import composite as composite_of
from signalrp.propagation.rules import Rule
from signalrp.targets import Target
from signalrp.windows import WHOLE, Plan, exact, sliding


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
    signal = checked(labelled(signal, channels, time), batch_size)
    chosen = composite_of(composite)
    like = empty_like_weights(model, device)
    plan = _plan(signal, window, overlap, target, model, like, batch_size)
    names = {"composite": chosen.name, "method": chosen.name}

    def ask(x: Tensor, wanted: Target, trials: Sequence[int]) -> Attribution:
        return attribute(model, x, wanted, chosen, audit=audit, unknown=unknown)

    return in_batches(
        ask, model, signal, like, target, plan,
        names=names, classes=classes, batch_size=batch_size, per_unit=per_unit, progress=progress,
    )  # fmt: skip


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
