"""Does a net need what its relevance marks? Samples, bins, windows, bands and harmonics are silenced in steps.

Becker et al. (2018, arXiv:1807.03418) set the most relevant samples, or bins of the spectrogram, to zero and compared
with random ones and with the loudest. What such a test can show depends on its controls:

- A sample set to zero is a click, and clicks are heard at all frequencies; the net meets sounds that it was not trained
  on, and part of the loss is theirs (Rong et al. 2022, arXiv:2202.00449). Louder samples make louder clicks. The order
  "equal amplitude" makes the same clicks: it shuffles relevance among samples that are equally loud, so what relevance
  takes beyond it is due to which of them it marks.
- Where there is silence nothing can be removed, and a random order that wastes its steps there would look harmless.
  What is silent already stays, in all orders.
- Windows make clicks at their two ends only, bands and harmonics none; they are fewer, which makes a coarser test.
  ``distance`` of the curves tells how far each step takes the net from clips as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from signalrp.inspection import DFT, STFT, Basis, inspect
from signalrp.validation import perturbation_curves

from .checks import sampling_rate
from .segments import BANDS, band_segments, harmonic_segments, window_segments
from .silence import fill_of, floor_of, loudness, shares_of_labels, shuffled_among_equals

__all__ = ["FRACTIONS", "mask_clips", "mask_pieces", "mask_spectrogram", "mask_waveform"]

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Of all samples; of a clip filled up with zeros more than half may be silent already."""
_WINDOWS = 4
"""As many are silenced one after the other: with 80 ms most of a spoken digit."""
_HARMONICS = 0.064
"""Seconds of the frames in which harmonics are removed; that long to resolve those of low voices."""
_VALUES = 2**22
"""Samples or bins that are ranked at once, which bounds memory."""


def mask_waveform(
    model: nn.Module,
    explanation: xr.Dataset,
    *,
    fractions: Sequence[float] = FRACTIONS,
    direction: str = "morf",
    repeats: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    """Set samples of waveforms to zero, the most relevant first.

    Parameters
    ----------
    model : torch.nn.Module
        Takes waveforms, in evaluation mode.
    explanation : xarray.Dataset
        Of waveforms (trial, channel, time), best held out, with ``label``.
    fractions : sequence of float
        Shares of all samples, 0 to 1. Once all that sounds is zero nothing more is removed.
    direction, repeats, seed
        See `signalrp.validation.perturbation_curves`.

    Returns
    -------
    xarray.Dataset
        Curves of `signalrp.validation.perturbation_curves` for the orders "relevance", "equal amplitude" (relevance
        shuffled among samples of about the same amplitude), "amplitude" and "random", of samples that are not zero.

    Raises
    ------
    ValueError
        If these are no waveforms, or as in `perturbation_curves`.
    """
    if "time" not in explanation["signal"].dims:
        raise ValueError(
            f"The explanation is one of {explanation['signal'].dims}, not of waveforms over time; use mask_spectrogram."
        )
    return _one_by_one(model, explanation, None, fractions, direction, repeats, seed).assign_attrs(removed="samples")


def mask_spectrogram(
    net: nn.Module,
    explanation: xr.Dataset,
    *,
    silence: float | None = None,
    fractions: Sequence[float] = FRACTIONS,
    direction: str = "morf",
    repeats: int = 1,
    seed: int = 0,
) -> xr.Dataset:
    """Silence bins of spectrograms, the most relevant first.

    Parameters
    ----------
    net : torch.nn.Module
        Takes spectrograms, in evaluation mode.
    explanation : xarray.Dataset
        Of spectrograms (trial, channel, frequency, frame), best held out, with ``label``.
    silence : float, optional
        What a bin without sound holds. By default 0 where no value is below it (power, magnitudes, and decibels above
        silence), else the smallest value of the clip, which is the floor of decibels below a maximum.
    fractions, direction, repeats, seed
        See `mask_waveform`.

    Returns
    -------
    xarray.Dataset
        As from `mask_waveform`, the amplitude being the distance from silence.

    Raises
    ------
    ValueError
        If these are no spectrograms, or as in `perturbation_curves`.
    """
    if not {"frequency", "frame"} <= set(explanation["signal"].dims) or "waveform" in explanation:
        raise ValueError(
            f"Expected the explanation of a net that takes spectrograms (frequency, frame), found one of "
            f"{explanation['signal'].dims}{' through inspect()' * ('waveform' in explanation)}; use mask_waveform."
        )
    curves = _one_by_one(net, explanation, silence, fractions, direction, repeats, seed)
    return curves.assign_attrs(removed="bins")


def mask_pieces(
    model: nn.Module,
    explanation: xr.Dataset,
    *,
    f0: xr.DataArray | None = None,
    ms: float = 80.0,
    bands: Mapping[str, tuple[float, float]] = BANDS,
    silence: float | None = None,
    repeats: int = 1,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """Silence windows, frequency bands and harmonics, the most relevant first.

    Parameters
    ----------
    model : torch.nn.Module
        Takes the waveforms or the spectrograms that were explained.
    explanation : xarray.Dataset
        Of waveforms, with ``per_unit``, whose bands and harmonics are removed through the Fourier transform and its
        inverse; or of spectrograms, whose bins are silenced.
    f0 : xarray.DataArray, optional
        Hz, (trial,), or (trial, frame) from `signalrp.domains.audio.harmonics.fundamental`. Without it harmonics are
        left out.
    ms : float
        Length of the windows.
    bands : mapping of str to (float, float)
        Limits in Hz. Those that hold none of the frequencies are left out.
    silence : float, optional
        Of spectrograms, see `mask_spectrogram`.
    repeats, seed
        See `mask_waveform`.

    Returns
    -------
    dict of str to xarray.Dataset
        Curves by what was silenced: "windows" (up to four of those that hold sound), "bands", "harmonics"; of the
        orders "relevance", "amplitude" and "random". Of harmonics, instead of amplitude, "harmonics" and "between": one
        removes the harmonics, the other about as many frequencies half a harmonic higher. The last step of bands and
        harmonics, at which all is silent, is left out.

    Raises
    ------
    ValueError
        If ``per_unit`` is missing, f0 does not fit, or as in `perturbation_curves`.
    """
    reference = explanation["signal"]
    floor = floor_of(reference, silence)

    def run(part: xr.Dataset, trials: slice) -> dict[str, xr.Dataset]:
        signal = part["signal"]
        options: dict[str, Any] = {
            "direction": "morf", "repeats": repeats, "reference": reference, "seed": seed,
            "fill": fill_of(floor),
        }  # fmt: skip
        found = {"windows": _windows(model, part, ms, floor, options)}
        if "time" in signal.dims:
            found["bands"] = _bands(model, inspect(part, DFT()), bands, options | {"basis": DFT()}, "amplitude")
        else:
            found["bands"] = _bands(model, part, bands, options, loudness(signal, floor))
        if f0 is not None:
            found["harmonics"] = _harmonics(model, part, f0.isel(trial=trials), options)
        return {what: curves.assign_attrs(removed=what) for what, curves in found.items()}

    return _in_parts(explanation, run)


def mask_clips(
    model: nn.Module, explanation: xr.Dataset, *, f0: xr.DataArray | None = None, seed: int = 0
) -> dict[str, xr.Dataset]:
    """Everything that can be masked of held-out clips: "samples" or "bins", then what `mask_pieces` returns.

    Curves of several folds join by ``xarray.concat(curves, "trial")``.

    Parameters
    ----------
    model, explanation, f0, seed
        See `mask_pieces`.
    """
    if "time" in explanation["signal"].dims:
        each = {"samples": mask_waveform(model, explanation, seed=seed)}
    else:
        each = {"bins": mask_spectrogram(model, explanation, seed=seed)}
    return each | mask_pieces(model, explanation, f0=f0, seed=seed)


def _one_by_one(
    model: nn.Module,
    explanation: xr.Dataset,
    silence: float | None,
    fractions: Sequence[float],
    direction: str,
    repeats: int,
    seed: int,
) -> xr.Dataset:
    reference = explanation["signal"]
    sizes = reference.shape[1:]
    number = xr.DataArray(np.arange(np.prod(sizes)).reshape(sizes), dims=reference.dims[1:])
    shares = np.union1d([0.0], fractions)
    if not (shares[0] >= 0 and 0 < shares[-1] <= 1):
        raise ValueError(f"fractions are {list(fractions)}; expected shares of samples, 0 to 1, and one above 0.")
    floor = floor_of(reference, silence)
    fill, rng = fill_of(floor), np.random.default_rng(seed)

    def run(part: xr.Dataset, trials: slice) -> dict[str, xr.Dataset]:
        level = loudness(part["signal"], floor)
        relevance = part["relevance"].transpose(*reference.dims).values
        orders: dict[str, Any] = {
            "relevance": "relevance",
            "equal amplitude": shuffled_among_equals(relevance, level.values, rng),
            "amplitude": level,
            "random": "random",
        }
        labels = xr.where(level > 0, number, -1)
        curves = perturbation_curves(
            model, part, orders=orders, fill=fill, fractions=shares_of_labels(shares, labels), segments=labels,
            direction=direction, repeats=repeats, reference=reference, seed=seed,
        )  # fmt: skip
        return {"all": curves.assign_coords(step=("step", 100 * shares, curves["step"].attrs))}

    return _in_parts(explanation, run)["all"]


def _windows(
    model: nn.Module, part: xr.Dataset, ms: float, floor: float | None, options: Mapping[str, Any]
) -> xr.Dataset:
    signal = part["signal"]
    windows = window_segments(signal, ms)
    (dim,) = windows.dims
    level = loudness(signal, floor)
    sound = (level > 0).any([other for other in signal.dims if other not in ("trial", dim)]).transpose("trial", dim)
    heard = np.stack([sound.values[:, windows.values == n].any(1) for n in range(int(windows.max()) + 1)], 1)
    labels = xr.DataArray(np.where(heard[:, windows.values], windows.values, -1), dims=("trial", dim))
    orders = {"relevance": "relevance", "amplitude": level, "random": "random"}
    return _one_after_the_other(model, part, labels, _WINDOWS, orders=orders, **options)


def _bands(
    model: nn.Module, seen: xr.Dataset, bands: Mapping[str, tuple[float, float]], options: Mapping[str, Any], level: Any
) -> xr.Dataset:
    frequency = seen["frequency"].values
    held = {name: (low, high) for name, (low, high) in bands.items() if ((frequency >= low) & (frequency < high)).any()}
    orders = {"relevance": "relevance", "amplitude": level, "random": "random"}
    labels = band_segments(seen["signal"], held)
    return _one_after_the_other(model, seen, labels, len(held) - 1, orders=orders, **options)


def _harmonics(model: nn.Module, part: xr.Dataset, f0: xr.DataArray, options: Mapping[str, Any]) -> xr.Dataset:
    basis: Basis | None = None
    if "time" in part["signal"].dims:
        length = round(_HARMONICS * sampling_rate(part["signal"]))
        basis = DFT() if f0.ndim == 1 else STFT("hann", length=length)
        part = inspect(part, basis)
    labels, signal = harmonic_segments(part, f0), part["signal"]
    orders: dict[str, Any] = {"relevance": "relevance", "random": "random"}
    for number, name in enumerate(labels.attrs["names"]):
        orders[name] = (labels == number).broadcast_like(signal).transpose(*signal.dims).values
    # Both pieces are about as large, though not to the bin.
    options = {**options, "segment_score": "mean", "basis": basis}
    return _one_after_the_other(model, part, labels, 1, orders=orders, **options)


def _one_after_the_other(
    model: nn.Module, explanation: xr.Dataset, labels: xr.DataArray, most: int, **options: Any
) -> xr.Dataset:
    """Curves over the first pieces; the last, where all is silent, would be the same for all orders."""
    count = len(np.unique(labels)) - int((labels < 0).any())
    fractions = [number / max(count, 1) for number in range(min(max(most, 1), count) + 1)]
    curves = perturbation_curves(model, explanation, segments=labels, fractions=fractions, **options)
    steps = np.arange(curves.sizes["step"], dtype=np.float64)
    return curves.assign_coords(step=("step", steps, curves["step"].attrs | {"units": "segments"}))


def _in_parts(
    explanation: xr.Dataset, run: Callable[[xr.Dataset, slice], dict[str, xr.Dataset]]
) -> dict[str, xr.Dataset]:
    """Run some trials at once, which bounds memory, and join the curves."""
    signal = explanation["signal"]
    size = max(1, _VALUES // signal[0].size)
    trials = [slice(start, start + size) for start in range(0, len(signal), size)]
    parts = [run(explanation.isel(trial=some), some) for some in trials]
    if len(parts) == 1:
        return parts[0]
    return {name: xr.concat([part[name] for part in parts], "trial", combine_attrs="override") for name in parts[0]}
