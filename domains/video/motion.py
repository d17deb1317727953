"""What moves in a clip and what merely stands out, and which of the two relevance follows.

The flow is that of Lucas and Kanade (1981, IJCAI, 674-679), from coarse to fine (Bouguet 2001): the displacement that
explains best, in a Gaussian window around each place, how one frame becomes the next. Where a window has no texture no
displacement can be told; a ridge lets it be 0 there, and along edges it is the displacement across the edge (the
aperture problem). Whatever changes has some displacement that fits it best; so that noise, flicker and what is
uncovered do not count as fast, each is multiplied by the share of the squared change in its window that it explains.
Displacements beyond a few pixels a frame of what is small are missed. The motion energy, how much the luminance of a
place changes from frame to frame, assumes less, and counts flicker and cuts as motion too.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.stats import rankdata

from signalrp.places import same_places
from signalrp.validation import bootstrap_interval, paired_difference
from signalrp.validation.checks import labelled_array
from signalrp.validation.statistics import trial_clusters

from .frames import Part, over_colours, per_place_and_time

__all__ = ["luminance", "motion_magnitude", "moving_or_static", "static_contrast"]

Values = npt.NDArray[np.float64]

_WEIGHTS = {"red": 0.299, "green": 0.587, "blue": 0.114}
"""Of the colours in luminance (ITU-R BT.601)."""
_SMALLEST = 12
"""Pixels of the shorter side below which frames are not halved again."""
_LEVELS = 3
_ROUNDS = 3
_RIDGE = 0.01
"""Share of the mean squared gradient of a pair of frames."""


def luminance(signal: xr.DataArray) -> xr.DataArray:
    """Brightness of every place, (trial, frame, row, column): the weighted sum of red, green and blue.

    Parameters
    ----------
    signal : xarray.DataArray
        Over trial, frame, row, column, and perhaps rgb: three colours, in the order red, green, blue unless the
        coordinate names them otherwise. Other numbers of colours are averaged.

    Raises
    ------
    ValueError
        If these are no clips.
    """
    if "rgb" not in signal.dims:
        return over_colours(signal)
    names = [str(name) for name in signal["rgb"].values] if "rgb" in signal.coords else list(_WEIGHTS)
    count = signal.sizes["rgb"]
    known = count == len(_WEIGHTS) and set(names) == set(_WEIGHTS)
    weights = [_WEIGHTS[name] for name in names] if known else [1 / count] * count
    return over_colours(signal.astype(np.float64) * xr.DataArray(weights, dims="rgb"))


def motion_magnitude(
    signal: xr.DataArray, method: Literal["flow", "energy"] = "flow", sigma: float = 1.5
) -> xr.DataArray:
    """How much moves at every place of every frame, (trial, frame, row, column).

    Parameters
    ----------
    signal : xarray.DataArray
        See `luminance`.
    method : {"flow", "energy"}
        Magnitude of the optical flow in pixels per frame, or of the change of luminance from frame to frame in the
        units of the signal; see the module's description. The mean of the way from the frame before and of that to the
        frame after, of which the first and the last frame have one only.
    sigma : float
        Standard deviation of the window, pixels.

    Raises
    ------
    ValueError
        If these are no clips of two frames or more and 3 × 3 pixels or more, the window has no extent, or there is no
        such method.
    """
    light = luminance(signal)
    _check_window(sigma)
    if method not in ("flow", "energy"):
        raise ValueError(f'method is {method!r}; choose "flow" or "energy".')
    _, frames, rows, columns = light.shape
    if frames < 2 or min(rows, columns) < 3:
        raise ValueError(
            f"The clips have {frames} frames of {rows} × {columns} pixels; motion needs two frames of 3 × 3 or more."
        )
    found = np.empty(light.shape)
    for number, clip in enumerate(light.values):
        if method == "energy":
            change = gaussian_filter(np.abs(np.diff(clip, axis=0)), (0, sigma, sigma))
            before, after = change, change
        else:
            before = np.hypot(*_flow(clip[1:], clip[:-1], sigma))
            after = np.hypot(*_flow(clip[:-1], clip[1:], sigma))
        found[number, 0], found[number, -1] = after[0], before[-1]
        found[number, 1:-1] = (before[:-1] + after[1:]) / 2
    units = "pixels / frame" if method == "flow" else str(signal.attrs.get("units", "1"))
    name = "optical flow" if method == "flow" else "motion energy"
    return light.copy(data=found).rename(name).assign_attrs(units=units, long_name=name)


def static_contrast(signal: xr.DataArray, sigma: float = 1.5) -> xr.DataArray:
    """What stands out in a still: the standard deviation of luminance around each place, (trial, frame, row, column).

    Parameters
    ----------
    signal, sigma
        See `motion_magnitude`.

    Raises
    ------
    ValueError
        If these are no clips, or the window has no extent.
    """
    light = luminance(signal)
    _check_window(sigma)
    window = (0, 0, sigma, sigma)
    # a constant added to a frame does not change its contrast, but would its rounding
    centred = light.values - light.values.mean((2, 3), keepdims=True)
    variance = gaussian_filter(centred**2, window) - gaussian_filter(centred, window) ** 2
    found = light.copy(data=np.sqrt(variance.clip(min=0))).rename("contrast")
    return found.assign_attrs(units=str(signal.attrs.get("units", "1")), long_name="static contrast")


def moving_or_static(
    explanation: xr.Dataset,
    part: Part = "positive",
    *,
    motion: xr.DataArray | None = None,
    over: Literal["places", "frames"] = "places",
    sigma: float = 1.5,
    subject: str | npt.ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Does relevance follow what moves, or what stands out in every still?

    Within each clip, Spearman's correlation over all places and frames of relevance, in the same window, with motion
    and with static contrast; and partial ones, since what moves has edges. The chance level is the same clip's
    correlation with the motion and the contrast of other subjects' clips, which share its position and nothing else.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of clips, with ``signal`` and ``relevance``.
    part : {"positive", "negative", "absolute"}
        What counts of the relevance.
    motion : xarray.DataArray, shape (trial, frame, row, column), optional
        By default `motion_magnitude` of the signal.
    over : {"places", "frames"}
        Correlate over places in time, or over the frames after sums over their places.
    sigma : float
        Standard deviation of the window, pixels.
    subject : str or array_like, optional
        Coordinate along trial, or values, by which clips are clustered; by default the coordinate ``subject``, else
        each clip by itself.
    seed : int
        Of intervals and tests.

    Returns
    -------
    pandas.DataFrame
        A row for each ``evidence``: "motion", "contrast", "motion beyond contrast", "contrast beyond motion" (partial
        correlations), and "motion minus contrast", the difference of the first two. ``correlation``, its mean over
        clips, with ``low`` and ``high``; ``chance``; and the two-sided ``p`` of no difference from chance
        (`signalrp.validation.paired_difference`).

    Raises
    ------
    ValueError
        If a clip has no relevance that counts, no motion or no contrast, all clips are of one subject, or as in
        `motion_magnitude`.
    """
    _check_window(sigma)
    if over not in ("places", "frames"):
        raise ValueError(f'over is {over!r}; choose "places" or "frames".')
    signal = labelled_array(explanation, "signal")
    smooth = per_place_and_time(explanation, part)
    smooth = smooth.copy(data=gaussian_filter(smooth.values, (0, 0, sigma, sigma)))
    motion = motion_magnitude(signal, sigma=sigma) if motion is None else over_colours(motion)
    same_places(motion, smooth, "Motion", of="relevance")
    maps = {f"{part} relevance": smooth, "motion": motion, "contrast": static_contrast(signal, sigma)}
    relevance, moving, still = (_ranks(values, name, over) for name, values in maps.items())
    subjects = trial_clusters(explanation, subject)
    names = np.arange(len(signal)) if subjects is None else subjects
    # (clip whose relevance it is, clip whose motion or contrast it is)
    with_motion, with_contrast = relevance @ moving.T, relevance @ still.T
    both = (moving * still).sum(1)
    found = {
        "motion": with_motion,
        "contrast": with_contrast,
        "motion beyond contrast": _partial(with_motion, with_contrast, both),
        "contrast beyond motion": _partial(with_contrast, with_motion, both),
        "motion minus contrast": with_motion - with_contrast,
    }
    others = names[:, None] != names
    rows = []
    for evidence, table in found.items():
        own = table.diagonal()
        interval = bootstrap_interval(own, names, seed=seed)
        chance = (table * others).sum(1) / others.sum(1)
        p = paired_difference(own, chance, names, seed=seed).p
        rows.append((evidence, *map(float, interval), float(chance.mean()), p))
    return pd.DataFrame(rows, columns=["evidence", "correlation", "low", "high", "chance", "p"])


def _ranks(maps: xr.DataArray, name: str, over: str) -> Values:
    """Ranks within each clip (trial, place), of mean 0 and length 1, so that their products are correlations."""
    values = (maps.sum(["row", "column"]) if over == "frames" else maps).values
    ranks = rankdata(values.reshape(len(values), -1), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    if not length.all():
        raise ValueError(
            f"In clip {int(length[:, 0].argmin())} {name} is the same everywhere, so that nothing can follow it; leave "
            "such clips out."
        )
    return np.asarray(ranks / length)


def _partial(one: Values, other: Values, both: Values) -> Values:
    """Partial correlations from those with `one` and with `other`, given the correlation of the two."""
    left = (1 - other**2) * (1 - both**2)
    if (left < 1e-12).any():
        raise ValueError("Motion, contrast or relevance are ranked the same; there is nothing of one beyond the other.")
    return np.asarray((one - other * both) / np.sqrt(left))


def _flow(first: Values, second: Values, sigma: float) -> tuple[Values, Values]:
    """Displacement along row and column, (pair, row, column), that takes `first` to `second`."""
    pyramid = [(first, second)]
    while len(pyramid) < _LEVELS and min(pyramid[-1][0].shape[1:]) >= 2 * _SMALLEST:
        pyramid.append((_halved(pyramid[-1][0]), _halved(pyramid[-1][1])))
    down = right = np.zeros_like(pyramid[-1][0])
    for one, two in reversed(pyramid):
        if one.shape != down.shape:
            pair, row, column = np.indices(one.shape, dtype=np.float64)
            place = (pair, row / 2, column / 2)
            down, right = (2 * map_coordinates(way, place, order=1, mode="nearest") for way in (down, right))
        down, right = _refined(one, two, down, right, sigma)
    explained = _explained(first, second, down, right, sigma)
    return down * explained, right * explained


def _explained(first: Values, second: Values, down: Values, right: Values, sigma: float) -> Values:
    """Share of the squared change around each place that the displacement explains, 0 where there is no change."""
    pair, row, column = np.indices(first.shape, dtype=np.float64)
    left = map_coordinates(second, (pair, row + down, column + right), order=1, mode="nearest") - first
    window = (0, sigma, sigma)
    change, left = gaussian_filter((second - first) ** 2, window), gaussian_filter(left**2, window)
    return np.asarray(1 - np.divide(left, change, out=np.ones_like(left), where=change > 0)).clip(0, 1)


def _refined(one: Values, two: Values, down: Values, right: Values, sigma: float) -> tuple[Values, Values]:
    """Displacements after some rounds of least squares, each of which moves a place by at most a pixel."""
    along_row, along_column = (np.asarray(np.gradient(one, axis=axis)) for axis in (1, 2))
    pair, row, column = np.indices(one.shape, dtype=np.float64)

    def window(values: Values) -> Values:
        return np.asarray(gaussian_filter(values, (0, sigma, sigma)))

    rr, cc, rc = window(along_row**2), window(along_column**2), window(along_row * along_column)
    ridge = _RIDGE * (rr + cc).mean((1, 2), keepdims=True)
    rr, cc = rr + ridge, cc + ridge
    determinant = rr * cc - rc**2
    # frames without any gradient have no flow
    determinant[determinant <= 0] = np.inf
    for _ in range(_ROUNDS):
        change = map_coordinates(two, (pair, row + down, column + right), order=1, mode="nearest") - one
        r, c = window(along_row * change), window(along_column * change)
        down = down - ((cc * r - rc * c) / determinant).clip(-1, 1)
        right = right - ((rr * c - rc * r) / determinant).clip(-1, 1)
    return down, right


def _halved(frames: Values) -> Values:
    return np.asarray(gaussian_filter(frames, (0, 1, 1))[:, ::2, ::2])


def _check_window(sigma: float) -> None:
    if not sigma > 0:
        raise ValueError(f"The window's sigma is {sigma:g} pixels; give a positive number.")
