"""What Becker et al. (2018) fed their two nets, and the folds they trained them in (arXiv:1807.03418)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from torch import Tensor

from .frontends import LogPower, Spectrogram
from .pictures import Array

RATE = 8000
SAMPLES = 8000
_LENGTH, _HOP, _BINS, _FRAMES = 455, 35, 227, slice(2, 229)
# The authors kept 16-bit numbers, divided spectra by the sum of the window, and raised magnitudes to 1e-5.
_FULL_SCALE = 32768.0

Indices = npt.NDArray[np.int64]
# Five groups of twelve speakers for digits; four of three women and three men for the sex. Training, validation and
# test groups move on by one from fold to fold.
_GROUPS = {
    "digit": (
        (28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53),
        (36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54),
        (43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55),
        (12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50),
        (26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51),
    ),
    "sex": ((36, 47, 56, 2, 44, 50), (26, 12, 57, 25, 37, 45), (43, 28, 52, 48, 53, 41), (58, 59, 60, 7, 23, 38)),
}


class Fold(NamedTuple):
    """Trials of one fold, as sorted positions."""

    train: Indices
    validation: Indices
    test: Indices


class _Cropped(Spectrogram):
    """The 227 lowest frequencies of 228, and frames 2 to 228 of the 230 that `scipy.signal.stft` makes of a second."""

    def __init__(self) -> None:
        super().__init__(RATE, _LENGTH, _HOP)

    def forward(self, waveform: Tensor) -> Tensor:
        if waveform.shape[-1] != SAMPLES:
            raise ValueError(
                f"The spectrogram of Becker et al. is that of {SAMPLES} samples, found {waveform.shape[-1]}; read "
                f"clips with length={SAMPLES} and sfreq={RATE}."
            )
        return super().forward(waveform)[:, :, :_BINS, _FRAMES]

    def frequencies(self) -> Array:
        return super().frequencies()[:_BINS]

    def instants(self, samples: int) -> Array:
        return super().instants(samples)[_FRAMES]


class BeckerSpectrogram(LogPower):
    """Spectrogram of the paper: 227 frequencies x 227 frames in dB below the loudest bin, from 8000 samples at 8 kHz.

    Hann windows of 455 samples that overlap by 420 give 228 x 230 bins, of which the highest frequency, the first two
    frames and the last are left out; 80 dB below the loudest everything is silence.

    Parameters
    ----------
    ref : {"max", "silence"}
        What is called 0 dB. "max" is the paper's choice; "silence" adds 80, see `signalrp.domains.audio.frontends`.
    """

    def __init__(self, ref: Literal["max", "silence"] = "max") -> None:
        spectrogram = _Cropped()
        scale = _FULL_SCALE / float(spectrogram.window.sum())
        super().__init__(spectrogram, ref=ref, amin=(1e-5 / scale) ** 2, top_db=80.0)


def percentile_scaled(signal: xr.DataArray) -> xr.DataArray:
    """Divide every clip by the 95th percentile of its samples, as for the net of the paper that hears waveforms.

    As in the authors' 16-bit numbers, 0.001 is added to the percentile. The amplitudes go beyond -1 and 1.
    """
    level = signal.quantile(0.95, ("channel", "time")).drop_vars("quantile")
    scaled = signal / (level + 0.001 / _FULL_SCALE)
    return scaled.transpose(*signal.dims).astype(signal.dtype).assign_attrs(signal.attrs).rename(signal.name)


def audiomnist_folds(signal: xr.DataArray, task: Literal["digit", "sex"] = "digit") -> list[Fold]:
    """Folds of the paper for AudioMNIST: nobody is in two parts of a fold.

    Parameters
    ----------
    signal : xarray.DataArray
        `signalrp.domains.audio.folders.audiomnist`, all of it or some of its speakers.
    task : {"digit", "sex"}
        Five folds of 36, 12 and 12 speakers for the digit, or four folds of 12, 6 and 6 for the sex, which leave out
        36 of the 48 men.

    Returns
    -------
    list of (train, validation, test)
        Positions along trial.

    Raises
    ------
    ValueError
        If the task is unknown, a speaker has no number of AudioMNIST, or a part of a fold would be empty.
    """
    if task not in _GROUPS:
        raise ValueError(f"The task {task!r} is unknown; choose 'digit' or 'sex'.")
    groups = _GROUPS[task]
    names = [str(name) for name in signal["speaker"].values]
    if not all(name.isdigit() for name in names):
        raise ValueError("The folds are for the speakers '01' to '60' of AudioMNIST; the signal has other names.")
    numbers = np.array([int(name) for name in names])
    member = [np.flatnonzero(np.isin(numbers, group)) for group in groups]
    count = len(groups)
    found = []
    for first in range(count):
        turned = [member[(first + place) % count] for place in range(count)]
        fold = Fold(np.sort(np.concatenate(turned[:-2])), turned[-2], turned[-1])
        if not all(len(part) for part in fold):
            raise ValueError(
                f"Fold {first} would have an empty part; the signal lacks the speakers of the {task} folds."
            )
        found.append(fold)
    return found
