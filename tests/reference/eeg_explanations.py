"""Explanations of EEG whose every number is known: noise on real caps, relevance its product with random weights."""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np
import xarray as xr

from signalrp.signals import labelled_signal

MUSE = ("TP9", "AF7", "AF8", "TP10")


def explanation(
    channels: Sequence[str] | None = None,
    cap: str = "biosemi32",
    *,
    trials: int = 12,
    times: int = 90,
    rate: float = 128.0,
    start: float = -25 / 128,
    place: bool = True,
    seed: int = 0,
) -> xr.Dataset:
    """Two classes, "face" and "house"; the last two trials are taken for the other class. Channels by default all."""
    montage = mne.channels.make_standard_montage(cap)
    names = list(montage.ch_names if channels is None else channels)
    rng = np.random.default_rng(seed)
    label = np.arange(trials) % 2
    # not normal, so that an ICA finds something
    x = 1e-5 * rng.laplace(size=(trials, len(names), times))
    c = rng.normal(size=x.shape) * 10 ** rng.uniform(1, 4, size=(len(names), 1))
    people = {"label": label, "subject": np.where(np.arange(trials) < trials // 2, "S01", "S02")}
    attrs = {"sfreq": rate, "classes": "face | house", "lowpass": 40.0}
    time = start + np.arange(times) / rate
    signal = labelled_signal(x, names, time, "s", "V", people, name="EEG", **attrs)
    if place:
        info = mne.create_info(names, rate, "eeg").set_montage(montage)
        places = np.array([channel["loc"][:3] for channel in info["chs"]])
        signal = signal.assign_coords({axis: ("channel", places[:, i], {"units": "m"}) for i, axis in enumerate("xyz")})
    target = label.copy()
    target[-2:] = 1 - target[-2:]
    output = np.where(np.arange(2) == target[:, None], 1.0, -1.0) + 0.1 * rng.normal(size=(trials, 2))
    return xr.Dataset(
        {
            "signal": signal.variable,
            "relevance": (signal.dims, x * c, {"units": "relevance"}),
            "per_unit": (signal.dims, c),
            "output": (("trial", "class"), output),
            "target": ("trial", target),
            "explained": ("trial", output.max(1)),
            "label": ("trial", label),
        },
        {**signal.drop_vars("label").coords, "class": ["face", "house"]},
    )
