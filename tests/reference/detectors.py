"""What finds each cause of the synthetic benchmark without a net: textbook detectors, told where to look.

Each returns a score per trial that is larger for class 1.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, hilbert, sosfiltfilt


def _channel(data, name, values):
    return values[:, data.channel.values.tolist().index(name)]


def _rate(data):
    return 1 / float(data.time[1] - data.time[0])


def _band(data, low, high, course):
    return sosfiltfilt(butter(2, (low, high), "bandpass", fs=_rate(data), output="sos"), course)


def transients(data, values):
    """Matched filters for both bumps, after the noise was whitened by differences; the better one wins."""
    rate = _rate(data)
    steep, slow = round(0.04 * rate), round(0.28 * rate)
    bump = np.r_[np.sin(np.pi * np.arange(0.5, steep) / (2 * steep)) ** 2]
    bump = np.r_[bump, np.cos(np.pi * np.arange(0.5, slow) / (2 * slow)) ** 2]
    course = np.diff(_channel(data, "c2", values) + _channel(data, "c3", values))
    best = [[np.correlate(trial, np.diff(w)).max() for trial in course] for w in (bump, bump[::-1])]
    return np.subtract(best[1], best[0])


def frequencies(data, values):
    """Strongest moment at 20 Hz against the strongest at 10 Hz."""
    scores = []
    for low, high in ((8, 12), (18, 22)):
        envelopes = [
            np.abs(hilbert(_band(data, low, high, _channel(data, name, values)))) ** 2 for name in ("c4", "c5")
        ]
        scores.append(np.log(sum(envelopes).max(1)))
    return scores[1] - scores[0]


def delays(data, values):
    """Cross-covariance of c2 and c5 at the lag, one way against the other."""
    lag = round(0.03 * _rate(data))
    first, second = (_band(data, 2, 30, _channel(data, name, values)) for name in ("c2", "c5"))
    return (first[:, lag:] * second[:, :-lag]).sum(1) - (first[:, :-lag] * second[:, lag:]).sum(1)


def coupling(data, values):
    """Covariance of the slow rhythm in c3 with the envelope of the fast one in c6."""
    slow = _band(data, 4, 6, _channel(data, "c3", values))
    envelope = np.abs(hilbert(_band(data, 24, 40, _channel(data, "c6", values))))
    return -(slow * (envelope - envelope.mean(1, keepdims=True))).sum(1)


def sources(data, values):
    """Strongest moment beneath C4 against the strongest beneath C3, each less its neighbourhood."""
    scores = []
    for name, around in (("C3", ("F3", "P3", "Cz", "T7")), ("C4", ("F4", "P4", "Cz", "T8"))):
        local = _channel(data, name, values) - np.mean([_channel(data, other, values) for other in around], axis=0)
        scores.append(np.log((np.abs(hilbert(_band(data, 4, 11, local))) ** 2).max(1)))
    return scores[1] - scores[0]
