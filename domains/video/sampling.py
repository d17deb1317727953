"""Which frames of a video make which clip: even intervals, steps, windows, and what to do where there are too few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .decoding import Video

# How far an interval between frames may be from the usual one; times are rounded to 10 ms in some formats.
_UNEVEN = 0.5
# A frame that is due within this share of an interval is shown already: times are rounded.
_DUE = 0.1


def check_choices(frames: int, step: int, fps: float | None, hop: int | None, shorter: str, window: str) -> None:
    """Refuse choices that are unknown and numbers below 1."""
    if shorter not in ("raise", "repeat", "loop") or window not in ("start", "centre", "random", "all"):
        raise ValueError(
            f"shorter={shorter!r}, window={window!r} is unknown; choose 'raise', 'repeat' or 'loop' for shorter, and "
            "'start', 'centre', 'random' or 'all' for window."
        )
    if min(frames, step, 1 if hop is None else hop) < 1 or (fps is not None and not 0 < fps < np.inf):
        raise ValueError(
            f"frames={frames!r}, step={step!r}, hop={hop!r}, fps={fps!r}: expected whole numbers from 1 and a positive "
            "frame rate."
        )


def bounds(given: float | Sequence[float], count: int) -> npt.NDArray[np.float64]:
    """One instant per file."""
    values = np.asarray(given, dtype=np.float64)
    if values.ndim and values.shape != (count,):
        raise ValueError(
            f"There are {len(values)} starts or stops for {count} files; give one number, or one for each."
        )
    return np.broadcast_to(values, count)


def samples(video: Video, fps: float | None) -> tuple[npt.NDArray[np.int64], float]:
    """Numbers of the frames at even intervals, and how many there are per second."""
    if fps is None:
        return np.arange(len(video.times)), video.rate
    lasts = float(video.times[-1]) + 1 / video.rate
    due = np.arange(max(1, int(np.floor(lasts * fps + 1e-6)))) / fps
    return np.searchsorted(video.times, due + _DUE / video.rate, side="right") - 1, fps


def between(video: Video, samples: npt.NDArray[np.int64], start: float, stop: float) -> npt.NDArray[np.bool_]:
    """Which samples are shown from start to before stop, in s."""
    slack = _DUE / video.rate
    times = video.times[samples]
    return (times >= start - slack) & (times < stop - slack)


def chosen(
    count: int, frames: int, step: int, hop: int | None, window: str, shorter: str, rng: np.random.Generator, name: str
) -> npt.NDArray[np.int64]:
    """Which samples make which clip (clip, frame)."""
    needed = (frames - 1) * step + 1
    grid = step * np.arange(frames)
    if count < needed:
        if shorter == "raise" or count == 0:
            raise ValueError(
                f"{name} has {count} frames where {frames} at a step of {step} need {needed}; take fewer, pass "
                "shorter='repeat' or 'loop', or leave it out."
            )
        return (np.minimum(grid, count - 1) if shorter == "repeat" else grid % count)[None]
    latest = count - needed
    if window == "all":
        return np.arange(0, latest + 1, frames * step if hop is None else hop)[:, None] + grid
    return {"start": 0, "centre": latest // 2, "random": int(rng.integers(latest + 1))}[window] + grid[None]


def require_even(video: Video, wanted: npt.NDArray[np.int64], fps: float | None) -> None:
    """Refuse a variable frame rate within clips (clip, frame) of frames that are wanted as they are stored."""
    if fps is not None or len(video.times) < 3:
        return
    intervals = np.diff(video.times)
    usual = float(np.median(intervals))
    uneven = np.concatenate([[0], np.cumsum(np.abs(intervals - usual) > _UNEVEN * usual)])
    if (uneven[wanted.max(axis=1)] > uneven[wanted.min(axis=1)]).any():
        raise ValueError(
            f"{video.path.name} has a variable frame rate, {1000 * intervals.min():.0f} to "
            f"{1000 * intervals.max():.0f} ms from frame to frame; pass fps={1 / usual:.4g} to sample it evenly."
        )


def same_rate(rate: float | None, found: float, name: str) -> float:
    """The frame rate of the first file; refuses another one."""
    if rate is not None and abs(found - rate) > 0.01 * rate:
        raise ValueError(
            f"{name} gives {found:.4g} frames per second where the files before it give {rate:.4g}; pass fps to bring "
            "all to the same."
        )
    return found if rate is None else rate
