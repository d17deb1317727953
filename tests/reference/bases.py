"""Transforms written out as matrices, number by number, and relevance shared among what each coefficient adds.

``analysis`` (coefficients, samples) and ``synthesis`` (samples, coefficients), complex where coefficients are: the
signal is the real part of ``synthesis @ coefficients``.
"""

from __future__ import annotations

import cmath
import math

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def dft(n: int) -> Pair:
    """Frequencies from 0 to Nyquist, each with its negative twin in the synthesis where it has one."""
    bins = n // 2 + 1
    analysis, synthesis = np.zeros((bins, n), complex), np.zeros((n, bins), complex)
    for k in range(bins):
        twins = 1 if k == 0 or 2 * k == n else 2
        for t in range(n):
            analysis[k, t] = cmath.exp(-2j * math.pi * k * t / n)
            synthesis[t, k] = twins * cmath.exp(2j * math.pi * k * t / n) / n
    return analysis, synthesis


def dct(n: int) -> Pair:
    """Type II, orthonormal."""
    analysis = np.zeros((n, n))
    for k in range(n):
        for t in range(n):
            scale = math.sqrt((1 if k == 0 else 2) / n)
            analysis[k, t] = scale * math.cos(math.pi * (2 * t + 1) * k / (2 * n))
    return analysis, analysis.T.copy()


def frame_starts(n: int, length: int, hop: int) -> list[int]:
    """First samples of all frames that share one with the signal, where one frame is centred on sample 0."""
    return [p * hop - length // 2 for p in range(-n - length, n + length) if -length < p * hop - length // 2 < n]


def stft(n: int, window: np.ndarray, hop: int) -> Pair:
    """Coefficients in the order frequency, frame; beyond the ends of the signal there are zeros."""
    length = len(window)
    bins, starts = length // 2 + 1, frame_starts(n, length, hop)
    analysis = np.zeros((bins * len(starts), n), complex)
    synthesis = np.zeros((n, bins * len(starts)), complex)
    for t in range(n):
        seen = sum(window[t - s] ** 2 for s in starts if 0 <= t - s < length)
        for k in range(bins):
            twins = 1 if k == 0 or 2 * k == length else 2
            for f, s in enumerate(starts):
                if 0 <= t - s < length:
                    turn = cmath.exp(2j * math.pi * k * (t - s) / length)
                    analysis[k * len(starts) + f, t] = window[t - s] / turn
                    synthesis[t, k * len(starts) + f] = window[t - s] * twins * turn / length / seen
    return analysis, synthesis


def relevance(x: np.ndarray, per_unit: np.ndarray, pair: Pair) -> np.ndarray:
    """Relevance (coefficients) of one signal (samples): of every sample the part that a coefficient adds to it."""
    analysis, synthesis = pair
    coefficients = analysis @ x
    result = np.zeros(len(coefficients))
    for j, coefficient in enumerate(coefficients):
        for t, c in enumerate(per_unit):
            result[j] += c * (synthesis[t, j] * coefficient).real
    return result
