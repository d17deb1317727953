"""The pictures speech research is used to: waveforms and spectrograms, with the relevance that lies on them."""

from __future__ import annotations

from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from signalrp.inspection import DFT, inspect
from signalrp.plotting import RELEVANCE_COLOURS, relevance_norm

from .drawing import (
    STRONGEST,
    add_bar,
    draw_harmonics,
    draw_signed,
    draw_spectrogram,
    draw_waveform,
    named,
    one_trial,
    per_ms,
    set_frequency,
    waveforms,
)
from .mean_plots import plot_class_means, plot_harmonics
from .time_frequency import decibels, short_time, time_frequency

__all__ = ["plot_class_means", "plot_harmonics", "plot_spectrogram", "plot_views", "plot_waveform"]


def plot_waveform(
    explanation: xr.Dataset, trial: int = 0, *, window: float = 0.010, norm: Normalize | None = None
) -> Figure:
    """One waveform coloured by its relevance, and the relevance over time beneath.

    Relevance of single samples changes with every half wave; it is shown in a moving window, which the axis names.
    Within it positive and negative relevance cancel.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a net that hears waveforms (trial, channel, time).
    trial : int
        Position of the trial.
    window : float
        Length of the moving window in s; the default holds a period of most voices.
    norm : matplotlib.colors.Normalize, optional
        Colour scale of relevance per ms; by default that of the trial.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such trial, there are several channels, the window is shorter than a sample, or relevance is not
        that of waveforms.
    """
    data = one_trial(explanation, trial)
    signal, relevance = (values[0, 0] for values in waveforms(data))
    smoothed = per_ms(relevance, window)
    norm = relevance_norm(smoothed) if norm is None else norm
    figure, (upper, lower) = plt.subplots(
        2, sharex=True, height_ratios=(2, 1), layout="constrained", figsize=(8.5, 4.0)
    )  # fmt: skip
    draw_waveform(upper, signal, smoothed, norm)
    upper.set_title(named(data), fontsize="medium")
    upper.set_xlabel("")
    draw_signed(lower, smoothed["time"].values, smoothed.values)
    lower.set(xlabel="time (s)", ylabel="relevance\nper ms")
    lower.ticklabel_format(axis="y", scilimits=(-2, 3))
    add_bar([upper, lower], norm, f"relevance per ms\n(moving window of {1000 * window:g} ms)", RELEVANCE_COLOURS)
    figure.align_ylabels([upper, lower])
    return figure


def plot_spectrogram(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    n_fft: int | None = None,
    hop: int | None = None,
    f0: xr.DataArray | None = None,
    harmonics: int = 8,
    highest: float | None = None,
    scale: Literal["linear", "log"] = "linear",
    norm: Normalize | None = None,
) -> Figure:
    """Spectrogram of one sound in grey, with its relevance over it in colours.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a net that hears waveforms, from ``signalrp.explain(..., per_unit=True)``, or what ``inspect`` made of it
        with an ``STFT``; or of a net that sees spectrograms.
    trial : int
        Position of the trial.
    n_fft, hop : int, optional
        Samples of a window, and from one to the next; by default 32 ms and a quarter of it. For waveforms alone.
    f0 : xarray.DataArray, shape (trial, frame), optional
        Fundamental frequency in Hz, of the same trials, as `signalrp.domains.audio.harmonics.fundamental` returns it.
    harmonics : int
        Lines that are drawn of it, itself included.
    highest : float, optional
        Highest frequency that is shown, in Hz.
    scale : {"linear", "log"}
        Of the axis of frequency.
    norm : matplotlib.colors.Normalize, optional
        Colour scale of relevance per bin; by default that of the trial, saturated at its strongest 0.2 %.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such trial, there are several channels, the explanation has no relevance that can be seen in time
        and frequency, or f0 is of other trials.
    """
    data = one_trial(explanation, trial)
    seen = time_frequency(data, n_fft, hop)
    power, relevance = decibels(seen)[0, 0], seen["relevance"].isel(trial=0, channel=0)
    norm = relevance_norm(relevance, percentile=STRONGEST) if norm is None else norm
    figure, ax = plt.subplots(layout="constrained", figsize=(8.5, 4.0))
    draw_spectrogram(ax, power, relevance, norm)
    set_frequency(ax, power, scale, highest)
    if f0 is not None:
        draw_harmonics(ax, _track(f0, explanation, trial), harmonics)
        ax.legend(loc="upper right", fontsize="small", framealpha=0.8)
    ax.set_title(named(data), fontsize="medium")
    add_bar(ax, norm, "relevance per bin", extend="both")
    return figure


def plot_views(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    n_fft: int | None = None,
    hop: int | None = None,
    f0: xr.DataArray | None = None,
    harmonics: int = 8,
    highest: float | None = None,
) -> Figure:
    """The relevance of one sound for one net that hears waveforms, over time, over frequency, and over both.

    Three views of the same relevance, whose sums agree. Colours are relative to the largest relevance of each view;
    the axes have the numbers.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``, of a net that hears waveforms (trial, channel, time).
    trial, n_fft, hop, f0, harmonics, highest
        See `plot_spectrogram`. Over time and over frequency relevance is smoothed by moving windows as long as the hop
        and as wide as a bin of the spectrogram.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        See `plot_waveform` and `plot_spectrogram`.
    """
    data = one_trial(explanation, trial)
    signal, relevance = (values[0, 0] for values in waveforms(data))
    basis = short_time(data["signal"], n_fft, hop)
    both, spectral = time_frequency(data, n_fft, hop), inspect(data, DFT())
    step = float(np.diff(signal["time"].values[:2])[0])
    width = 1 / (len(basis.window) * step)
    over_time, over_frequency = per_ms(relevance, basis.hop * step), _per_hz(spectral["relevance"][0, 0], width)
    in_both = both["relevance"].isel(trial=0, channel=0)

    figure = plt.figure(layout="constrained", figsize=(9.5, 5.6))
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 2))
    main = figure.add_subplot(grid[1, 0])
    top, right = figure.add_subplot(grid[0, 0], sharex=main), figure.add_subplot(grid[1, 1], sharey=main)
    shared = Normalize(-1, 1)
    limits = [relevance_norm(view, percentile=p).vmax or 1.0 for view, p in ((over_time, 100), (in_both, STRONGEST))]
    draw_waveform(top, signal, over_time / limits[0], shared)
    power = decibels(both)[0, 0]
    draw_spectrogram(main, power, in_both / limits[1], shared)
    set_frequency(main, power, "linear", highest)
    if f0 is not None:
        draw_harmonics(main, _track(f0, explanation, trial), harmonics)
    main.set_xlim(float(signal["time"][0]), float(signal["time"][-1]))
    values = over_frequency.values
    power_of_ten = int(np.floor(np.log10(np.abs(values).max() or 1.0)))
    draw_signed(right, over_frequency["frequency"].values, values / 10.0**power_of_ten, upright=True)
    right.set_xlabel(f"relevance per Hz (× 1e{power_of_ten},\n{width:.3g} Hz wide)")
    right.tick_params(labelleft=False)
    top.tick_params(labelbottom=False)
    top.set_title(named(data), fontsize="medium")
    top.set_xlabel("")
    corner = figure.add_subplot(grid[0, 1])
    corner.axis("off")
    sums = {"time": relevance, "frequency": spectral["relevance"], "both": in_both}
    said = "\n".join(f"{name}: {float(values.sum()):.4g}" for name, values in sums.items())
    corner.text(0.5, 1, f"sum of relevance over\n{said}", ha="center", va="top", fontsize="small")
    bar = corner.inset_axes((0.05, 0.3, 0.9, 0.1))
    add_bar(main, shared, "relative to the largest", ticks=2, cax=bar, orientation="horizontal")
    return figure


def _per_hz(relevance: xr.DataArray, width: float) -> xr.DataArray:
    """Relevance over frequency in a moving window of so many Hz, per Hz."""
    spacing = float(np.diff(relevance["frequency"].values[:2])[0])
    smoothed = uniform_filter1d(relevance.values.astype(np.float64), max(1, round(width / spacing)), mode="constant")
    return relevance.copy(data=smoothed / spacing)


def _track(f0: xr.DataArray, explanation: xr.Dataset, trial: int) -> xr.DataArray:
    """The fundamental (frame,) of one trial."""
    if f0.dims != ("trial", "frame") or f0.sizes["trial"] != explanation.sizes["trial"]:
        raise ValueError(
            f"f0 has {dict(f0.sizes)} where {explanation.sizes['trial']} trials over frames are expected; give what "
            "fundamental() returns for the same trials."
        )
    return f0.isel(trial=trial)
