"""What a cause hides in: noise as biosignals have it, of variance 1 in every channel."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Background = Literal["pink", "ar"]
Array = NDArray[np.float64]

BACKGROUNDS: tuple[Background, ...] = ("pink", "ar")
LINE, DRIFT = 0.05, 0.15
"""Shares of the line noise and of the slow drift in the variance of the background."""

_EXPONENT = 1.0
_COUPLING = 0.8
_AR = 0.9
_LINE_HZ = 50.0


def background(
    rng: np.random.Generator, subject: NDArray[np.int64], channels: int, samples: int, rate: float, kind: Background
) -> Array:
    """Background (trial, channel, time) of expected variance 1, in units of its standard deviation.

    Coloured noise, mixed across channels by a random matrix of each subject, line noise of 50 Hz in random
    phase and drift slower than the trial.

    Parameters
    ----------
    rng
        Source of everything random.
    subject
        Whose every trial is, counted from 0.
    channels, samples
        Size of a trial.
    rate
        Samples per second.
    kind
        ``"pink"``, power falling as 1/f, or ``"ar"``, autoregressive of the first order with coefficient 0.9.
    """
    trials, subjects = len(subject), int(subject.max()) + 1
    noise = (pink if kind == "pink" else autoregressive)(rng, (trials, channels, samples))
    mixing = np.eye(channels) + _COUPLING * rng.normal(size=(subjects, channels, channels)) / np.sqrt(channels)
    mixing /= np.linalg.norm(mixing, axis=2, keepdims=True)
    noise = np.einsum("tij,tjs->tis", mixing[subject], noise)
    time = np.arange(samples) / rate
    # The mains reach every channel with the same phase, and with a strength that a person's wiring decides.
    strength = rng.rayleigh(1, size=(subjects, channels))[subject]
    phase = rng.uniform(0, 2 * np.pi, size=trials)
    line = strength[..., None] * np.cos(2 * np.pi * _LINE_HZ * time + phase[:, None])[:, None]
    cycles = rng.uniform(0.1, 0.5, size=(trials, channels, 1))
    start = rng.uniform(0, 2 * np.pi, size=(trials, channels, 1))
    drift = np.sqrt(2) * np.cos(2 * np.pi * cycles * np.arange(samples) / samples + start)
    return np.sqrt(1 - LINE - DRIFT) * noise + np.sqrt(LINE) * line + np.sqrt(DRIFT) * drift


def pink(rng: np.random.Generator, shape: tuple[int, ...], exponent: float = _EXPONENT) -> Array:
    """Gaussian noise along the last dimension, power as 1/f^exponent, of expected variance 1 and mean 0."""
    # Twice as long as needed: what comes by FFT is periodic, signals are not.
    length = 2 * shape[-1]
    frequency = np.fft.rfftfreq(length)
    gain = np.zeros_like(frequency)
    gain[1:] = frequency[1:] ** (-exponent / 2)
    both_sides = np.full(len(gain), 2.0)
    both_sides[[0, -1]] = 1.0
    gain /= np.sqrt((both_sides * gain**2).sum() / length)
    white = rng.normal(size=(*shape[:-1], length))
    return np.fft.irfft(np.fft.rfft(white) * gain, length)[..., : shape[-1]]


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], coefficient: float = _AR) -> Array:
    """Gaussian noise x[t] = coefficient · x[t − 1] + innovation along the last dimension, stationary, of variance 1."""
    innovation = np.sqrt(1 - coefficient**2) * rng.normal(size=shape)
    innovation[..., 0] /= np.sqrt(1 - coefficient**2)
    return lfilter([1.0], [1.0, -coefficient], innovation)
