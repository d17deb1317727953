"""Small sounds and nets for the tests of what is seen and heard of them."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import nn

import signalrp
from signalrp.domains.audio.data import from_arrays

RATE = 8000


def packed_clips(shared_data, numbers) -> list[np.ndarray]:
    """Recordings of the Free Spoken Digit Dataset by their numbers, amplitudes from -1 to 1."""
    packed = np.load(shared_data / "audio_fsdd" / "fsdd_8khz_int16.npz")
    samples, offset = packed["samples"], packed["offset"]
    return [samples[offset[n] : offset[n + 1]].astype(np.float32) / 32768 for n in numbers]


def vowels(count: int = 4, length: int = 2000, recorded: int = 1200) -> xr.DataArray:
    """Sounds of 100 to 160 Hz with harmonics that swell and fade, at random places among zeros."""
    rng = np.random.default_rng(0)
    time = np.arange(recorded) / RATE
    swell = np.hanning(recorded)
    clips = []
    for number in range(count):
        f0 = 100 + 20 * number
        tones = [np.sin(2 * np.pi * k * f0 * time + rng.uniform(0, 6)) / k for k in range(1, 12)]
        clips.append((0.2 * swell * sum(tones) + 0.001 * rng.standard_normal(recorded)).astype(np.float32))
    names = {"file": [f"clip_{number}.wav" for number in range(count)]}
    return from_arrays(
        clips, RATE, np.arange(count) % 2, classes=["one", "two"], length=length, shorter="random", trial=names
    )


def net(classes: int = 2) -> nn.Module:
    """A random convolutional net that hears waveforms."""
    torch.manual_seed(0)
    layers = [nn.Conv1d(1, 8, 32, 4), nn.ReLU(), nn.MaxPool1d(4), nn.AdaptiveAvgPool1d(8), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64, classes)).eval()


def explained(signal: xr.DataArray | None = None) -> xr.Dataset:
    """Explanation of some sounds, for that net, per unit of signal."""
    return signalrp.explain(net(), vowels() if signal is None else signal, classes=["one", "two"], per_unit=True)


def tones(frequencies, length: int = 2000) -> xr.DataArray:
    """One sound of a sum of sines, in double precision."""
    time = np.arange(length) / RATE
    values = sum(0.2 * np.sin(2 * np.pi * f * time) for f in frequencies)
    return from_arrays(values[None].astype(np.float32), RATE).astype(np.float64)


def deaf_but_to(frequency: float, length: int = 2000, sign: float = 1.0) -> nn.Module:
    """A linear net that hears one frequency alone: all its relevance is that of this tone."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(length, 1, bias=False)).double().eval()
    weight = torch.sin(2 * torch.pi * frequency * torch.arange(length, dtype=torch.float64) / RATE)
    with torch.no_grad():
        net[1].weight[:] = sign * weight
    return net
