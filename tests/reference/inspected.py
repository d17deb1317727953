"""Explanations with known relevance per unit, and one basis of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from signalrp.inspection import DCT, DFT, STFT, Basis, Chain, Linear

RATE = 256.0
MATRIX = np.random.default_rng(1).normal(size=(3, 3))


def signal_of(values: Any, rate: float = RATE, units: str = "s", **coords: Any) -> xr.DataArray:
    """Name the dimensions of an array (trial, channel, time)."""
    values = np.asarray(values)
    time = np.arange(values.shape[-1]) / rate
    channels = [f"C{i}" for i in range(values.shape[1])]
    coords = {"channel": channels, "time": ("time", time, {"units": units}), **coords}
    return xr.DataArray(values, coords, ("trial", "channel", "time"), "EEG", {"units": "µV"})


def explained(signal: xr.DataArray, per_unit: np.ndarray, given: np.ndarray | float = 0.0) -> xr.Dataset:
    """Return an explanation with known relevance per unit, and some that was given as such."""
    dims = signal.dims
    return xr.Dataset(
        {
            "signal": signal,
            "relevance": (dims, signal.values * per_unit + given),
            "per_unit": (dims, per_unit),
            "output": (("trial", "class"), np.zeros((len(signal), 2))),
        }
    )


def random_explanation(n: int, trials: int = 2, channels: int = 3, seed: int = 0) -> xr.Dataset:
    """Noise, and noise for relevance per unit of it."""
    rng = np.random.default_rng(seed)
    shape = (trials, channels, n)
    return explained(signal_of(rng.normal(size=shape)), rng.normal(size=shape))


def network(channels: int = 3, classes: int = 4, seed: int = 0) -> nn.Module:
    """A small convolutional net with a batch norm."""
    torch.manual_seed(seed)
    return (
        nn.Sequential(
            nn.Conv1d(channels, 6, 7, padding=3), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 5, 5), nn.ReLU(),
            nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(10, classes),
        )
        .double()
        .eval()
    )  # fmt: skip


def all_bases(n: int) -> list[Basis]:
    """Every kind of basis, for three channels and n samples."""
    rng = np.random.default_rng(2)
    return [
        DFT(),
        DCT(),
        STFT("hann", length=16, hop=4),
        STFT("hamming", length=15, hop=7),
        STFT(("kaiser", 6.0), length=12, hop=5),
        STFT(np.ones(9), hop=9),
        Linear(MATRIX),
        Linear(rng.normal(size=(n + 7, n)), dim="time", new_dim="atom"),
        Linear(rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)), dim="time"),
        Chain(Linear(MATRIX), DFT()),
        Chain(DFT(), Linear(MATRIX)),
        Chain(Linear(MATRIX), STFT("hann", length=16, hop=8)),
        Chain(STFT("hann", length=16, hop=8), Linear(rng.normal(size=(9, 9)), dim="frequency", new_dim="band")),
    ]


NUMBERS = range(len(all_bases(8)))


def total(relevance: xr.DataArray) -> np.ndarray:
    """Sum of each trial."""
    return relevance.values.reshape(len(relevance), -1).sum(1)


def assert_conserved(seen: xr.Dataset, explanation: xr.Dataset, tolerance: float = 1e-10) -> None:
    """Check that no relevance is missing: what is seen and what is lost make up what was there."""
    scale = float(abs(explanation.relevance).sum(explanation.relevance.dims[1:]).max())
    lost = seen.lost.values if "lost" in seen else 0.0
    np.testing.assert_allclose(
        total(seen.relevance) + lost, total(explanation.relevance), rtol=0, atol=tolerance * scale
    )
