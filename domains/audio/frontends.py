"""Spectrograms as torch modules inside the explained graph: relevance passes through them, or stops at them."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from signalrp import register_operation

from .pictures import Array, FrontEnd

__all__ = ["FrontEnd", "LogPower", "MelSpectrogram", "Spectrogram"]


class Spectrogram(FrontEnd):
    """Power, or magnitude, of the short-time Fourier transform: ``numpy.abs(librosa.stft(y, ...)) ** power``.

    Relevance of a bin goes to its samples in proportion to what each adds to it, phase included, and none is lost.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    n_fft : int
        Samples of a frame.
    hop : int
        Samples from one frame to the next.
    win_length : int, optional
        Samples of the window, in the middle of the frame; by default all.
    window : str
        Name of a window as `scipy.signal.get_window` knows it.
    center : bool
        Begin with a frame whose middle is the first sample, with zeros before it and after the last, instead of one
        that begins there.
    power : {2.0, 1.0}
        Power or magnitude.

    Raises
    ------
    ValueError
        If the numbers do not fit one another.
    """

    def __init__(
        self,
        sfreq: float,
        n_fft: int,
        hop: int,
        *,
        win_length: int | None = None,
        window: str = "hann",
        center: bool = True,
        power: float = 2.0,
    ) -> None:
        super().__init__()
        from scipy.signal import get_window

        win_length = n_fft if win_length is None else win_length
        if not (sfreq > 0 and hop >= 1 and 1 <= win_length <= n_fft):
            raise ValueError(
                f"A spectrogram needs a positive sfreq, a hop of 1 or more, and a window of 1 to n_fft samples; got "
                f"sfreq={sfreq:g}, hop={hop}, win_length={win_length}, n_fft={n_fft}."
            )
        if power not in (1.0, 2.0):
            raise ValueError(f"The power is 2.0 (power) or 1.0 (magnitude), not {power!r}.")
        before = (n_fft - win_length) // 2
        values = np.pad(get_window(window, win_length), (before, n_fft - win_length - before))
        # Not a buffer: that would be rounded with the model to single precision, and not be restored with it.
        self.window = torch.from_numpy(values)
        self.sfreq, self.n_fft, self.hop, self.center, self.power = float(sfreq), n_fft, hop, center, power

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`FrontEnd`."""
        if waveform.dim() != 3:
            raise ValueError(f"A front end takes (batch, channel, time), found the shape {tuple(waveform.shape)}.")
        self._require_frame(waveform.shape[2])
        spectrum = torch.stft(
            waveform.flatten(0, 1),
            self.n_fft,
            self.hop,
            window=self.window.to(waveform),
            center=self.center,
            pad_mode="constant",
            return_complex=True,
        ).unflatten(0, waveform.shape[:2])
        if self.power == 1.0:
            return spectrum.abs()
        return spectrum.real.square() + spectrum.imag.square()

    def frequencies(self) -> Array:
        """See :class:`FrontEnd`."""
        return np.arange(self.n_fft // 2 + 1) * self.sfreq / self.n_fft

    def instants(self, samples: int) -> Array:
        """See :class:`FrontEnd`."""
        self._require_frame(samples)
        half = self.n_fft // 2
        count = 1 + (samples + 2 * half * self.center - self.n_fft) // self.hop
        return (np.arange(count) * self.hop + half * (not self.center)) / self.sfreq

    @property
    def units(self) -> str:
        """See :class:`FrontEnd`."""
        return "1"

    def extra_repr(self) -> str:
        """Say what the front end is made of."""
        return f"sfreq={self.sfreq:g}, n_fft={self.n_fft}, hop={self.hop}, center={self.center}, power={self.power:g}"

    def _require_frame(self, samples: int) -> None:
        shortest = self.n_fft - 2 * (self.n_fft // 2) * self.center
        if samples < max(shortest, 1):
            raise ValueError(
                f"The signal of {samples} samples is shorter than a frame of {self.n_fft}; choose a smaller n_fft, or "
                "center=True, or read clips with length and shorter='end'."
            )


class _Bands(Function):
    """Sums of frequencies with fixed weights, as one function: no layer of the model that a rule could be meant for.

    A rule's stabiliser would swallow the relevance of quiet recordings, whose powers are far below it.
    """

    @staticmethod
    def forward(ctx: Any, spectrogram: Tensor, filters: Tensor) -> Tensor:
        ctx.save_for_backward(filters)
        return filters @ spectrogram

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (filters,) = ctx.saved_tensors
        return filters.mT @ grads[0], None


register_operation(_Bands, "homogeneous")


class MelSpectrogram(Spectrogram):
    """Power in mel bands: ``librosa.feature.melspectrogram(y=y, ...)``, with Slaney's scale and normalisation.

    A band shares its relevance among its frequencies in proportion to the power each adds.

    Parameters
    ----------
    sfreq, n_fft, hop, win_length, window, center, power
        See `Spectrogram`.
    n_mels : int
        Number of bands.
    fmin, fmax : float
        Lowest and highest frequency in Hz; by default up to half the sampling rate.

    Raises
    ------
    ValueError
        As `Spectrogram`, or if a band is so narrow that it holds no frequency.
    ImportError
        If librosa is not installed.
    """

    def __init__(
        self,
        sfreq: float,
        n_fft: int,
        hop: int,
        n_mels: int = 128,
        *,
        fmin: float = 0.0,
        fmax: float | None = None,
        win_length: int | None = None,
        window: str = "hann",
        center: bool = True,
        power: float = 2.0,
    ) -> None:
        super().__init__(sfreq, n_fft, hop, win_length=win_length, window=window, center=center, power=power)
        from ._librosa import librosa

        fmax = sfreq / 2 if fmax is None else fmax
        if not (n_mels >= 1 and 0 <= fmin < fmax <= sfreq / 2):
            raise ValueError(
                f"Mel bands need n_mels of 1 or more and 0 <= fmin < fmax <= {sfreq / 2:g} Hz; got {n_mels}, {fmin:g} "
                f"and {fmax:g} Hz."
            )
        # Bands reach from the centre of the one below to that of the one above.
        self.centres = librosa.mel_frequencies(n_mels=n_mels + 2, fmin=fmin, fmax=fmax)[1:-1]
        with warnings.catch_warnings():
            # Of empty bands, which are an error below.
            warnings.simplefilter("ignore", UserWarning)
            filters = librosa.filters.mel(sr=sfreq, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, dtype=np.float64)
        empty = int((filters.max(axis=1) == 0).sum())
        if empty:
            raise ValueError(
                f"{empty} of {n_mels} mel bands lie between two frequencies of a frame of {n_fft} samples and would "
                "always be 0; choose fewer bands or a larger n_fft."
            )
        self.filters = torch.from_numpy(filters)

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`FrontEnd`."""
        spectrogram = super().forward(waveform)
        bands: Tensor = _Bands.apply(spectrogram, self.filters.to(spectrogram))
        return bands

    def frequencies(self) -> Array:
        """See :class:`FrontEnd`."""
        return np.asarray(self.centres)


class LogPower(FrontEnd):
    """Power in decibels, trial by trial: ``librosa.power_to_db(power, ref=..., amin=..., top_db=...)``.

    Relevance of a bin is that of what its power adds to silence, the floor that `amin` and `top_db` make; bins below
    it take none. The floor follows the loudest bin, but is a statistic that takes no relevance. What the decibels of
    the floor itself contribute belongs to no bin: with an audit it appears as absorbed. `ref` "silence" avoids it,
    since silence is then 0 dB, and is the best choice for a model that is to be explained.

    Parameters
    ----------
    front_end : FrontEnd
        A front end that returns power, such as `Spectrogram` or `MelSpectrogram`.
    ref : float, "max" or "silence"
        What is called 0 dB: a power, that of the loudest bin of the trial, or the floor.
    amin : float
        Powers below are raised to it.
    top_db : float or None
        Bins further below the loudest of the trial are raised to that.

    Raises
    ------
    ValueError
        If the front end returns something else than power, or a number is not positive.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        *,
        ref: float | Literal["max", "silence"] = 1.0,
        amin: float = 1e-10,
        top_db: float | None = 80.0,
    ) -> None:
        super().__init__()
        if isinstance(front_end, LogPower) or getattr(front_end, "power", 2.0) != 2.0:
            raise ValueError(f"Decibels are made of power; give a front end with power=2.0, not {front_end}.")
        if isinstance(ref, str) and ref not in ("max", "silence"):
            raise ValueError(f"ref={ref!r} is unknown; give a power, 'max' or 'silence'.")
        if amin <= 0 or (top_db is not None and top_db <= 0) or (not isinstance(ref, str) and ref <= 0):
            raise ValueError(f"ref, amin and top_db must be positive, got {ref}, {amin} and {top_db}.")
        self.front_end, self.sfreq = front_end, front_end.sfreq
        self.ref, self.amin, self.top_db = ref, amin, top_db

    def forward(self, waveform: Tensor) -> Tensor:
        """See :class:`FrontEnd`."""
        power = self.front_end(waveform)
        loudest = power.amax((1, 2, 3), keepdim=True)
        below = 0.0 if self.top_db is None else 10 ** (-self.top_db / 10)
        floor = (loudest * below).clamp_min(self.amin)
        if not isinstance(self.ref, str):
            # Above the floor decibels of a fixed power do not depend on it; derivatives are to say so too.
            floor = floor.detach()
        above = 10 * torch.log10((power / floor).clamp_min(1.0))
        if self.ref == "silence":
            return above
        reference = loudest.clamp_min(self.amin) if isinstance(self.ref, str) else max(self.ref, self.amin)
        return above + 10 * torch.log10(floor / reference).detach()

    def frequencies(self) -> Array:
        """See :class:`FrontEnd`."""
        return self.front_end.frequencies()

    def instants(self, samples: int) -> Array:
        """See :class:`FrontEnd`."""
        return self.front_end.instants(samples)

    @property
    def units(self) -> str:
        """See :class:`FrontEnd`."""
        return "dB"

    def extra_repr(self) -> str:
        """Say what the front end is made of."""
        return f"ref={self.ref}, amin={self.amin:g}, top_db={self.top_db}"
