"""Spectrograms by loops over frames and matrices of cosines and sines, in double precision."""

from __future__ import annotations

import numpy as np


def hann(length):
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def frames_of(samples, n_fft, hop, center):
    """Frames (frame, n_fft) of one channel."""
    if center:
        samples = np.concatenate([np.zeros(n_fft // 2), samples, np.zeros(n_fft // 2)])
    return np.stack([samples[at : at + n_fft] for at in range(0, len(samples) - n_fft + 1, hop)])


def waves(n_fft):
    """Cosines and sines (n_fft, frequency)."""
    angle = 2 * np.pi * np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) / n_fft
    return np.cos(angle), -np.sin(angle)


def stft_power(samples, n_fft, hop, window, center=True):
    """Power (frequency, frame) of one channel."""
    frames = frames_of(samples, n_fft, hop, center) * window
    real, imaginary = (frames @ wave for wave in waves(n_fft))
    return (real**2 + imaginary**2).T


def stft_relevance(samples, n_fft, hop, window, relevance, center=True):
    """Relevance of samples from that of powers (frequency, frame): each bin in the parts its samples add to it."""
    cosines, sines = waves(n_fft)
    frames = frames_of(samples, n_fft, hop, center) * window
    half = n_fft // 2 if center else 0
    found = np.zeros(len(samples) + 2 * half)
    for number, frame in enumerate(frames):
        real, imaginary = frame @ cosines, frame @ sines
        power = real**2 + imaginary**2
        share = np.where(power > 0, relevance[:, number] / np.where(power > 0, power, 1), 0)
        for wave, sum_ in ((cosines, real), (sines, imaginary)):
            # The part of the power that is sum_ squared goes to the samples as they make up the sum.
            found[number * hop : number * hop + n_fft] += frame * (wave @ (share * sum_))
    return found[half : half + len(samples)]


def decibels(power, ref, amin, top_db):
    """Power in dB of one trial, with ref a number or "max"."""
    reference = power.max() if ref == "max" else ref
    out = 10 * np.log10(np.maximum(power, amin)) - 10 * np.log10(max(amin, reference))
    return out if top_db is None else np.maximum(out, out.max() - top_db)
