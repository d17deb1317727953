"""Video files as labelled clips: one file, many files, a clip list, a folder by class, windows over a long video."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from .data import SEPARATOR, clips_of, labels
from .decoding import Crop, Damaged, PathLike, Picture, look, pictures
from .sampling import between, bounds, check_choices, chosen, require_even, same_rate, samples

Shorter = Literal["raise", "repeat", "loop"]
Window = Literal["start", "centre", "random", "all"]


def read(
    files: PathLike | Sequence[PathLike],
    label: Sequence[int] | Sequence[str] | npt.NDArray[Any] | None = None,
    subject: str | Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    *,
    frames: int = 16,
    step: int = 1,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    crop: Crop = "centre",
    window: Window = "start",
    start: float | Sequence[float] = 0.0,
    stop: float | Sequence[float] | None = None,
    hop: int | None = None,
    shorter: Shorter = "raise",
    damaged: Damaged = "raise",
    seed: int = 0,
    trial: dict[str, Any] | None = None,
    **attrs: Any,
) -> xr.DataArray:
    """Read clips from video files; only the frames that are asked for are kept.

    Parameters
    ----------
    files : path or sequence of paths
        Whatever ffmpeg reads. Videos of phones are turned upright, grey ones get three equal colours, transparent ones
        are laid over black.
    label, subject, classes
        See `signalrp.domains.video.data.from_arrays`, one value per file. By default every file is a subject.
    frames : int
        Frames of every clip.
    step : int
        Take every step-th frame.
    fps : float, optional
        Bring files to so many frames per second before steps are counted: at every instant the frame that a player
        shows. Without it frames are taken as they are stored, and a variable frame rate is refused.
    size : tuple of int, optional
        Rows and columns of the clips; by default those of the files.
    crop : {"centre", None}
        Before resizing, cut to the proportions of `size` about the centre, or squeeze.
    window : {"start", "centre", "random", "all"}
        Which clip of a file: its beginning, its middle, one at random, or as many as fit, `hop` apart.
    start, stop : float or sequence of float, optional
        The part of every file to take clips from, in s; one number, or one per file.
    hop : int, optional
        Frames (after `fps`, before `step`) between the beginnings of clips; by default they do not overlap.
    shorter : {"raise", "repeat", "loop"}
        Refuse files with too few frames, repeat the last frame, or begin again.
    damaged : {"raise", "keep"}
        Refuse files that are cut short or hold damaged frames, or take them as the decoder gives them.
    seed : int
        Seed of random windows.
    trial : dict, optional
        Further coordinates along trial: name -> one value per file.
    **attrs
        Further attributes, such as title and source.

    Returns
    -------
    xarray.DataArray, shape (trial, rgb, frame, row, column)
        As `signalrp.domains.video.data.from_arrays`. Along trial: label (where given), subject, file (name without
        folder), first (number of the first frame in the file), start (s in the file) and step. ``attrs["fps"]`` is
        the frame rate of the clips, after `step`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    signalrp.manifests.DataError
        If a file is empty, cut short, damaged or no video.
    ValueError
        If a file has too few frames, files differ in frame rate or size, a frame rate is variable, or a choice is
        unknown.
    """
    paths = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(file) for file in files]
    if not paths:
        raise ValueError("There are no files to read; give at least one.")
    check_choices(frames, step, fps, hop, shorter, window)
    if subject is None or isinstance(subject, str):
        subject = [path.stem if subject is None else subject for path in paths]
    per_file: dict[str, Any] = {"subject": subject, "file": [path.name for path in paths]} | (trial or {})
    if label is not None:
        per_file["label"], classes = labels(label, classes)
        attrs["classes"] = SEPARATOR.join(classes)
    for key, column in per_file.items():
        if len(column) != len(paths):
            raise ValueError(f"There are {len(column)} values of {key} for {len(paths)} files; give one for each.")
    starts, stops = bounds(start, len(paths)), bounds(np.inf if stop is None else stop, len(paths))
    rng = np.random.default_rng(seed)
    clips: list[npt.NDArray[np.uint8]] = []
    source: list[int] = []
    first: list[int] = []
    time: list[float] = []
    rate: float | None = None
    for number, path in enumerate(paths):
        video = look(path, damaged)
        shown, found = samples(video, fps)
        shown = shown[between(video, shown, starts[number], stops[number])]
        rate = same_rate(rate, found / step, path.name)
        wanted = shown[chosen(len(shown), frames, step, hop, window, shorter, rng, path.name)]
        require_even(video, wanted, fps)
        kept = dict(pictures(video, np.unique(wanted), size, crop, damaged))
        for row in wanted:
            clips.append(_stacked([kept[int(n)] for n in row], clips[0].shape if clips else None, path.name))
            source.append(number)
            first.append(int(row[0]))
            time.append(float(video.times[row[0]]))
    coords = {key: np.asarray(column)[source] for key, column in per_file.items()}
    return _labelled(clips, rate or 0.0, coords | {"first": first, "start": time, "step": [step] * len(clips)}, attrs)


def windows(
    file: PathLike,
    frames: int = 16,
    hop: int | None = None,
    *,
    step: int = 1,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    crop: Crop = "centre",
    start: float = 0.0,
    stop: float | None = None,
    batch: int = 1,
    cover: bool = True,
    damaged: Damaged = "raise",
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[xr.DataArray]:
    """Go through a video of any length clip by clip; memory holds one batch and one clip's frames.

    Parameters
    ----------
    file, frames, step, fps, size, crop, damaged
        See `read`.
    hop : int, optional
        Frames (after `fps`, before `step`) between the beginnings of clips: fewer than ``frames * step``, the default,
        makes them overlap.
    start, stop : float, optional
        The part of the file, in s.
    batch : int
        Clips per array; the last may have fewer.
    cover : bool
        Add a last clip that ends with the video where clips `hop` apart leave frames over.
    progress : callable, optional
        Called as ``progress(done, total)`` with numbers of clips after each array.

    Yields
    ------
    xarray.DataArray, shape (batch, rgb, frame, row, column)
        As `read`.

    Raises
    ------
    FileNotFoundError, signalrp.manifests.DataError, ValueError
        As `read`, when the first clip is asked for or the damaged place is reached.
    """
    check_choices(frames, step, fps, hop, "raise", "all")
    if batch < 1:
        raise ValueError(f"The batch is a number of clips, at least 1, not {batch!r}.")
    video = look(file, damaged)
    shown, rate = samples(video, fps)
    shown = shown[between(video, shown, start, np.inf if stop is None else stop)]
    rows = chosen(len(shown), frames, step, hop, "all", "raise", np.random.default_rng(), video.path.name)
    last = len(shown) - 1 - (frames - 1) * step
    if cover and rows[-1, 0] < last:
        rows = np.concatenate([rows, last + step * np.arange(frames)[None]])
    wanted = shown[rows]
    require_even(video, wanted, fps)
    decoded = pictures(video, np.unique(wanted), size, crop, damaged)
    kept: dict[int, Picture] = {}
    for begin in range(0, len(wanted), batch):
        rows = wanted[begin : begin + batch]
        clips: list[npt.NDArray[np.uint8]] = []
        for row in rows:
            # Windows begin ever later, so nothing before this one is needed again.
            kept = {number: picture for number, picture in kept.items() if number >= row[0]}
            while row[-1] not in kept:
                number, picture = next(decoded)
                kept[number] = picture
            clips.append(_stacked([kept[int(n)] for n in row], None, video.path.name))
        count = len(rows)
        coords = {
            "subject": [video.path.stem] * count,
            "file": [video.path.name] * count,
            "first": rows[:, 0],
            "start": video.times[rows[:, 0]],
            "step": [step] * count,
        }
        yield _labelled(clips, rate / step, coords, {})
        if progress is not None:
            progress(begin + count, len(wanted))


def frames_of(
    file: PathLike,
    numbers: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    crop: Crop = "centre",
    damaged: Damaged = "raise",
) -> Picture:
    """All frames of a file, or those with these numbers (rising), as bytes (frame, row, column, 3).

    Raises
    ------
    ValueError
        If the file has no such frames.
    FileNotFoundError, signalrp.manifests.DataError
        As `read`.
    """
    video = look(file, damaged)
    wanted = np.arange(len(video.times)) if numbers is None else np.asarray(numbers, dtype=np.int64)
    if len(wanted) == 0 or wanted[0] < 0 or wanted[-1] >= len(video.times) or (np.diff(wanted) <= 0).any():
        raise ValueError(
            f"{video.path.name} has the frames 0 to {len(video.times) - 1}; give some of these numbers, rising."
        )
    return _stacked([picture for _, picture in pictures(video, wanted, size, crop, damaged)], None, video.path.name)


def _stacked(images: Sequence[Picture], shape: tuple[int, ...] | None, name: str) -> npt.NDArray[np.uint8]:
    """Frames of one size as one array (frame, row, column, 3)."""
    shapes = {image.shape for image in images} | (set() if shape is None else {shape[1:]})
    if len(shapes) > 1:
        found = " and ".join(sorted(f"{height} x {width}" for height, width, _ in shapes))
        raise ValueError(f"{name}: frames have {found} pixels (rows x columns); pass size=(rows, columns).")
    return np.stack(images)


def _labelled(
    clips: Sequence[npt.NDArray[np.uint8]], rate: float, coords: dict[str, Any], attrs: dict[str, Any]
) -> xr.DataArray:
    frames, rows, columns, _ = clips[0].shape
    values = np.empty((len(clips), 3, frames, rows, columns), dtype=np.float32)
    for number, clip in enumerate(clips):
        np.divide(clip.transpose(3, 0, 1, 2), np.float32(255), out=values[number])
    return clips_of(values, rate, coords, **attrs)
