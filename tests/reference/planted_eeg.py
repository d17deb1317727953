"""Epochs of known truth: an N170 tells two classes apart, and a linear model that also listens to the forehead."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from scipy.signal import lfilter
from torch import nn

from signalrp.domains.eeg.artefacts import find_artefacts
from signalrp.domains.eeg.misclassified import Examination, examine, explain_classes
from signalrp.domains.eeg.regions import ten_ten
from signalrp.signals import labelled_signal

CHANNELS = [
    *("Fpz", "Fp1", "Fp2", "AF7", "AF8", "F7", "F3", "Fz", "F4", "F8", "FT9", "T7", "C3", "Cz", "C4", "T8", "FT10"),
    *("TP9", "P7", "P3", "Pz", "P4", "P8", "TP10", "PO7", "PO8", "O9", "O10", "Oz", "P9", "P10"),
]
CAUSE = ("P7", "P8", "PO7", "PO8", "P9", "P10")
PEAK, BLINK = 0.17, 0.35
_TIME = np.arange(90) / 128 - 25 / 128


def directions() -> np.ndarray:
    known, towards = ten_ten()
    return towards[[known.index(name) for name in CHANNELS]]


def epochs(trials: int = 240, seed: int = 0, cause: float = 7.0) -> xr.DataArray:
    """Smooth noise of 10 µV, and at the sites of the N170 a wave of -cause or +cause µV for the classes 0 and 1."""
    rng = np.random.default_rng(seed)
    label = np.arange(trials) % 2
    noise = rng.standard_normal((trials, len(CHANNELS), len(_TIME) + 60))
    noise = lfilter([1], [1, -0.9], noise, axis=-1)[..., 60:] * np.sqrt(1 - 0.9**2)
    near = np.exp(-(np.arccos(np.clip(directions() @ directions().T, -1, 1)) ** 2) / 0.1)
    mixing = near / np.linalg.norm(near, axis=1, keepdims=True)
    values = 10 * np.einsum("ij,tjs->tis", mixing, noise)
    values += cause * (2 * label - 1)[:, None, None] * site(CAUSE)[:, None] * bump(PEAK, 0.025)
    signal = labelled_signal(
        (1e-6 * values).astype(np.float32),
        CHANNELS,
        _TIME,
        "s",
        "V",
        {"trial": np.arange(trials), "label": label, "subject": np.full(trials, "S01")},
        name="EEG",
        sfreq=128.0,
        classes="face | house",
    )
    places = 0.095 * directions() + [0, 0, 0.04]
    return signal.assign_coords({axis: ("channel", places[:, i]) for i, axis in enumerate("xyz")})


def site(names: tuple[str, ...]) -> np.ndarray:
    return np.isin(CHANNELS, names).astype(float)


def bump(centre: float, width: float) -> np.ndarray:
    return np.exp(-((_TIME - centre) ** 2) / (2 * width**2))


def blink(size: float) -> np.ndarray:
    """A blink of so many µV at Fpz, (channel, time)."""
    known, towards = ten_ten()
    angle = np.arccos(np.clip(directions() @ towards[known.index("Fpz")], -1, 1))
    return size * np.exp(-(angle**2) / 0.4)[:, None] * bump(BLINK, 0.05)


def model(leak: float = 0.0) -> nn.Module:
    """Two opposite outputs: the matched filter of the N170, and `leak` times the slow deflection at the forehead."""
    weights = site(CAUSE)[:, None] * bump(PEAK, 0.025) + leak * site(("Fpz", "Fp1", "Fp2"))[:, None] * bump(BLINK, 0.05)
    net = nn.Sequential(nn.Flatten(), nn.Linear(weights.size, 2, bias=False))
    weights = torch.from_numpy(2e4 * weights.ravel())
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([-weights, weights]))
    return net.eval()


def examined(signal: xr.DataArray, net: nn.Module) -> Examination:
    """Every trial examined as if the model had not seen it, which one that was not trained has not."""
    return examine(explain_classes(net, signal, "epsilon"), find_artefacts(signal))
