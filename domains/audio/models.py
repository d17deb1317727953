"""Classifiers of sound from the literature, and small ones: waveforms or spectrograms in, (trial, class) out.

No softmax. Each is built for the shape of a trial, ``signal.shape[1:]``: (1, samples) or (1, frequencies, frames).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .augmentation import RandomEqualiser, RandomGain, RandomMask

__all__ = [
    "CRNN",
    "DEFAULTS",
    "MODELS",
    "REPRESENTATION",
    "TRAINING",
    "alexnet",
    "audionet",
    "raw_small",
    "spectrogram_small",
]


def audionet(shape: Sequence[int], n_classes: int, *, dropout: float = 0.5) -> nn.Sequential:
    """AudioNet: six convolutions of three samples on the waveform, each halved by maximum, and three dense layers.

    Parameters
    ----------
    shape : sequence of int
        (1, samples); the paper takes one second at 8 kHz, scaled by the 95th percentile of amplitudes.
    n_classes : int
        Number of classes.
    dropout : float
        Probability of dropout behind the dense layers, between which, as published, there is no activation.

    Raises
    ------
    ValueError
        When the shape is not (1, 64) or longer.

    References
    ----------
    Becker et al. 2018, arXiv 1807.03418; Becker et al. 2024, doi:10.1016/j.jfranklin.2023.11.038
    """
    (samples,) = _checked("audionet", shape, (64,))
    layers: list[nn.Module] = []
    before = 1
    for filters in (100, 64, 128, 128, 128, 128):
        layers += [nn.Conv1d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2)]
        before = filters
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(before * (samples // 64), 1024), nn.Dropout(dropout),
        nn.Linear(1024, 512), nn.Dropout(dropout), nn.Linear(512, n_classes),
    )  # fmt: skip


def alexnet(shape: Sequence[int], n_classes: int, *, dropout: float = 0.5) -> nn.Sequential:
    """AlexNet for spectrograms as AudioMNIST takes it: no normalisation, dense layers of 1024.

    Parameters
    ----------
    shape : sequence of int
        (1, frequencies, frames); the paper takes 227 x 227, see `signalrp.domains.audio.becker`.
    n_classes : int
        Number of classes.
    dropout : float
        Probability of dropout behind the dense layers.

    Raises
    ------
    ValueError
        When the shape is not (1, 67, 67) or larger.

    References
    ----------
    Krizhevsky et al. 2012, doi:10.1145/3065386; Becker et al. 2018, arXiv 1807.03418
    """
    sizes = _checked("alexnet", shape, (67, 67))
    left = [((((size - 11) // 4 + 1 - 3) // 2 + 1 - 3) // 2 + 1 - 3) // 2 + 1 for size in sizes]
    return nn.Sequential(
        nn.Conv2d(1, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(256 * left[0] * left[1], 1024), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(1024, 1024), nn.ReLU(), nn.Dropout(dropout), nn.Linear(1024, n_classes),
    )  # fmt: skip


class _Logarithm(nn.Module):
    """log(1 + 1000 x): 0 for silence, the logarithm for what is louder than a thousandth."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log1p(1e3 * x)


def raw_small(shape: Sequence[int], n_classes: int, *, filters: int = 48, dropout: float = 0.3) -> nn.Sequential:
    """A small net on waveforms: a learned filter bank, the logarithm of what each filter lets through, convolutions.

    Parameters
    ----------
    shape : sequence of int
        (1, samples), at 8 kHz: filters of 128 samples (16 ms), whose rectified output is averaged over 25 ms every
        10 ms.
    n_classes : int
        Number of classes.
    filters : int
        Size of the filter bank.
    dropout : float
        Probability of dropout before the last layer.

    Raises
    ------
    ValueError
        When the shape is not (1, 888) or longer.

    References
    ----------
    Sainath et al. 2015, doi:10.21437/Interspeech.2015-1
    """
    _checked("raw-small", shape, (888,))
    layers: list[nn.Module] = [
        RandomGain(), nn.Conv1d(1, filters, 128, 4, bias=False), nn.ReLU(), nn.AvgPool1d(50, 20), _Logarithm(),
        nn.BatchNorm1d(filters),
    ]  # fmt: skip
    before = filters
    for maps in (64, 64, 64):
        layers += [
            nn.Conv1d(before, maps, 5, padding=2, bias=False), nn.BatchNorm1d(maps), nn.ReLU(), nn.MaxPool1d(2)
        ]  # fmt: skip
        before = maps
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(before, n_classes)
    )


def _pictures(maps: Sequence[int], pools: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """Return blocks of 3 x 3 filters on spectrograms in dB of any scale, with what training changes at random."""
    layers: list[nn.Module] = [RandomEqualiser(), RandomMask(), nn.BatchNorm2d(1)]
    before = 1
    for filters, pool in zip(maps, pools, strict=True):
        layers += [
            nn.Conv2d(before, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
            nn.MaxPool2d(pool),
        ]  # fmt: skip
        before = filters
    return layers


def spectrogram_small(
    shape: Sequence[int], n_classes: int, *, maps: Sequence[int] = (16, 32, 48), dropout: float = 0.3
) -> nn.Sequential:
    """A small net on spectrograms in dB: three blocks of 3 x 3 filters, averaged over time.

    Parameters
    ----------
    shape : sequence of int
        (1, frequencies, frames).
    n_classes : int
        Number of classes.
    maps : sequence of int
        Number of filters of each block, which halves frequencies and frames.
    dropout : float
        Probability of dropout before the last layer.

    Raises
    ------
    ValueError
        When the shape is not (1, 8, 8) or larger.
    """
    frequencies, _ = _checked("spectrogram-small", shape, (2 ** len(maps),) * 2)
    return nn.Sequential(
        *_pictures(maps, [(2, 2)] * len(maps)), nn.AdaptiveAvgPool2d((None, 1)), nn.Flatten(), nn.Dropout(dropout),
        nn.Linear(maps[-1] * (frequencies // 2 ** len(maps)), n_classes),
    )  # fmt: skip


class CRNN(nn.Module):
    """Convolutions that pool frequencies, then a recurrent layer over frames, whose outputs are averaged.

    Parameters
    ----------
    shape : sequence of int
        (1, frequencies, frames), in dB.
    n_classes : int
        Number of classes.
    maps : sequence of int
        Number of filters of each block.
    hidden : int
        Width of the gated recurrent units, forward in time.
    dropout : float
        Probability of dropout before the last layer.

    Raises
    ------
    ValueError
        When the shape is not (1, 16, 4) or larger.

    References
    ----------
    Çakır et al. 2017, doi:10.1109/TASLP.2017.2690575
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_classes: int,
        *,
        maps: Sequence[int] = (16, 32, 32),
        hidden: int = 48,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        frequencies, _ = _checked("crnn", shape, (16, 4))
        self.convolutions = nn.Sequential(*_pictures(maps, ((4, 2), (2, 2), (2, 1))))
        self.recurrent = nn.GRU(maps[-1] * (frequencies // 16), hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify spectrograms (trial, 1, frequency, frame)."""
        sequence, _ = self.recurrent(self.convolutions(x).flatten(1, 2).transpose(1, 2))
        return self.classifier(self.dropout(sequence.mean(1)))


def _checked(name: str, shape: Sequence[int], least: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a trial behind its one channel."""
    channels, *sizes = shape
    if channels != 1 or len(sizes) != len(least) or any(size < low for size, low in zip(sizes, least, strict=True)):
        kind = "(1, samples)" if len(least) == 1 else "(1, frequencies, frames)"
        raise ValueError(
            f"{name} takes trials of shape {kind}, at least {(1, *least)}, found {tuple(shape)}; give signal.shape[1:] "
            f"of {'mono waveforms' if len(least) == 1 else 'spectrograms of mono sound'}."
        )
    return tuple(sizes)


MODELS: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "audionet": audionet,
    "alexnet": alexnet,
    "raw-small": raw_small,
    "spectrogram-small": spectrogram_small,
    "crnn": CRNN,
}
"""The nets by name, each called with (shape, n_classes)."""

REPRESENTATION: dict[str, Literal["waveform", "spectrogram"]] = {
    "audionet": "waveform",
    "alexnet": "spectrogram",
    "raw-small": "waveform",
    "spectrogram-small": "spectrogram",
    "crnn": "spectrogram",
}
"""What each net takes."""

TRAINING: dict[str, dict[str, Any]] = {
    "audionet": {"epochs": 20, "learning_rate": 3e-4},
    "alexnet": {"epochs": 20, "learning_rate": 3e-4},
    "raw-small": {"epochs": 8, "learning_rate": 5e-3, "weight_decay": 1e-2},
    "spectrogram-small": {"epochs": 8, "learning_rate": 5e-3, "weight_decay": 1e-2},
    "crnn": {"epochs": 8, "learning_rate": 5e-3, "weight_decay": 1e-2},
}
"""Settings of `signalrp.training.fit_classifier` for some thousand clips.

Those of the small nets were chosen on spoken digits of the Free Spoken Digit Dataset, with the speakers george and theo
held out; those of the large ones, which want a GPU, were not tried.
"""

DEFAULTS = ("raw-small", "spectrogram-small", "crnn")
"""The nets that studies take unless told otherwise."""
