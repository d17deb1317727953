"""Classifiers of video from the literature, and small ones: (clip, rgb, frame, row, column) in, (clip, class) out.

No softmax. Each is built for the shape of a clip, ``signal.shape[1:]``: (3, frames, rows, columns), values 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .timesformer import TimeSformer, checked

__all__ = ["CNNLSTM", "DEFAULTS", "MODELS", "TRAINING", "TimeSformer", "c3d", "r2plus1d_18", "small_3d"]


def c3d(shape: Sequence[int], n_classes: int, *, dropout: float = 0.5) -> nn.Sequential:
    """C3D: eight convolutions of 3 x 3 x 3, five poolings by maximum of which the first spares time, dense of 4096.

    Parameters
    ----------
    shape : sequence of int
        (3, frames, rows, columns); the paper takes 16 frames of 112 x 112.
    n_classes : int
        Number of classes.
    dropout : float
        Probability of dropout behind the two dense layers.

    Raises
    ------
    ValueError
        When the shape is not (3, 16, 32, 32) or larger.

    References
    ----------
    Tran et al. 2015, doi:10.1109/ICCV.2015.510, arXiv 1412.0767
    """
    frames, rows, columns = checked("c3d", shape, (16, 32, 32))
    layers: list[nn.Module] = []
    before = 3
    for stage, filters in enumerate(((64,), (128,), (256, 256), (512, 512), (512, 512))):
        for after in filters:
            layers += [nn.Conv3d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        # The last pooling is padded in space, so that 112 pixels become 4.
        layers.append(nn.MaxPool3d((2 if stage else 1, 2, 2), padding=(0, 1, 1) if stage == 4 else 0))
    left = (frames // 16) * (rows // 32 + 1) * (columns // 32 + 1)
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(before * left, 4096), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4096, n_classes),
    )  # fmt: skip


def _factored(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution in space and one in time, with as many weights as one of 3 x 3 x 3."""
    between = 27 * before * after // (9 * before + 3 * after)
    return nn.Sequential(
        nn.Conv3d(before, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(between), nn.ReLU(),
        nn.Conv3d(between, after, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )  # fmt: skip


class _Residual(nn.Module):
    """Two factored convolutions beside a shortcut, which is a convolution where the size changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _factored(before, after, stride), nn.BatchNorm3d(after), nn.ReLU(),
            _factored(after, after), nn.BatchNorm3d(after),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=False), nn.BatchNorm3d(after))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def r2plus1d_18(shape: Sequence[int], n_classes: int) -> nn.Sequential:
    """R(2+1)D with 18 layers: residual blocks whose convolutions are factored into space and time.

    Parameters
    ----------
    shape : sequence of int
        (3, frames, rows, columns); the paper takes 8 or 16 frames of 112 x 112.
    n_classes : int
        Number of classes.

    Raises
    ------
    ValueError
        When the shape is not (3, 8, 16, 16) or larger.

    References
    ----------
    Tran et al. 2018, doi:10.1109/CVPR.2018.00675, arXiv 1711.11248
    """
    checked("r2plus1d-18", shape, (8, 16, 16))
    layers: list[nn.Module] = [
        # The 45 maps between are those of the authors' nets.
        nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False), nn.BatchNorm3d(45), nn.ReLU(),
        nn.Conv3d(45, 64, (3, 1, 1), 1, (1, 0, 0), bias=False), nn.BatchNorm3d(64), nn.ReLU(),
    ]  # fmt: skip
    before = 64
    for after in (64, 128, 256, 512):
        layers += [_Residual(before, after, 1 if after == before else 2), _Residual(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(before, n_classes))


def small_3d(
    shape: Sequence[int], n_classes: int, *, maps: Sequence[int] = (16, 24, 32), dropout: float = 0.2
) -> nn.Sequential:
    """A small net of 3 x 3 x 3 convolutions, each halving rows and columns; its last maps are averaged over a frame.

    The dense layer weighs every frame by itself, so that the net is free to lean on some of them.

    Parameters
    ----------
    shape : sequence of int
        (3, frames, rows, columns).
    n_classes : int
        Number of classes.
    maps : sequence of int
        Number of filters of each convolution.
    dropout : float
        Probability of dropout before the last layer.

    Raises
    ------
    ValueError
        When the shape is not (3, 3, 8, 8) or larger.
    """
    frames, _, _ = checked("small-3d", shape, (3, 2 ** len(maps), 2 ** len(maps)))
    layers: list[nn.Module] = []
    before = 3
    for filters in maps:
        layers += [
            nn.Conv3d(before, filters, 3, (1, 2, 2), 1, bias=False), nn.BatchNorm3d(filters), nn.ReLU()
        ]  # fmt: skip
        before = filters
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool3d((None, 1, 1)), nn.Flatten(), nn.Dropout(dropout),
        nn.Linear(before * frames, n_classes),
    )  # fmt: skip


class CNNLSTM(nn.Module):
    """A convolutional net on every frame, a recurrent layer over frames in both directions, a dense layer.

    The way of DeepLight, which takes the slices of a brain volume as frames; with fewer layers.

    Parameters
    ----------
    shape : sequence of int
        (3, frames, rows, columns).
    n_classes : int
        Number of classes.
    maps : sequence of int
        Number of filters of each convolution, which halves rows and columns.
    features : int
        Numbers that describe a frame.
    hidden : int
        Width of the LSTM in each direction; the last state of both is classified.
    dropout : float
        Probability of dropout before the last layer.
    change : bool
        Show the convolutions of each frame how it differs from the one before it as well, as three more colours.
        Slices of a brain do without. On moving digits, without it, the net learnt nothing from 2500 clips in a minute.

    Raises
    ------
    ValueError
        When the shape is not (3, 2, 8, 8) or larger.

    References
    ----------
    Thomas et al. 2019, doi:10.3389/fnins.2019.01321
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_classes: int,
        *,
        maps: Sequence[int] = (12, 16, 24),
        features: int = 48,
        hidden: int = 40,
        dropout: float = 0.2,
        change: bool = True,
    ) -> None:
        super().__init__()
        _, rows, columns = checked("cnn-lstm", shape, (2, 2 ** len(maps), 2 ** len(maps)))
        layers: list[nn.Module] = []
        before = 6 if change else 3
        for filters in maps:
            layers += [nn.Conv2d(before, filters, 3, 2, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
            before = filters
        for _ in maps:
            rows, columns = -(-rows // 2), -(-columns // 2)
        self.frame = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(before * rows * columns, features, bias=False),
            nn.BatchNorm1d(features), nn.ReLU(),
        )  # fmt: skip
        self.recurrent = nn.LSTM(features, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * hidden, n_classes)
        self.hidden, self.change = hidden, change

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips (clip, rgb, frame, row, column)."""
        if self.change:
            x = torch.cat([x, F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 0, 1, 0))], 1)
        described = self.frame(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1))
        sequence, _ = self.recurrent(described)
        last = torch.cat([sequence[:, -1, : self.hidden], sequence[:, 0, self.hidden :]], 1)
        return self.classifier(self.dropout(last))


MODELS: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "c3d": c3d,
    "r2plus1d-18": r2plus1d_18,
    "small-3d": small_3d,
    "cnn-lstm": CNNLSTM,
    "timesformer": TimeSformer,
}
"""The nets by name, each called with (shape, n_classes)."""

TRAINING: dict[str, dict[str, Any]] = {
    "c3d": {"epochs": 20, "learning_rate": 1e-4},
    "r2plus1d-18": {"epochs": 20, "learning_rate": 1e-3},
    "small-3d": {"epochs": 5, "learning_rate": 5e-3, "weight_decay": 1e-2},
    "cnn-lstm": {"epochs": 8, "learning_rate": 3e-3, "weight_decay": 1e-2},
    "timesformer": {"epochs": 10, "learning_rate": 3e-3, "weight_decay": 1e-2},
}
"""Settings of `signalrp.training.fit_classifier` for some thousand clips.

Those of the small nets were chosen on moving digits; those of the large ones, which want a GPU, were not tried.
"""

DEFAULTS = ("small-3d", "cnn-lstm", "timesformer")
"""The nets that studies take unless told otherwise."""
