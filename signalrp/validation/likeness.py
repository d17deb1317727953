"""How alike two maps of the same trial are."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata

Measure = Literal["spearman", "spearman-up-to-sign", "spearman-absolute", "correlation", "cosine", "ssim"]

MEASURES = get_args(Measure)
# side of the window in which SSIM compares, in samples, where the map is large enough
_WINDOW = 7


def check_measure(measure: str, sizes: tuple[int, ...]) -> None:
    """Refuse a measure that is unknown, or that maps of these sizes do not have.

    Raises
    ------
    ValueError
        As said.
    """
    if measure not in MEASURES:
        raise ValueError(f"Measure {measure!r} is unknown; choose from {', '.join(MEASURES)}.")
    if measure == "ssim" and not has_ssim(sizes):
        raise ValueError(f"SSIM compares maps of two dimensions of at least 3, found {sizes}; choose cosine instead.")


def has_ssim(sizes: tuple[int, ...]) -> bool:
    """Whether maps of these sizes are pictures: two dimensions of at least 3, whatever is 1 left aside."""
    sides = [size for size in sizes if size > 1]
    return len(sides) == 2 and min(sides) >= 3


def likeness(first: NDArray[np.floating], second: NDArray[np.floating], measure: Measure) -> NDArray[np.float64]:
    """Similarity of the two maps of every trial, −1 to 1.

    Parameters
    ----------
    first, second
        (trial, …), of the same shape.
    measure
        ``"spearman"``, rank correlation of the values with their sign; ``"spearman-up-to-sign"``, its absolute value,
        for which a map and its negative are the same; ``"spearman-absolute"``, of the absolute values;
        ``"correlation"``, Pearson's; ``"cosine"``; ``"ssim"``, structural similarity (Wang et al. 2004,
        doi:10.1109/TIP.2003.819861) of maps scaled to a largest absolute value of 1, in square windows of 7
        samples (the largest odd number that fits where a map is smaller).

    Returns
    -------
    numpy.ndarray
        (trial,), NaN where a map is zero, or constant so that it has no correlation.
    """
    sizes = first.shape[1:]
    check_measure(measure, sizes)
    flat = (len(first), int(np.prod(sizes)))
    pair = [np.asarray(maps, dtype=np.float64).reshape(flat) for maps in (first, second)]
    if measure == "spearman-absolute":
        pair = [np.abs(maps) for maps in pair]
    if measure in ("cosine", "ssim"):
        known = np.all([maps.any(1) for maps in pair], axis=0)
    else:
        known = np.all([np.ptp(maps, axis=1) > 0 for maps in pair], axis=0)
    found = np.full(len(first), np.nan)
    pair = [maps[known] / np.abs(maps[known]).max(1, keepdims=True) for maps in pair]
    if measure == "ssim":
        found[known] = _ssim(*(maps.reshape(-1, *(size for size in sizes if size > 1)) for maps in pair))
        return found
    if measure.startswith("spearman"):
        pair = [rankdata(maps, axis=1) for maps in pair]
    if measure != "cosine":
        pair = [maps - maps.mean(1, keepdims=True) for maps in pair]
    one, two = (maps / np.linalg.norm(maps, axis=1, keepdims=True) for maps in pair)
    found[known] = (one * two).sum(1)
    return np.abs(found) if measure == "spearman-up-to-sign" else found


def mean_of(repeats: ArrayLike) -> NDArray[np.float64]:
    """Mean over the repeats (repeat, trial) that have a value, (trial,); NaN where none has."""
    values = np.asarray(repeats, dtype=np.float64)
    known = np.isfinite(values)
    sums = np.where(known, values, 0).sum(0)
    return np.divide(sums, known.sum(0), out=np.full(sums.shape, np.nan), where=known.any(0))


def _ssim(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean structural similarity over all windows that lie within the maps (trial, row, column) of range 2."""
    side = min(_WINDOW, *one.shape[1:])
    side -= 1 - side % 2
    inside = (slice(None), *(slice(side // 2, size - side // 2) for size in one.shape[1:]))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return uniform_filter(values, size=(1, side, side))[inside]

    small, smaller = (0.03 * 2) ** 2, (0.01 * 2) ** 2
    mean_one, mean_two = mean(one), mean(two)
    # a variance of about 0 may come out a little below it
    variances = np.maximum(mean(one**2) - mean_one**2, 0) + np.maximum(mean(two**2) - mean_two**2, 0)
    shared = mean(one * two) - mean_one * mean_two
    luminance = (2 * mean_one * mean_two + smaller) / (mean_one**2 + mean_two**2 + smaller)
    return (luminance * (2 * shared + small) / (variances + small)).mean((1, 2))
