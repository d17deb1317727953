"""Fast forward: does a net recognise more when it is shown every second or third frame, without being trained anew?

Anders et al. (2018, arXiv:1806.06926) read from the relevance of a clip's first and last frames that their net tried to
look beyond them, and found that clips that cover a longer stretch in as many frames help it. Two things change at once:
the net sees more of the video, and sees it faster. The control shows it the same stretch at its own speed, in several
clips whose outputs are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import xarray as xr
from torch import nn

from signalrp.validation import bootstrap_interval, paired_difference
from signalrp.validation.perturbation.machine import placed

from .data import every
from .frames import stretch

__all__ = ["fast_clips", "fast_forward", "forward_table"]

_INPUTS = {"correct": "every n-th frame", "averaged": "all frames, averaged"}


def fast_clips(signal: xr.DataArray, step: int, frames: int) -> xr.DataArray:
    """Every so many-th frame from the middle of longer clips, see `signalrp.domains.video.data.every`.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips over trial, frame and others, of at least ``(frames - 1) * step + 1`` frames.
    step : int
        Frames from one shown to the next.
    frames : int
        Of the clips to be returned.

    Raises
    ------
    ValueError
        If clips are too short, or step or frames no positive number.
    """
    start, span = _middle(signal, step, frames)
    return every(stretch(signal, start, span), step, frames)


def fast_forward(
    model: nn.Module,
    signal: xr.DataArray,
    steps: Sequence[int] = (1, 2, 3, 4),
    frames: int = 16,
    batch_size: int = 32,
) -> xr.Dataset:
    """Which clips a net gets right when it is shown every so many-th frame, without being trained anew.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; takes clips of so many frames in the signal's order of dimensions, returns (trial, class).
    signal : xarray.DataArray
        Longer clips, trial first, with the true classes as the coordinate ``label``; long enough for the largest step.
    steps : sequence of int
        Frames from one shown to the next. All clips have the same middle.
    frames : int
        Of the clips that the net takes.
    batch_size : int
        Clips at once.

    Returns
    -------
    xarray.Dataset
        Over trial and step, 0 or 1: ``correct``; and ``averaged``, the control: the net sees all of the same stretch of
        video in as many clips of step 1 as the step is long, and their outputs are averaged.

    Raises
    ------
    ValueError
        If clips are too short, the first dimension is not trial, there are no labels, or the model is in training mode
        or does not return (trial, class).
    """
    if signal.dims[0] != "trial" or "label" not in signal.coords or signal["label"].dtype.kind not in "iu":
        raise ValueError(
            f"The clips are {signal.dims} with the coordinates {', '.join(map(str, signal.coords)) or 'none'}; "
            "expected trial first and the true classes, integers, as the coordinate label."
        )
    if not steps:
        raise ValueError("steps is empty; give at least one, such as (1, 2, 4).")
    label = signal["label"].values
    correct, averaged = [], []
    for step in steps:
        start, span = _middle(signal, step, frames)
        fast = _outputs(model, fast_clips(signal, step, frames), batch_size)
        starts = np.linspace(start, start + span - frames, step).round().astype(int)
        slow = np.mean([_outputs(model, stretch(signal, int(at), frames), batch_size) for at in starts], axis=0)
        correct.append(fast.argmax(1) == label)
        averaged.append(slow.argmax(1) == label)
    kept = {name: c for name, c in signal.coords.items() if c.dims == ("trial",) and name not in ("step", "first")}
    coords = {**kept, "step": ("step", list(steps), {"long_name": "frame step"})}
    values = {"correct": correct, "averaged": averaged}
    variables = {
        name: (("trial", "step"), np.stack(found, 1).astype(np.float64), {"long_name": _INPUTS[name]})
        for name, found in values.items()
    }
    return xr.Dataset(variables, coords, {"frames": frames})


def forward_table(found: xr.Dataset, subject: str | npt.ArrayLike | None = None, seed: int = 0) -> pd.DataFrame:
    """Accuracy against the frame step, with intervals and paired tests.

    Parameters
    ----------
    found : xarray.Dataset
        From `fast_forward`.
    subject, seed
        By which clips are clustered, see `signalrp.validation.bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        A row for each ``input``, "every n-th frame" and "all frames, averaged", and ``step``: ``accuracy``, ``low``,
        ``high``; ``difference`` to the smallest step, ``difference_low``, ``difference_high`` and its ``p``
        (`signalrp.validation.paired_difference`; NaN for the smallest step itself); and ``p_averaged``, of no
        difference between the two inputs at the same step.
    """
    smallest = int(found["step"].min())
    rows = []
    for name, shown in _INPUTS.items():
        values = found[name]
        for step in map(int, found["step"]):
            own, first = values.sel(step=step, drop=True), values.sel(step=smallest, drop=True)
            interval = bootstrap_interval(own, subject, seed=seed)
            difference = [np.nan] * 4 if step == smallest else paired_difference(own, first, subject, seed=seed)
            other = found["averaged" if name == "correct" else "correct"].sel(step=step, drop=True)
            p = paired_difference(own, other, subject, seed=seed).p
            rows.append((shown, step, *map(float, interval), *map(float, difference), p))
    columns = ["input", "step", "accuracy", "low", "high", "difference", "difference_low", "difference_high", "p"]
    return pd.DataFrame(rows, columns=[*columns, "p_averaged"])


def _middle(signal: xr.DataArray, step: int, frames: int) -> tuple[int, int]:
    """First frame and length of the stretch in the middle that so many frames cover."""
    if step < 1 or frames < 1:
        raise ValueError(f"The step is {step} and the clip {frames} frames long; both must be at least 1.")
    length, span = signal.sizes["frame"], (frames - 1) * step + 1
    if length < span:
        raise ValueError(
            f"The clips have {length} frames; {frames} frames at a step of {step} need {span}. Read longer clips, or "
            "take smaller steps."
        )
    return (length - span) // 2, span


def _outputs(model: nn.Module, clips: xr.DataArray, batch_size: int) -> npt.NDArray[np.float64]:
    with placed(model, None) as (place, dtype), torch.no_grad():
        parts = [
            model(torch.tensor(clips.values[at : at + batch_size], device=place, dtype=dtype))
            for at in range(0, len(clips), batch_size)
        ]
    outputs = torch.cat(parts).double().cpu().numpy()
    if outputs.shape[0] != len(clips) or outputs.ndim != 2:
        raise ValueError(f"The model returned {outputs.shape} for {len(clips)} clips; expected (trial, class).")
    return outputs
