"""How far the relevance of a trial lies from that of correctly classified trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

AXES = 20
_TRIALS_PER_AXIS = 5
_LONGEST = 2.0


class Typicality(NamedTuple):
    """What `typicality` returns; everything is (trial, group).

    Attributes
    ----------
    distance
        Mahalanobis distance from the mean map of the group, as a multiple of the median distance of members from
        their own group.
    p
        Share of the members, the trial itself included, that lie at least as far from their group: small where a
        trial is unlike the group.
    cosine
        Cosine similarity of the whole map with the mean map of the group, which knows no size.
    """

    distance: Values
    p: Values
    cosine: Values


def typicality(maps: npt.ArrayLike, group: npt.ArrayLike, axes: int = AXES) -> Typicality:
    """Compare maps of trials with groups of trials, never a trial with itself.

    Maps are seen in a space of few dimensions: along the principal axes of all trials, and by the length of what is
    left, so that what no axis shows is not lost. The axes are those of all trials alike, members of a group or not,
    so that none is favoured. Distances there are Mahalanobis', in the covariance within groups, shrunk towards a sphere
    as Ledoit and Wolf (2004), doi:10.1016/S0047-259X(03)00096-4, advise. They are robust: to axes, means and
    covariance no map contributes with more than twice the median length. A member is left out of the mean of its
    group and of the covariance before it is compared.

    Parameters
    ----------
    maps : array_like, shape (trial, ...)
        Maps, none of them zero.
    group : array_like of int, shape (trial,)
        Group of every trial from 0 on, or -1 for trials that are compared and are themselves no standard.
    axes : int
        How many principal axes, at most one for five members.

    Raises
    ------
    ValueError
        If a group has fewer than three trials, a map is zero, or all maps are the same.
    """
    x, group = _flat(maps), np.asarray(group)
    sizes = np.bincount(group[group >= 0])
    if not len(sizes) or sizes.min() < 3:
        raise ValueError(f"The groups have {sizes.tolist()} trials; each needs at least three to be a standard.")
    products = x @ x.T
    lengths = np.sqrt(np.diag(products))
    members = np.flatnonzero(group >= 0)
    part = np.minimum(1, _LONGEST * np.median(lengths[members]) / lengths)
    seen = _few_dimensions(products, part, max(1, min(axes, len(members) // _TRIALS_PER_AXIS)))
    distance = np.empty((len(x), len(sizes)))
    outside = np.flatnonzero(group < 0)
    distance[outside] = _distances(seen[outside], seen * part[:, None], group)
    for i in members:
        rest = np.where(np.arange(len(x)) == i, -1, group)
        distance[i] = _distances(seen[i : i + 1], seen * part[:, None], rest)[0]
    distance /= np.median(distance[members, group[members]])
    p = np.empty_like(distance)
    for number, size in enumerate(sizes):
        mine = group == number
        standard = np.sort(distance[mine, number])
        at_least = size - np.searchsorted(standard, distance[:, number] * (1 - 1e-12))
        # a member counts itself already; anyone else joins the members
        p[:, number] = (at_least + ~mine) / (size + ~mine)
    return Typicality(distance, p, _cosines(products, part, group))


def _few_dimensions(products: Values, part: Values, axes: int) -> Values:
    """Maps along the principal axes of all trials, and the length of what is left, (trial, axes + 1).

    Axes are weighted sums of the maps, so that only the products of maps with each other are needed.
    """
    centred = np.diag(part) - np.outer(np.ones(len(part)), part / len(part))
    values, vectors = np.linalg.eigh(centred @ products @ centred.T)
    kept = np.flatnonzero(values > values[-1] * 1e-12)[::-1][:axes]
    if values[-1] <= 1e-12 * np.trace(products):
        raise ValueError("All maps are the same, so that none can be unusual.")
    weights = (vectors[:, kept] / np.sqrt(values[kept])).T @ centred
    mean = part / len(part)
    along = products @ weights.T - mean @ products @ weights.T
    squared = np.diag(products) - 2 * products @ mean + mean @ products @ mean
    rest = np.sqrt(np.maximum(squared - (along**2).sum(1), 0))
    return np.column_stack([along, rest])


def _distances(x: Values, contributions: Values, group: npt.NDArray[np.int64]) -> Values:
    """Mahalanobis distance (trial, group) from the means of groups, in the shrunk covariance within them."""
    means = np.stack([contributions[group == number].mean(0) for number in range(group.max() + 1)])
    members = group >= 0
    centred = contributions[members] - means[group[members]]
    covariance = _shrunk(centred, len(centred) - len(means))
    away = x[:, None] - means
    return np.sqrt((away * np.linalg.solve(covariance, away.reshape(-1, x.shape[1]).T).T.reshape(away.shape)).sum(-1))


def _shrunk(centred: Values, freedom: int) -> Values:
    count, dimensions = centred.shape
    products = centred.T @ centred
    sphere = np.trace(products) / dimensions
    scatter = (products**2).sum() / dimensions - sphere**2
    noise = (((centred**2).sum(1) ** 2).sum() - (products**2).sum() / count) / dimensions
    weight = min(1.0, max(noise / scatter, 1e-6)) if scatter > 0 else 1.0
    return ((1 - weight) * products + weight * sphere * np.eye(dimensions)) / freedom


def _cosines(products: Values, part: Values, group: npt.NDArray[np.int64]) -> Values:
    """Cosine similarity with the mean of each group, its own without the trial itself."""
    lengths = np.sqrt(np.diag(products))
    found = np.empty((len(part), group.max() + 1))
    for number in range(found.shape[1]):
        mine = group == number
        total = np.where(mine, part, 0.0)
        with_total, square = products @ total, total @ products @ total
        # of a member, its own contribution is taken off the sum of the group
        own = np.where(mine, part * lengths, 0.0)
        left = square - 2 * own / lengths * with_total + own**2
        norms = lengths * np.sqrt(np.maximum(left, 0))
        known = norms > 1e-12 * lengths.max() ** 2
        found[:, number] = np.divide(with_total - own * lengths, norms, out=np.zeros_like(norms), where=known)
    return found


def _flat(maps: npt.ArrayLike) -> Values:
    x = np.asarray(maps, dtype=np.float64)
    x = x.reshape(len(x), -1)
    zero = ~x.any(1)
    if zero.any():
        raise ValueError(f"The map of trial {int(zero.argmax())} is zero and resembles nothing; leave it out.")
    return x
