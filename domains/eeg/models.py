"""Classifiers of EEG epochs from the literature: (trial, channel, time) in, (trial, class) out, without softmax.

Models of braindecode, and any other torch module, are explained as they are; `torch_model` finds the one inside a
fitted estimator. Nothing of braindecode or skorch is needed for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .equivalents import torch_model

__all__ = [
    "DEFAULT",
    "MODELS",
    "TRAINING",
    "EEGNet",
    "SpaceTimeConv",
    "deep4",
    "shallow_convnet",
    "sturm",
    "torch_model",
]


def sturm(n_chans: int, n_times: int, n_classes: int, sfreq: float = 128.0, *, hidden: int = 500) -> nn.Sequential:
    """One hidden layer of hyperbolic tangents on the flattened epoch, the first EEG net to be explained by LRP.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Size of a trial, number of classes.
    sfreq : float
        Sampling rate in Hz; the net does not depend on it.
    hidden : int
        Width of the hidden layer.

    References
    ----------
    Sturm et al. 2016, doi:10.1016/j.jneumeth.2016.10.008
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(n_chans * n_times, hidden), nn.Tanh(), nn.Linear(hidden, n_classes))


class EEGNet(nn.Module):
    """EEGNet: temporal filters, spatial filters for each of them, then a depthwise separable convolution.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Size of a trial, number of classes.
    sfreq : float
        Sampling rate in Hz. The temporal filters last half a second. The signal is averaged down to 32 Hz and
        later to 4 Hz, which at 128 Hz are the factors of the paper.
    temporal, depth, pointwise : int
        Number of temporal filters, of spatial filters for each, and of filters that mix them: F1, D and F2.
    dropout : float
        Probability of dropout; the paper takes 0.5 within and 0.25 across subjects.

    Raises
    ------
    ValueError
        When the epoch is shorter than a quarter of a second.

    References
    ----------
    Lawhern et al. 2018, doi:10.1088/1741-2552/aace8c
    """

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_classes: int,
        sfreq: float = 128.0,
        *,
        temporal: int = 8,
        depth: int = 2,
        pointwise: int = 16,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        kernel, first = max(1, round(sfreq / 2)), max(1, round(sfreq / 32))
        left = n_times // first // 8
        if left < 1:
            raise _too_short("EEGNet", n_times, first * 8, sfreq)
        spatial = temporal * depth
        self.temporal = nn.Sequential(
            _same(kernel), nn.Conv2d(1, temporal, (1, kernel), bias=False), nn.BatchNorm2d(temporal)
        )
        self.spatial = nn.Sequential(
            _NormedConv2d(temporal, spatial, (n_chans, 1), groups=temporal, bias=False),
            nn.BatchNorm2d(spatial), nn.ELU(), nn.AvgPool2d((1, first)), nn.Dropout(dropout),
        )  # fmt: skip
        self.separable = nn.Sequential(
            _same(16), nn.Conv2d(spatial, spatial, (1, 16), groups=spatial, bias=False),
            nn.Conv2d(spatial, pointwise, 1, bias=False),
            nn.BatchNorm2d(pointwise), nn.ELU(), nn.AvgPool2d((1, 8)), nn.Dropout(dropout),
        )  # fmt: skip
        self.classifier = _NormedLinear(pointwise * left, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify trials (trial, channel, time)."""
        return self.classifier(self.separable(self.spatial(self.temporal(x.unsqueeze(1)))).flatten(1))


class _NormedConv2d(nn.Conv2d):
    """Filters of norm 1 at most: scaled down after every step of training, as is what the sum itself works with."""

    max_norm = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, _capped(self), self.bias)


class _NormedLinear(nn.Linear):
    """Weights of norm 0.25 at most for every class."""

    max_norm = 0.25

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, _capped(self), self.bias)


def _capped(layer: _NormedConv2d | _NormedLinear) -> Tensor:
    """Return the weights scaled down to the largest norm; in training they are set to that, in evaluation left."""
    if layer.training:
        with torch.no_grad():
            layer.weight.copy_(torch.renorm(layer.weight, 2, 0, layer.max_norm))
    return torch.renorm(layer.weight, 2, 0, layer.max_norm)


class SpaceTimeConv(nn.Module):
    """A temporal convolution and the spatial filters over its maps, computed as the one convolution they make.

    Nothing stands between the two, and a batch norm behind them takes up their biases.

    Parameters
    ----------
    n_chans, temporal, spatial, kernel : int
        Number of channels, temporal filters, spatial filters; samples of a temporal filter.
    """

    def __init__(self, n_chans: int, temporal: int, spatial: int, kernel: int) -> None:
        super().__init__()
        self.temporal = nn.Parameter(nn.init.xavier_uniform_(torch.empty(temporal, 1, kernel)))
        self.spatial = nn.Parameter(nn.init.xavier_uniform_(torch.empty(spatial, temporal, n_chans)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps, (trial, filter, time), of trials (trial, channel, time)."""
        return F.conv1d(x, torch.einsum("sfc,fk->sck", self.spatial, self.temporal[:, 0]))


class _LogPower(nn.Module):
    """The logarithm of mean power over windows, the least power being 1e-6."""

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool1d(window, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(self.pool(x.square()).clamp_min(1e-6))


def shallow_convnet(
    n_chans: int, n_times: int, n_classes: int, sfreq: float = 128.0, *, filters: int = 40, dropout: float = 0.5
) -> nn.Sequential:
    """Shallow ConvNet: the logarithm of band power, of learned bands and spatial filters.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Size of a trial, number of classes.
    sfreq : float
        Sampling rate in Hz. Temporal filters last 100 ms; power is averaged over 300 ms, every 60 ms; at 250 Hz
        these are the 25, 75 and 15 samples of the paper.
    filters : int
        Number of temporal and of spatial filters.
    dropout : float
        Probability of dropout.

    Raises
    ------
    ValueError
        When the epoch is shorter than 400 ms.

    References
    ----------
    Schirrmeister et al. 2017, doi:10.1002/hbm.23730
    """
    kernel, window, stride = (max(1, round(seconds * sfreq)) for seconds in (0.1, 0.3, 0.06))
    left = (n_times - kernel + 1 - window) // stride + 1
    if left < 1:
        raise _too_short("ShallowConvNet", n_times, kernel + window - 1, sfreq)
    return nn.Sequential(
        SpaceTimeConv(n_chans, filters, filters, kernel), nn.BatchNorm1d(filters), _LogPower(window, stride),
        nn.Dropout(dropout), nn.Flatten(), nn.Linear(filters * left, n_classes),
    )  # fmt: skip


def deep4(
    n_chans: int, n_times: int, n_classes: int, sfreq: float = 128.0, *, filters: int = 25, dropout: float = 0.5
) -> nn.Sequential:
    """Deep ConvNet of four blocks of convolution, batch norm, ELU and maximum.

    Parameters
    ----------
    n_chans, n_times, n_classes : int
        Size of a trial, number of classes.
    sfreq : float
        Sampling rate in Hz. Kernels and pools have at 250 Hz the 10 and 3 samples of the paper, at others as many
        as last as long, but two at least: 5 and 2 at 128 Hz.
    filters : int
        Number of filters in the first block; every block doubles it.
    dropout : float
        Probability of dropout before every block but the first.

    Raises
    ------
    ValueError
        When the epoch is too short for four blocks: 76 samples are needed at 128 Hz, 441 at 250 Hz.

    References
    ----------
    Schirrmeister et al. 2017, doi:10.1002/hbm.23730
    """
    kernel, pool = max(2, round(10 * sfreq / 250)), max(2, round(3 * sfreq / 250))
    left, needed = n_times, 1
    for _ in range(4):
        left, needed = (left - kernel + 1) // pool, needed * pool + kernel - 1
    if n_times < needed:
        raise _too_short("Deep4", n_times, needed, sfreq)
    layers: list[nn.Module] = []
    for block in range(4):
        maps = filters * 2**block
        layers += (
            [nn.Dropout(dropout), nn.Conv1d(maps // 2, maps, kernel, bias=False)]
            if block
            else [SpaceTimeConv(n_chans, filters, filters, kernel)]
        )
        layers += [nn.BatchNorm1d(maps), nn.ELU(), nn.MaxPool1d(pool)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters * 8 * left, n_classes))


def _same(kernel: int) -> nn.Module:
    """Pad with zeros so that a convolution keeps the length; an even kernel gets the one that is left behind."""
    return nn.ZeroPad2d(((kernel - 1) // 2, kernel // 2, 0, 0))


def _too_short(name: str, found: int, needed: int, sfreq: float) -> ValueError:
    return ValueError(
        f"{name} needs at least {needed} samples at {sfreq:g} Hz, found {found}; cut longer epochs or take another net."
    )


MODELS: dict[str, Callable[..., nn.Module]] = {
    "sturm": sturm,
    "eegnet": EEGNet,
    "shallow-convnet": shallow_convnet,
    "deep4": deep4,
}
"""The nets by name, each called with (n_chans, n_times, n_classes, sfreq)."""

TRAINING: dict[str, dict[str, Any]] = {
    "sturm": {"epochs": 15, "learning_rate": 2e-4, "weight_decay": 0.1},
    "eegnet": {"epochs": 40, "learning_rate": 1e-2},
    "shallow-convnet": {"epochs": 40, "learning_rate": 1e-3, "weight_decay": 0.1},
    "deep4": {"epochs": 30, "learning_rate": 5e-3, "weight_decay": 1e-2},
}
"""Settings of `signalrp.training.fit_classifier` for some hundred trials with every channel as a z-score.

Compared with a few others on one recording, the faces and houses of person 1 of `signalrp.domains.eeg.datasets.faces`.
"""

DEFAULT = "deep4"
"""The net that studies take unless told otherwise."""
