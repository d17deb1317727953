"""What training changes at random in every clip, as modules that leave clips alone in evaluation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["RandomEqualiser", "RandomGain", "RandomMask"]


class RandomGain(nn.Module):
    """Makes every clip louder or quieter, by up to `decibels` either way.

    Parameters
    ----------
    decibels : float
        Range of the gain, to both sides.
    """

    def __init__(self, decibels: float = 10.0) -> None:
        super().__init__()
        self.decibels = decibels

    def forward(self, x: Tensor) -> Tensor:
        """Scale waveforms (trial, channel, time)."""
        if not self.training:
            return x
        gain = x.new_empty(len(x), *(1,) * (x.dim() - 1)).uniform_(-self.decibels, self.decibels)
        return x * 10 ** (gain / 20)


class RandomEqualiser(nn.Module):
    """Adds a smooth random curve over frequency and a gain to every spectrogram in dB: another room and microphone.

    Parameters
    ----------
    decibels : float
        Standard deviation of the curve, at five frequencies with straight lines between.
    gain : float
        Standard deviation of the gain, dB.
    """

    def __init__(self, decibels: float = 2.0, gain: float = 4.0) -> None:
        super().__init__()
        self.decibels, self.gain = decibels, gain

    def forward(self, x: Tensor) -> Tensor:
        """Colour spectrograms (trial, channel, frequency, frame) in dB."""
        if not self.training:
            return x
        knots = self.decibels * torch.randn(len(x), 1, 5).to(x)
        curve = F.interpolate(knots, x.shape[2], mode="linear", align_corners=True)
        return x + curve.unsqueeze(-1) + self.gain * torch.randn(len(x), 1, 1, 1).to(x)


class RandomMask(nn.Module):
    """Sets a band and a stretch of every spectrogram to zero (SpecAugment, Park et al. 2019, arXiv 1904.08779).

    Parameters
    ----------
    share : float
        Largest share of the frequencies and of the frames that is masked.
    """

    def __init__(self, share: float = 0.12) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Mask spectrograms (trial, channel, frequency, frame)."""
        if not self.training:
            return x
        for dim in (2, 3):
            size = x.shape[dim]
            start = torch.randint(size, (len(x), 1))
            stop = start + torch.randint(int(self.share * size) + 1, (len(x), 1))
            index = torch.arange(size)
            keep = ((index < start) | (index >= stop)).to(x)
            x = x * (keep[:, None, :, None] if dim == 2 else keep[:, None, None, :])
        return x
