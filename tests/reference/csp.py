"""Relevance of CSP and LDA by loops, straight from its definition."""

from __future__ import annotations

import math

import numpy as np


def csp_relevance(filters, typical, weight, x, target, log=True, training=None):
    """Return relevance (trial, channel, time), relative to the average of training trials where these are given.

    Component k with the power p in a trial and g in the average trial adds ``a (log p - log g)``, which is
    ``a s (p - g)`` with the slope s. A power is the mean over time of ``s(t) sum_c w_c x_c(t)``.
    """
    result = np.zeros_like(x)
    average = np.zeros((len(filters), *x.shape[1:]))
    if training is not None:
        for k, w in enumerate(filters):
            for trial in training:
                average[k] += shares(w, trial) / len(training)
            average[k] *= typical[k] / average[k].sum()
    for n, trial in enumerate(x):
        for k, w in enumerate(filters):
            parts = shares(w, trial)
            power = parts.sum()
            change = math.log(power / typical[k]) if log else power / typical[k] - 1
            slope = change / (power - typical[k])
            result[n] += weight[target[n], k] * slope * (parts - average[k])
    return result


def shares(w, trial):
    """Return what every channel and instant adds to the mean square of a spatial filter's output."""
    channels, times = trial.shape
    parts = np.zeros_like(trial)
    for t in range(times):
        source = sum(w[c] * trial[c, t] for c in range(channels))
        for c in range(channels):
            parts[c, t] = w[c] * trial[c, t] * source / times
    return parts
