"""What every method of explanation shares: a labelled signal in, batches, a labelled explanation out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp.attribute import Attribution
from signalrp.targets import Target
from signalrp.windows import WHOLE, Batch, Parts, Plan

DIMENSIONS = ("trial", "channel", "time")
_VARIABLES = {
    "signal", "relevance", "output", "target", "explained", "absorbed", "per_unit", "class", "window", "window_start",
    "window_stop",
}  # fmt: skip


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


def checked(signal: xr.DataArray, batch_size: int) -> xr.DataArray:
    """Return a labelled signal that can be explained.

    Raises
    ------
    ValueError
        When it holds no real numbers or no trial, a coordinate has the name of a part of the explanation, or the batch
        size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}.")
    if signal.dtype.kind not in "fiub":
        raise ValueError(f"the signal must hold real numbers, found {signal.dtype}.")
    taken = sorted(_VARIABLES & set(map(str, signal.coords)))
    if taken:
        raise ValueError(f"the coordinate {taken[0]!r} has the name of a part of the explanation; rename it.")
    if not signal.sizes["trial"]:
        raise ValueError("the signal holds no trial; there is nothing to explain.")
    return signal


def empty_like_weights(model: object, device: str | torch.device | None) -> Tensor:
    """Return an empty tensor in the type and the place of the model's weights, or of its inputs where it has none.

    Raises
    ------
    ValueError
        When the model is on another device than asked for.
    """
    dtype, home = type_and_place(model)
    if device is not None and home is not None and torch.device(device).type != home.type:
        raise ValueError(f"the model is on {home} and {device} was asked for; move it with model.to({str(device)!r}).")
    return torch.empty(0, dtype=dtype, device=home or torch.device(device or "cpu"))


def in_batches(
    ask: Callable[[Tensor, Target, Sequence[int]], Attribution],
    model: object,
    signal: xr.DataArray,
    like: Tensor,
    target: Target,
    plan: Plan = WHOLE,
    *,
    names: Mapping[str, str],
    classes: Sequence[str] | None,
    batch_size: int,
    per_unit: bool,
    progress: bool,
) -> xr.Dataset:
    """Explain a signal batch by batch and return the explanation.

    Parameters
    ----------
    ask : callable
        Takes the signals of a batch, the target for these, and the numbers of their trials; explains them.
    model, signal, target, classes, batch_size, per_unit, progress
        See :func:`signalrp.explain`; the signal labelled and checked.
    like : torch.Tensor
        Of the type and in the place that the model takes.
    plan : Plan
        Which pieces of the signal to explain.
    names : mapping of str
        Attributes that say what explained.
    """
    trials, label = signal.sizes["trial"], None
    parts = Parts(signal, plan, per_unit)
    for batch in _steps(plan.batches(trials, batch_size), progress):
        numbers = [trial for trial, _ in batch]
        x = torch.as_tensor(parts.inputs(batch)).to(like)
        try:
            result = ask(x, plan.target(_of_batch(target, numbers, trials), batch[0][1]), numbers)
        except RuntimeError as error:
            refused = _refusal(model, x)
            if refused is None:
                raise
            raise ValueError(refused) from error
        if not parts.maps:
            label = _true_classes(signal, result.output.shape, classes)
        parts.add(batch, result)
    return _dataset(signal, parts.finish(), label, classes, model, names)


def _refusal(model: object, x: Tensor) -> str | None:
    """Say why a model by itself fails on a batch; None where it does not."""
    if not isinstance(model, nn.Module):
        return None
    try:
        with torch.no_grad():
            model(x)
    except RuntimeError as error:
        return (
            f"the model fails on trials of shape {tuple(x.shape[1:])} ({' '.join(str(error).split())}); give the "
            "channels, the sampling rate and the order of dimensions that it was trained with."
        )
    return None


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
    model: object,
    names: Mapping[str, str],
) -> xr.Dataset:
    coords = dict(signal.drop_vars("label", errors="ignore").coords)
    if label is not None:
        variables["label"] = ("trial", label, signal.coords["label"].attrs)
    dims, output = variables["output"]
    if "class" in dims:
        coords["class"] = np.arange(output.shape[-1]) if classes is None else np.asarray(list(map(str, classes)))
    attributes = {
        "model": type(model).__name__,
        **names,
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
        if output[1] == 1:
            raise ValueError(
                "the model has one output, but the signal is labelled with classes; wrap it in a module that returns "
                "torch.cat([-z, z], 1), z being its output before a sigmoid, or drop the coordinate 'label'."
            )
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but the model has classes 0 to {output[1] - 1}; number "
            "them as the model does."
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
