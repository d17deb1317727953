"""The share of relevance on harmonics, bin by bin, and the forward pass of CREPE, filter by filter."""

from __future__ import annotations

import math

import numpy as np


def on_harmonic(frequency, f0, tolerance, harmonics=None, shift=0.0):
    """Whether a frequency is within the tolerance of any harmonic."""
    if math.isnan(f0):
        return False
    number = harmonics if harmonics is not None else int(frequency / f0) + 3
    return any(abs(frequency - (h + shift) * f0) <= tolerance for h in range(1, number + 1))


def shares(relevance, signal, frequency, f0, tolerance, harmonics=None):
    """Shares of one trial, (channel, frequency, frame), f0 (frame,): of relevance, of bins, of the signal."""
    total, found = np.zeros(3), np.zeros(3)
    for channel in range(relevance.shape[0]):
        for k, hertz in enumerate(frequency):
            for frame, pitch in enumerate(f0):
                if math.isnan(pitch):
                    continue
                here = max(relevance[channel, k, frame], 0.0), 1.0, signal[channel, k, frame]
                total += here
                if on_harmonic(hertz, pitch, tolerance, harmonics):
                    found += here
    return found / total


def crepe(state, frame):
    """Logits of one frame (1024,) by published weights, every sample of every filter summed by itself."""
    x = frame[None]
    for layer in range(1, 7):
        get = {kind: state[f"conv{layer}.{kind}"].astype(np.float64) for kind in ("weight", "bias")}
        norm = {k: state[f"conv{layer}_BN.{k}"] for k in ("weight", "bias", "running_mean", "running_var")}
        kernel = get["weight"][..., 0]
        stride, (left, right) = (4, (254, 254)) if layer == 1 else (1, (31, 32))
        padded = np.concatenate([np.zeros((len(x), left)), x, np.zeros((len(x), right))], 1)
        length = (padded.shape[1] - kernel.shape[2]) // stride + 1
        maps = np.zeros((len(kernel), length))
        for sample in range(length):
            window = padded[:, sample * stride : sample * stride + kernel.shape[2]]
            for number, weights in enumerate(kernel):
                maps[number, sample] = (weights * window).sum() + get["bias"][number]
        maps = np.maximum(maps, 0)
        for number in range(len(maps)):
            scale = norm["weight"][number] / math.sqrt(norm["running_var"][number] + 1e-3)
            maps[number] = (maps[number] - norm["running_mean"][number]) * scale + norm["bias"][number]
        x = np.stack([maps[:, 2 * i : 2 * i + 2].max(1) for i in range(length // 2)], 1)
    flat = np.concatenate([x[:, instant] for instant in range(x.shape[1])])
    return state["classifier.weight"] @ flat + state["classifier.bias"]
