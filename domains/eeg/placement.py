"""The same amount of scalp and time somewhere else: what a place is worth against places taken at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_MIDLINE = 0.1


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
