"""Permutation tests by lists and loops, every sign pattern spelled out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import combinations, product

import numpy as np


def t_value(values: np.ndarray) -> float:
    """Student's t of a mean against 0; 0 where all is 0, infinite where all is the same and not 0."""
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    if squares <= 1e-24 * sum(value**2 for value in values):
        return 0.0 if mean == 0 else float(np.inf * np.sign(mean))
    return mean / np.sqrt(squares / (len(values) - 1) / len(values))


def sign_patterns(count: int) -> list[np.ndarray]:
    return [np.array(pattern) for pattern in product((1, -1), repeat=count)]


def reaches(value: float, observed: float) -> bool:
    return bool(value == observed or value >= observed - 1e-9 * abs(observed))


def max_t_p(columns: list[np.ndarray]) -> list[float]:
    """Step-down max-t: the strongest column against the maximum of all, the next against that of the rest, …"""
    observed = [abs(t_value(column)) for column in columns]
    order = sorted(range(len(columns)), key=lambda column: -observed[column])
    patterns = sign_patterns(len(columns[0]))
    p = [0.0] * len(columns)
    so_far = 0.0
    for place, column in enumerate(order):
        rest = order[place:]
        hits = [
            reaches(max(abs(t_value(signs * columns[other])) for other in rest), observed[column]) for signs in patterns
        ]
        so_far = max(so_far, sum(hits) / len(patterns))
        p[column] = so_far
    return p


def holm_p(p: list[float]) -> list[float]:
    """The smallest level at which Holm's procedure, followed step by step, rejects each hypothesis."""

    def rejected(level: float) -> set[int]:
        found: set[int] = set()
        for place, number in enumerate(sorted(range(len(p)), key=lambda other: p[other])):
            if p[number] > level / (len(p) - place):
                break
            found.add(number)
        return found

    levels = sorted({min(1.0, value * factor) for value in p for factor in range(1, len(p) + 1)})
    return [
        next((level for level in levels if number in rejected(level * (1 + 1e-12))), 1.0) for number in range(len(p))
    ]


Place = tuple[int, ...]
Cluster = tuple[frozenset[Place], float]


def two_sample_t(first: np.ndarray, second: np.ndarray) -> float:
    squares = sum((first - first.mean()) ** 2) + sum((second - second.mean()) ** 2)
    variance = squares / (len(first) + len(second) - 2)
    return (first.mean() - second.mean()) / np.sqrt(variance * (1 / len(first) + 1 / len(second)))


def find_clusters(t: np.ndarray, threshold: float, tail: int, touches: Callable[[Place, Place], bool]) -> list[Cluster]:
    """Grow every cluster from its first place, one neighbour after another."""
    found: list[Cluster] = []
    for sign in {0: (1, -1), 1: (1,), -1: (-1,)}[tail]:
        left = {place for place in np.ndindex(t.shape) if sign * t[place] > threshold}
        while left:
            cluster, edge = set(), [left.pop()]
            while edge:
                here = edge.pop()
                cluster.add(here)
                near = {there for there in left if touches(here, there)}
                left -= near
                edge += near
            found.append((frozenset(cluster), sum(t[place] for place in cluster)))
    return found


def lattice(*along: int) -> Callable[[Place, Place], bool]:
    """Neighbours are one step apart along one of these axes and equal along all others."""

    def touches(one: Place, two: Place) -> bool:
        steps = [abs(a - b) for a, b in zip(one, two, strict=True)]
        return sum(steps) == 1 and steps.index(1) in along

    return touches


def cluster_p(
    t: np.ndarray, chance: Iterable[np.ndarray], threshold: float, tail: int, touches: Callable[[Place, Place], bool]
) -> dict[frozenset[Place], tuple[float, float]]:
    """Mass and p of every cluster of a map of t, given the maps of t of all arrangements."""
    largest = [max([abs(m) for _, m in find_clusters(u, threshold, tail, touches)], default=0.0) for u in chance]
    return {
        places: (mass, float(np.mean([reaches(value, abs(mass)) for value in largest])))
        for places, mass in find_clusters(t, threshold, tail, touches)
    }


def t_map(units: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """t at every place of maps (unit, …), against 0 or against those of others."""
    result = np.empty(units.shape[1:])
    for place in np.ndindex(result.shape):
        here = units[:, *place]
        result[place] = t_value(here) if others is None else two_sample_t(here, others[:, *place])
    return result


def exchanges(units: np.ndarray, first: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every division of the units into `first` and the rest."""
    everyone = set(range(len(units)))
    chosen = [list(choice) for choice in combinations(range(len(units)), first)]
    return [(units[choice], units[sorted(everyone - set(choice))]) for choice in chosen]
