"""Small classifiers that have learnt where a transient was planted, trained in a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import xarray as xr
from torch import nn

from signalrp.training import fit_classifier

CHANNELS, LENGTH, CLASSES = 3, 40, 3


def planted(trials: int, seed: int, classes: int = CLASSES) -> xr.DataArray:
    """Noise (trial, channel, time) of ten subjects; the class says when and on which channel a bump of 3 sd comes."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(trials, CHANNELS, LENGTH))
    label = rng.integers(0, classes, trials)
    time = np.arange(LENGTH)
    for trial, number in enumerate(label):
        centre = 8 + 12 * number + rng.integers(-2, 3)
        values[trial, number % CHANNELS] += 3 * np.exp(-(((time - centre) / 2) ** 2))
    return xr.DataArray(
        values.astype(np.float32),
        dims=("trial", "channel", "time"),
        coords={"label": ("trial", label), "subject": ("trial", np.arange(trials) % 10)},
    )


def cnn(classes: int = CLASSES) -> nn.Module:
    layers: list[nn.Module] = []
    for before in (CHANNELS, 16):
        layers += [nn.Conv1d(before, 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2)]
    layers += [nn.Conv1d(16, 16, 3, padding=1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4 * LENGTH, 32), nn.ReLU(), nn.Linear(32, classes))


def mlp(classes: int = CLASSES) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(CHANNELS * LENGTH, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes)
    )


def train(
    build: Callable[[int], nn.Module], signal: xr.DataArray, label: np.ndarray, seed: int = 0, epochs: int = 25
) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(int(label.max()) + 1)
    x, y = torch.tensor(signal.values), torch.tensor(label)
    return fit_classifier(model, x, y, epochs=epochs, learning_rate=3e-3, seed=seed)


@cache
def trained(build: Callable[[int], nn.Module], classes: int = CLASSES, seed: int = 0) -> nn.Module:
    signal = planted(300, 0, classes)
    return train(build, signal, signal["label"].values, seed)
