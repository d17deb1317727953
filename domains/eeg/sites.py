"""Which electrodes lie near a place of the 10-10 system, whatever they are called, and as large places elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from .regions import directions, ten_ten

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_MIDLINE = 0.1


def electrodes(signal: xr.DataArray | xr.Dataset, places: Sequence[str], within: float = 13.0) -> list[str]:
    """Names of the electrodes at some places of the 10-10 system or near them, in the order of the signal.

    Parameters
    ----------
    signal : xarray.DataArray or xarray.Dataset
        With positions x, y, z (head frame, m) along channel, or with channel names of the 10-10 system.
    places : sequence of str
        Such as "C3"; places of 64 electrodes are some 20 degrees apart.
    within : float
        Angle in degrees, seen from the middle of the head, at which an electrode still belongs to a place.

    Returns
    -------
    list of str
        Empty where there is none.

    Raises
    ------
    ValueError
        If a place is unknown, or an electrode has neither a position nor a name of the 10-10 system.
    """
    known, towards = ten_ten()
    unknown = [place for place in places if place not in known]
    if unknown:
        raise ValueError(f"There is no place {unknown[0]!r} in the 10-10 system; choose of {', '.join(known)}.")
    wanted = towards[[known.index(place) for place in places]]
    # channels that are no EEG have no direction, and NaN is never near
    near = (angles(signal, wanted) <= within).any(1)
    return [str(name) for name in signal["channel"].values[near]]


def angles(signal: xr.DataArray | xr.Dataset, towards: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Angle in degrees between every electrode and some directions (direction, 3), (channel, direction)."""
    return np.rad2deg(np.arccos(np.clip(directions(signal) @ towards.T, -1, 1)))


def placed(signal: xr.DataArray | xr.Dataset) -> bool:
    """Whether it is known where the electrodes are, by position or by name."""
    try:
        directions(signal)
    except ValueError:
        return False
    return True


def patches_of(chosen: Numbers, towards: Values) -> list[Numbers]:
    """Part electrodes into those on the left, on the midline and on the right, as far as there are any."""
    x = towards[chosen, 0]
    parts = (chosen[x < -_MIDLINE], chosen[np.abs(x) <= _MIDLINE], chosen[x > _MIDLINE])
    return [part for part in parts if len(part)]


def random_patches(sizes: list[int], towards: Values, rng: np.random.Generator) -> list[Numbers]:
    """Patches of so many electrodes each: one at random among those not taken yet, and those nearest to it."""
    free = np.array(np.isfinite(towards).all(axis=1), dtype=bool)
    found = []
    for size in sizes:
        left = np.flatnonzero(free)
        centre = towards[rng.choice(left)]
        patch = left[np.argsort(-(towards[left] @ centre), kind="stable")[:size]]
        free[patch] = False
        found.append(patch)
    return found


def mirrored(patch: Numbers, towards: Values) -> Numbers:
    """The electrodes on the other side, one for each, nearest to the mirror image of the patch as a whole."""
    image = towards[patch] * [-1, 1, 1]
    nearness = np.where(np.isfinite(towards).all(1), (towards @ image.T).max(1), -np.inf)
    nearness[patch] = -np.inf
    return np.argsort(-nearness, kind="stable")[: len(patch)]


def random_shares(share: Values, chosen: Numbers, instants: int, towards: Values, draws: int, seed: int) -> Values:
    """What a map (channel, time) holds in random places of the size and number of patches of `chosen`, (draw,).

    A place is as long as `instants` and begins at any instant at which it ends within the map.
    """
    rng = np.random.default_rng(seed)
    sizes = [len(patch) for patch in patches_of(chosen, towards)]
    totals = np.cumsum(np.pad(share, ((0, 0), (1, 0))), axis=1)
    windows = totals[:, instants:] - totals[:, :-instants]
    found = np.empty(draws)
    for draw in range(draws):
        patches = np.concatenate(random_patches(sizes, towards, rng))
        found[draw] = windows[patches, rng.integers(windows.shape[1])].sum()
    return found
