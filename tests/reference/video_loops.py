"""What is computed of clips and their relevance, written out place by place, and clips to try it on."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

PLACES = ("trial", "frame", "row", "column")
LAYOUTS = (("rgb", "frame", "row", "column"), ("frame", "rgb", "row", "column"), ("column", "row", "rgb", "frame"))


def clips(values, layout=LAYOUTS[0], subjects=None, **coords) -> xr.DataArray:
    """Clips (trial, rgb, frame, row, column) at 10 frames per second, in another order of dimensions."""
    values = np.asarray(values, dtype=np.float64)
    trials, colours, frames, rows, columns = values.shape
    names = [f"s{number % (subjects or trials)}" for number in range(trials)]
    own = {
        "subject": ("trial", names),
        "frame": ("frame", np.arange(frames) / 10, {"units": "s"}),
        "row": np.arange(rows),
        "column": np.arange(columns),
    }
    if colours == 3:
        own["rgb"] = ["red", "green", "blue"]
    dims = ("trial", "rgb", "frame", "row", "column")
    return xr.DataArray(values, own | coords, dims, attrs={"units": "1", "fps": 10.0}).transpose("trial", *layout)


def explained(relevance: xr.DataArray, signal: xr.DataArray | None = None) -> xr.Dataset:
    return xr.Dataset({"signal": relevance if signal is None else signal, "relevance": relevance})


def counted(value: float, part: str) -> float:
    return {"net": value, "positive": max(value, 0.0), "negative": max(-value, 0.0), "absolute": abs(value)}[part]


def place_and_time(relevance: xr.DataArray, part: str) -> np.ndarray:
    """(trial, frame, row, column), place by place."""
    values = relevance.transpose("trial", "rgb", "frame", "row", "column").values
    trials, colours, frames, rows, columns = values.shape
    found = np.empty((trials, frames, rows, columns))
    for trial, frame, row, column in np.ndindex(*found.shape):
        total = sum(values[trial, colour, frame, row, column] for colour in range(colours))
        found[trial, frame, row, column] = counted(total, part)
    return found


def _mirrored(place: int, length: int) -> int:
    while not 0 <= place < length:
        place = -place - 1 if place < 0 else 2 * length - 1 - place
    return place


def in_window(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean around each place, up to four standard deviations, the picture mirrored at its edges."""
    reach = int(4 * sigma + 0.5)
    weights = {way: math.exp(-0.5 * (way / sigma) ** 2) for way in range(-reach, reach + 1)}
    whole = sum(weights.values())
    for axis in (0, 1):
        turned = np.moveaxis(picture, axis, 0)
        found = np.zeros_like(turned)
        for place in range(len(turned)):
            for way, weight in weights.items():
                found[place] += weight / whole * turned[_mirrored(place + way, len(turned))]
        picture = np.moveaxis(found, 0, axis)
    return picture


def _between(picture: np.ndarray, row: float, column: float) -> float:
    """The picture's value between its pixels, beyond its edges that of the edge."""
    row, column = (min(max(at, 0.0), size - 1.0) for at, size in zip((row, column), picture.shape, strict=True))
    r, c = min(int(row), picture.shape[0] - 2), min(int(column), picture.shape[1] - 2)
    a, b = row - r, column - c
    upper = (1 - b) * picture[r, c] + b * picture[r, c + 1]
    lower = (1 - b) * picture[r + 1, c] + b * picture[r + 1, c + 1]
    return (1 - a) * upper + a * lower


def flow(one: np.ndarray, two: np.ndarray, sigma: float, ridge: float = 0.01, rounds: int = 3) -> np.ndarray:
    """Displacement (2, row, column) of small pictures, by two equations at each place, less what explains nothing."""
    rows, columns = one.shape
    slope = np.zeros((2, rows, columns))
    for r, c in np.ndindex(rows, columns):
        above, below = max(r - 1, 0), min(r + 1, rows - 1)
        left, right = max(c - 1, 0), min(c + 1, columns - 1)
        slope[0, r, c] = (one[below, c] - one[above, c]) / (below - above)
        slope[1, r, c] = (one[r, right] - one[r, left]) / (right - left)
    products = [[in_window(slope[i] * slope[j], sigma) for j in range(2)] for i in range(2)]
    added = ridge * (products[0][0] + products[1][1]).mean()
    found = np.zeros((2, rows, columns))
    for _ in range(rounds):
        change = np.zeros((rows, columns))
        for r, c in np.ndindex(rows, columns):
            change[r, c] = _between(two, r + found[0, r, c], c + found[1, r, c]) - one[r, c]
        sides = [in_window(slope[i] * change, sigma) for i in range(2)]
        for r, c in np.ndindex(rows, columns):
            matrix = [[products[i][j][r, c] + added * (i == j) for j in range(2)] for i in range(2)]
            step = np.linalg.solve(matrix, [sides[0][r, c], sides[1][r, c]])
            found[:, r, c] -= np.clip(step, -1, 1)
    left = np.array([
        [_between(two, r + found[0, r, c], c + found[1, r, c]) - one[r, c] for c in range(columns)] for r in range(rows)
    ])  # fmt: skip
    explained = 1 - in_window(left**2, sigma) / in_window((two - one) ** 2, sigma)
    return found * np.clip(explained, 0, 1)


def removed(clip: np.ndarray, frames: set[int], how: str, sigma: float) -> np.ndarray:
    """A clip (rgb, frame, row, column) of which some frames are removed."""
    length = clip.shape[1]
    left = [frame for frame in range(length) if frame not in frames]
    shown = []
    for frame in range(length):
        if how == "dropped":
            shown.append(clip[:, left[min(frame, len(left) - 1)]])
        elif frame not in frames:
            shown.append(clip[:, frame])
        elif how == "frozen":
            before = [other for other in left if other < frame]
            source = before[-1] if before else left[0] if left else 0
            shown.append(clip[:, source])
        elif how == "swapped":
            shown.append(clip[:, (frame + length // 2) % length])
        else:
            shown.append(np.stack([in_window(colour, sigma) for colour in clip[:, frame]]))
    return np.stack(shown, axis=1)
