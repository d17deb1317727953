"""Similarity of maps and stability of their means by loops over single values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np


def ranks(values: Sequence[float]) -> list[float]:
    """From 1; equal values share the mean of their ranks."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def cosine(first: Sequence[float], second: Sequence[float]) -> float:
    products = sum(a * b for a, b in zip(first, second, strict=True))
    return products / math.sqrt(sum(a * a for a in first) * sum(b * b for b in second))


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    one, two = (sum(values) / len(values) for values in (first, second))
    return cosine([a - one for a in first], [b - two for b in second])


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    return correlation(ranks(first.ravel().tolist()), ranks(second.ravel().tolist()))


def ssim(first: np.ndarray, second: np.ndarray, side: int) -> float:
    """Mean over all windows within two pictures that are scaled to a largest absolute value of 1."""
    first, second = (picture / abs(picture).max() for picture in (first, second))
    found = []
    for row, column in product(*(range(size - side + 1) for size in first.shape)):
        one, two = (picture[row : row + side, column : column + side] for picture in (first, second))
        m1, m2, covariance = one.mean(), two.mean(), ((one - one.mean()) * (two - two.mean())).mean()
        same_mean = (2 * m1 * m2 + 0.02**2) / (m1**2 + m2**2 + 0.02**2)
        same_form = (2 * covariance + 0.06**2) / (one.var() + two.var() + 0.06**2)
        found.append(same_mean * same_form)
    return float(np.mean(found))


def entropy(values: np.ndarray, bins: int) -> float:
    low, high = values.min(), values.max()
    counts = [0] * bins
    for value in values.ravel():
        # the largest value belongs to the last bin
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    return -sum(count / values.size * math.log(count / values.size) for count in counts if count)
