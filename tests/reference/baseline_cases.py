"""A net, a signal and a call that the tests of the baselines share."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import nn

from signalrp.baselines import explain_with, methods
from signalrp.propagation.composites import COMPOSITES

# It asks for modules named as in selective state spaces, and is tested with the composites.
NAMES = [name for name in methods()["name"] if name != "mamba-lrp"]
OWN = [name for name in NAMES if name not in COMPOSITES]
CLASSES = ["rest", "left", "right"]
TRIALS = 7
RNG = np.random.default_rng(0)
REFERENCE = RNG.normal(size=(12, 3, 20))
_OPTIONS = {"epsilon-gamma-box": {"low": -6.0, "high": 6.0}}


class Epochs(nn.Module):
    """A convolutional net that constrains its own weights, as nets for EEG do, keeps what it saw and draws a number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 4, 5, bias=False), nn.BatchNorm1d(4)
        self.relu, self.pool, self.drop = nn.ReLU(inplace=True), nn.MaxPool1d(2), nn.Dropout(0.9)
        self.head = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.conv.weight.data = torch.renorm(self.conv.weight.data, 2, 0, 0.5)
        x = self.pool(self.relu(self.norm(self.conv(x))))
        self.seen, self.number = x, torch.rand(1)
        return self.head(self.drop(x).flatten(1))


def epochs() -> xr.DataArray:
    return xr.DataArray(
        RNG.normal(size=(TRIALS, 3, 20)),
        dims=("trial", "channel", "time"),
        name="EEG",
        attrs={"units": "µV"},
        coords={
            "channel": ["C3", "Cz", "C4"],
            "time": ("time", np.arange(20) / 100, {"units": "s"}),
            "subject": ("trial", [f"S{trial % 2}" for trial in range(TRIALS)]),
            "label": ("trial", np.arange(TRIALS) % 3),
        },
    )


def ask(name: object, model: nn.Module, signal: object, target: object = None, **more: object) -> xr.Dataset:
    return explain_with(name, model, signal, target, reference=REFERENCE, **_OPTIONS.get(str(name), {}), **more)
