"""Recordings as labelled arrays (trial, channel, time): amplitudes from -1 to 1 over seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.groups import SEPARATOR
from signalrp.groups import classes_of as classes_of
from signalrp.signals import labelled_signal

from .checks import refuse_values, some

Shorter = Literal["raise", "end", "random"]
Longer = Literal["raise", "start", "loudest"]
Floats = npt.NDArray[np.float32]


def from_arrays(
    values: npt.ArrayLike | Sequence[npt.ArrayLike],
    sfreq: float,
    label: Sequence[int] | Sequence[str] | npt.NDArray[Any] | None = None,
    speaker: Sequence[str] | npt.NDArray[Any] | None = None,
    classes: Sequence[str] | None = None,
    *,
    length: int | None = None,
    shorter: Shorter = "raise",
    longer: Longer = "raise",
    seed: int = 0,
    channel: Sequence[str] | None = None,
    trial: Mapping[str, Any] | None = None,
    **attrs: Any,
) -> xr.DataArray:
    """Labelled array of clips that are in memory.

    Parameters
    ----------
    values : array_like or sequence of array_like
        (trial, time) or (trial, channel, time); or one array (time,) or (channel, time) per clip, of various lengths.
        Floating point numbers, full scale is 1.
    sfreq : float
        Sampling rate in Hz.
    label : sequence of int or str, optional
        The class of every clip: its number, or its name.
    speaker : sequence of str, optional
        Who is heard, one name per clip; intervals resample speakers and folds keep them together. Where they are not
        known every clip counts as a speaker of its own.
    classes : sequence of str, optional
        Names of the classes, in the order of their numbers; by default the names found, sorted.
    length : int, optional
        Samples that every clip is brought to; by default they must all be equally long.
    shorter : {"raise", "end", "random"}
        Shorter clips are refused, followed by zeros, or placed among zeros at a random instant.
    longer : {"raise", "start", "loudest"}
        Of longer clips nothing is taken, their beginning, or the stretch with the most energy.
    seed : int
        Seed of the random instants.
    channel : sequence of str, optional
        Names of the channels; by default "mono", or "left" and "right".
    trial : mapping, optional
        Further coordinates along trial: name -> values.
    **attrs
        Further attributes, such as title and source.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        float32, time in s. Along trial: label (where given), speaker, subject (the same), samples (of the clip as it
        was given) and offset (where it begins in its row; negative: so many of its first samples were cut). Attributes:
        units "1", sfreq in Hz, classes (joined by " | ", see `classes_of`).

    Raises
    ------
    ValueError
        If clips are empty, not finite, not floating point or far beyond full scale, have other lengths or channels
        than asked, or labels and names do not fit them.
    """
    clips = [_clip(clip, number) for number, clip in enumerate(values)]  # type: ignore[arg-type]
    if not clips:
        raise ValueError("There are no clips; give at least one.")
    if not np.isfinite(sfreq) or sfreq <= 0:
        raise ValueError(f"The sampling rate is a positive number in Hz, not {sfreq!r}.")
    trial = {} if trial is None else dict(trial)
    names = [str(name) for name in trial.get("file", [f"clip {number}" for number in range(len(clips))])]
    refuse_values(clips, names)
    samples = np.array([clip.shape[1] for clip in clips], dtype=np.int64)
    rows, offset = _rows(clips, names, length, shorter, longer, seed)
    coords: dict[str, Any] = {}
    if label is not None:
        coords["label"], classes = _labels(label, classes)
    coords["speaker"] = np.asarray(names if speaker is None else speaker, dtype=str)
    coords |= {"subject": coords["speaker"], "samples": samples, "offset": offset} | trial
    for key, column in coords.items():
        if len(column) != len(clips):
            raise ValueError(f"There are {len(column)} values of {key} for {len(clips)} clips; give one for each.")
    if channel is None:
        channel = {1: ["mono"], 2: ["left", "right"]}.get(rows.shape[1], [f"ch{n}" for n in range(rows.shape[1])])
    if len(channel) != rows.shape[1]:
        raise ValueError(f"There are {len(channel)} channel names for {rows.shape[1]} channels; give one for each.")
    if label is not None:
        attrs["classes"] = SEPARATOR.join(classes or [])
    attrs["sfreq"] = float(sfreq)
    time = np.arange(rows.shape[2]) / sfreq
    return labelled_signal(rows, channel, time, "s", "1", coords, name="audio", **attrs)


def fitted(
    clip: Floats,
    length: int,
    shorter: Shorter,
    longer: Longer,
    rng: np.random.Generator,
    name: str = "The clip",
) -> tuple[Floats, int]:
    """A clip (channel, time) brought to so many samples, and where it begins in them.

    Returns
    -------
    clip : numpy.ndarray, shape (channel, length)
    offset : int
        First sample of the clip; negative where so many of its samples were cut before the stretch that was kept.

    Raises
    ------
    ValueError
        If the clip is shorter or longer and that is to be refused, or a choice is unknown.
    """
    if shorter not in ("raise", "end", "random") or longer not in ("raise", "start", "loudest"):
        raise ValueError(
            f"shorter={shorter!r}, longer={longer!r} is unknown; choose 'raise', 'end' or 'random' for shorter, and "
            "'raise', 'start' or 'loudest' for longer."
        )
    found = clip.shape[1]
    if found < length:
        if shorter == "raise":
            raise ValueError(
                f"{name} has {found} samples where {length} were asked; it is too short: pass shorter='end' or "
                "'random' to add zeros, or leave it out."
            )
        offset = int(rng.integers(0, length - found + 1)) if shorter == "random" else 0
        return np.pad(clip, ((0, 0), (offset, length - found - offset))), offset
    if found > length:
        if longer == "raise":
            raise ValueError(
                f"{name} has {found} samples where {length} were asked; it is too long: pass longer='start' or "
                "'loudest' to cut it, or leave it out."
            )
        start = _loudest(clip, length) if longer == "loudest" else 0
        return clip[:, start : start + length], -start
    return clip, 0


def _loudest(clip: Floats, length: int) -> int:
    energy = np.concatenate([[0.0], np.cumsum(clip.astype(np.float64) ** 2, axis=1).sum(axis=0)])
    return int(np.argmax(energy[length:] - energy[:-length]))


def _clip(values: npt.ArrayLike, number: int) -> Floats:
    clip = np.asarray(values)
    if clip.dtype.kind != "f":
        raise ValueError(
            f"Clip {number} holds {clip.dtype}; expected floating point numbers from -1 to 1: divide by full scale "
            "(32768 for 16 bits)."
        )
    if clip.ndim not in (1, 2):
        raise ValueError(f"Clip {number} has the shape {clip.shape}; expected (time,) or (channel, time).")
    return np.atleast_2d(clip).astype(np.float32, copy=False)


def _rows(
    clips: Sequence[Floats], names: Sequence[str], length: int | None, shorter: Shorter, longer: Longer, seed: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    channels = {clip.shape[0] for clip in clips}
    if len(channels) > 1:
        raise ValueError(f"Some clips have {min(channels)} and some {max(channels)} channels; bring them to the same.")
    if length is None:
        lengths = [clip.shape[1] for clip in clips]
        if min(lengths) != max(lengths):
            raise ValueError(
                f"The clips have {min(lengths)} ({names[int(np.argmin(lengths))]}) to {max(lengths)} "
                f"({names[int(np.argmax(lengths))]}) samples; pass length, and shorter and longer to say how they are "
                "brought to it."
            )
        length = lengths[0]
    if length < 1:
        raise ValueError(f"The length is a number of samples, at least 1, not {length!r}.")
    rng = np.random.default_rng(seed)
    rows = np.zeros((len(clips), channels.pop(), length), dtype=np.float32)
    offset = np.zeros(len(clips), dtype=np.int64)
    for number, (clip, name) in enumerate(zip(clips, names, strict=True)):
        rows[number], offset[number] = fitted(clip, length, shorter, longer, rng, name)
    return rows, offset


def _labels(label: Any, classes: Sequence[str] | None) -> tuple[npt.NDArray[np.int64], list[str]]:
    given = np.asarray(label)
    if given.dtype.kind in "iu":
        names = [str(n) for n in range(int(given.max()) + 1)] if classes is None else [str(name) for name in classes]
        if given.min() < 0 or given.max() >= len(names):
            raise ValueError(f"Labels go from {given.min()} to {given.max()}; expected 0 to {len(names) - 1}.")
        return given.astype(np.int64), names
    found = [str(name) for name in given]
    names = sorted(set(found)) if classes is None else [str(name) for name in classes]
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise ValueError(f"The labels {some(unknown)} are not among the classes {some(names)}; correct either.")
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name in found], dtype=np.int64), names
