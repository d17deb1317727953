"""What every front end can do: a picture of waveforms as a torch module, and as a labelled array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor, nn

from .checks import require_rate

Array = npt.NDArray[np.float64]


class FrontEnd(nn.Module, ABC):
    """What turns waveforms (batch, channel, time) into pictures (batch, channel, frequency, frame).

    A front end has no weights and nothing to save. ``nn.Sequential(front_end, net)`` hears waveforms, and its
    explanation reaches them; ``signalrp.explain(net, front_end.apply_to(signal))`` stops at the picture.

    Attributes
    ----------
    sfreq : float
        Sampling rate in Hz that waveforms must have.
    """

    sfreq: float

    @abstractmethod
    def forward(self, waveform: Tensor) -> Tensor:
        """Return the picture (batch, channel, frequency, frame) of waveforms (batch, channel, time)."""

    @abstractmethod
    def frequencies(self) -> Array:
        """Return the centre of every band in Hz."""

    @abstractmethod
    def instants(self, samples: int) -> Array:
        """Return the middle of every frame of so many samples, in s since the first of them."""

    @property
    @abstractmethod
    def units(self) -> str:
        """Units of what `forward` returns."""

    def coords(self, signal: xr.DataArray) -> dict[str, Any]:
        """Coordinates of the picture of a signal: frequency in Hz and frame (its middle) in s, for xarray.

        Raises
        ------
        ValueError
            If the signal has another sampling rate than the front end.
        """
        require_rate(signal, self.sfreq)
        frame = self.instants(signal.sizes["time"]) + float(signal["time"].values[0])
        return {
            "frequency": ("frequency", self.frequencies(), {"units": "Hz"}),
            "frame": ("frame", frame, {"units": "s"}),
        }

    def apply_to(self, signal: xr.DataArray, batch_size: int = 64) -> xr.DataArray:
        """Picture of a labelled signal, which a net that takes pictures can be explained on.

        Parameters
        ----------
        signal : xarray.DataArray, shape (trial, channel, time)
            Waveforms.
        batch_size : int
            Trials at once.

        Returns
        -------
        xarray.DataArray, shape (trial, channel, frequency, frame)
            In the type of the signal. Coordinates along trial and channel, and attributes, are kept.

        Raises
        ------
        ValueError
            If the signal has another sampling rate than the front end, or is too short for it.
        """
        coords = self.coords(signal)
        signal = signal.transpose("trial", "channel", "time")
        values = signal.values
        with torch.no_grad():
            parts = [
                self(torch.from_numpy(values[at : at + batch_size].copy())).numpy()
                for at in range(0, len(values), batch_size)
            ]
        kept = {key: coord.variable for key, coord in signal.coords.items() if "time" not in coord.dims}
        return xr.DataArray(
            np.concatenate(parts),
            dims=("trial", "channel", "frequency", "frame"),
            coords=kept | coords,
            name="spectrogram",
            attrs=signal.attrs | {"units": self.units},
        )
