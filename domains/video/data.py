"""Clips as labelled arrays (trial, rgb, frame, row, column): colours from 0 to 1, frames at their time in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.groups import SEPARATOR as SEPARATOR
from signalrp.groups import classes_of as classes_of

DIMENSIONS = ("trial", "rgb", "frame", "row", "column")
COLOURS = ("red", "green", "blue")
_LETTERS = {"B": "trial", "C": "rgb", "T": "frame", "H": "row", "W": "column"}
_SHOWN = 5


def from_arrays(
    values: npt.ArrayLike,
    fps: float,
    label: Sequence[int] | Sequence[str] | npt.NDArray[Any] | None = None,
    subject: Sequence[str] | npt.NDArray[Any] | None = None,
    classes: Sequence[str] | None = None,
    *,
    layout: str = "BTHWC",
    trial: Mapping[str, Any] | None = None,
    **attrs: Any,
) -> xr.DataArray:
    """Labelled array of clips that are in memory.

    Parameters
    ----------
    values : array_like
        Clips of one size: bytes from 0 to 255, or floating point numbers from 0 to 1. Of colours there are three; or
        one (grey, which becomes three equal ones); or four, the last being opacity (the clip is laid over black).
    fps : float
        Frames per second.
    label : sequence of int or str, optional
        The class of every clip: its number, or its name.
    subject : sequence of str, optional
        What clips have in common, the person or the video they come from: intervals resample subjects and folds keep
        them together. Where it is not known every clip counts as a subject of its own.
    classes : sequence of str, optional
        Names of the classes, in the order of their numbers; by default the names found, sorted.
    layout : str
        What the axes of `values` are: the letters B (clip), T (frame), C (colour), H (row) and W (column), in order.
    trial : mapping, optional
        Further coordinates along trial: name -> values.
    **attrs
        Further attributes, such as title and source.

    Returns
    -------
    xarray.DataArray, shape (trial, rgb, frame, row, column)
        float32 from 0 to 1. Coordinates: rgb; frame (s from the start of the clip), row and column (pixels); along
        trial label (where given), subject, file, first (number of the first frame in the file) and step (frame step).
        Attributes: units "1", fps, classes (joined by " | ", see `classes_of`).

    Raises
    ------
    ValueError
        If the axes are not those of the layout, values are no colours, or labels and names do not fit them.
    """
    if sorted(layout) != sorted(_LETTERS):
        raise ValueError(f"The layout {layout!r} is not five letters B, C, T, H, W, each once; give one such as BTHWC.")
    array = np.asarray(values)
    if array.ndim != len(layout):
        raise ValueError(f"The clips have the shape {array.shape}; expected the five axes of the layout {layout}.")
    if not np.isfinite(fps) or fps <= 0:
        raise ValueError(f"The frame rate is a positive number of frames per second, not {fps!r}.")
    clips = _colours(array.transpose([layout.index(letter) for letter in _LETTERS]))
    count = len(clips)
    trial = {} if trial is None else dict(trial)
    names = [f"clip {number}" for number in range(count)]
    coords: dict[str, Any] = {}
    if label is not None:
        coords["label"], classes = labels(label, classes)
        attrs["classes"] = SEPARATOR.join(classes)
    coords["subject"] = np.asarray(trial.get("file", names) if subject is None else subject, dtype=str)
    coords |= {"file": names, "first": np.zeros(count, dtype=np.int64), "step": np.ones(count, dtype=np.int64)} | trial
    for key, column in coords.items():
        if len(column) != count:
            raise ValueError(f"There are {len(column)} values of {key} for {count} clips; give one for each.")
    return clips_of(clips, fps, coords, **attrs)


def clips_of(
    values: npt.NDArray[np.float32], fps: float, trial: Mapping[str, Any], name: str = "video", **attrs: Any
) -> xr.DataArray:
    """Name the axes of clips (trial, rgb, frame, row, column) that are known to be right."""
    _, _, frames, rows, columns = values.shape
    coords: dict[str, Any] = {"rgb": list(COLOURS)} | axes(frames, rows, columns, fps)
    coords |= {key: ("trial", np.asarray(column)) for key, column in trial.items()}
    return xr.DataArray(values, coords, DIMENSIONS, name=name, attrs={"units": "1", "fps": float(fps)} | attrs)


def axes(frames: int, rows: int, columns: int, fps: float) -> dict[str, Any]:
    """Coordinates frame (s), row and column (pixels) of clips of this size."""
    return {
        "frame": ("frame", np.arange(frames) / fps, {"units": "s", "long_name": "time"}),
        "row": ("row", np.arange(rows), {"units": "pixel"}),
        "column": ("column", np.arange(columns), {"units": "pixel"}),
    }


def arranged(signal: xr.DataArray, layout: str) -> xr.DataArray:
    """The same clips with their axes in the order that a model wants.

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, rgb, frame, row, column) in any order
        Clips, or an array that lacks some of these dimensions, such as the truth of `moving_digits`.
    layout : str
        Letters B (trial), C (rgb), T (frame), H (row) and W (column), each dimension of the signal once: "BCTHW" as
        the readers give it, "BTCHW" for models that take a sequence of pictures.

    Raises
    ------
    ValueError
        If the layout does not name the dimensions of the signal.
    """
    dims = [_LETTERS.get(letter) for letter in layout]
    if set(dims) != set(signal.dims) or len(dims) != signal.ndim:
        found = "".join(letter for letter, dim in _LETTERS.items() if dim in signal.dims)
        raise ValueError(
            f"The layout {layout!r} does not name the dimensions of the clips; expected {found} in an order."
        )
    return signal.transpose(*dims)


def every(signal: xr.DataArray, step: int, frames: int | None = None) -> xr.DataArray:
    """Clips played faster: every step-th frame, shown at the frame rate of before.

    Parameters
    ----------
    signal : xarray.DataArray with the dimension frame
        Clips, or the truth of `moving_digits`, whose onset and offset follow.
    step : int
        1 leaves the clips as they are, 2 plays them twice as fast.
    frames : int, optional
        How many frames to keep; by default all there are. Read longer clips for clips that stay equally long.

    Returns
    -------
    xarray.DataArray
        With the coordinate step multiplied; the frame rate and the times of the frames are those of playing.

    Raises
    ------
    ValueError
        If the step is below 1 or there are too few frames.
    """
    found = signal.sizes["frame"]
    if step < 1:
        raise ValueError(f"The frame step is a whole number from 1, not {step!r}.")
    kept = -(-found // step)
    frames = kept if frames is None else frames
    if not 1 <= frames <= kept:
        raise ValueError(
            f"{frames} frames at a step of {step} need clips of {(frames - 1) * step + 1} frames; these have {found}: "
            "read longer clips or take fewer frames."
        )
    times = signal["frame"][:frames]
    faster = signal.isel(frame=slice(None, frames * step, step)).assign_coords(frame=times)
    if "step" in signal.coords:
        faster = faster.assign_coords(step=signal["step"] * step)
    if "onset" in signal.coords:
        ends = {key: ("trial", np.minimum(-(-signal[key].values // step), frames)) for key in ("onset", "offset")}
        faster = faster.assign_coords(ends)
    return faster


def labels(given: Any, classes: Sequence[str] | None) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Numbers and names of the classes of labels that are numbers or names."""
    found = np.asarray(given)
    if found.dtype.kind in "iu":
        names = [str(n) for n in range(int(found.max()) + 1)] if classes is None else [str(name) for name in classes]
        if found.min() < 0 or found.max() >= len(names):
            raise ValueError(f"Labels go from {found.min()} to {found.max()}; expected 0 to {len(names) - 1}.")
        return found.astype(np.int64), names
    texts = [str(name) for name in found]
    names = sorted(set(texts)) if classes is None else [str(name) for name in classes]
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise ValueError(f"The labels {some(unknown)} are not among the classes {some(names)}; correct either.")
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name in texts], dtype=np.int64), names


def some(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    shown = ", ".join(names[:_SHOWN]) or "none"
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _colours(clips: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Clips (trial, colour, ...) in one, three or four colours as float32 in three, from 0 to 1."""
    if 0 in clips.shape:
        raise ValueError(f"There are no clips: {clips.shape} (clip, colour, frame, row, column); give at least one.")
    if clips.dtype == np.uint8:
        values = clips.astype(np.float32) / np.float32(255)
    elif clips.dtype.kind == "f":
        values = clips.astype(np.float32, copy=False)
    else:
        raise ValueError(
            f"The clips hold {clips.dtype}; expected bytes (uint8), or floating point numbers from 0 to 1."
        )
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("The clips hold values that are NaN or infinite; repair them or leave them out.")
    if low < 0 or high > 1:
        raise ValueError(f"The clips go from {low:g} to {high:g}; expected colours from 0 to 1: divide by full scale.")
    colours = values.shape[1]
    if colours == 1:
        return np.repeat(values, 3, axis=1)
    if colours == 4:
        return values[:, :3] * values[:, 3:]
    if colours != 3:
        raise ValueError(f"The clips have {colours} colours; expected 3, 1 (grey) or 4 (with opacity): correct layout.")
    return np.ascontiguousarray(values)
