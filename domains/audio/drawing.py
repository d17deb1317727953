"""What pictures of sounds share: a waveform and a spectrogram with relevance on them, one colour bar, classes."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from scipy.ndimage import uniform_filter1d

from signalrp.groups import class_names
from signalrp.plotting import RELEVANCE_COLOURS, plot_relevance_lines
from signalrp.plotting.data import edges, signal_and_relevance

from .checks import sampling_rate

COLOURS = "RdBu_r"
SOUND: Colormap = LinearSegmentedColormap.from_list("sound", ["#ffffff", "#4d4d4d"])
"""Power from white to a grey that leaves colours their own."""
STRONGEST = 99.8
"""Percentile of relevance at which colours saturate in time and frequency, where single bins stand out by far."""
_COLUMNS = 2000
Array = npt.NDArray[np.float64]


def one_trial(explanation: xr.Dataset, trial: int) -> xr.Dataset:
    """Return the explanation of one trial of a single channel.

    Raises
    ------
    ValueError
        If there is no such trial, or there are several channels.
    """
    count, channels = explanation.sizes["trial"], explanation.sizes.get("channel", 1)
    if not -count <= trial < count:
        raise ValueError(f"There is no trial {trial}; the explanation has {count}, counted from 0.")
    if channels != 1:
        raise ValueError(f"The sound has {channels} channels; choose one with explanation.isel(channel=[0]).")
    return explanation.isel(trial=[trial])


def moving_mean(values: xr.DataArray, window: float) -> xr.DataArray:
    """Return values over time, the last dimension, averaged over a moving window of so many s, 0 beyond the ends.

    Raises
    ------
    ValueError
        If the window is shorter than a sample.
    """
    rate = sampling_rate(values)
    samples = round(window * rate)
    if samples < 1:
        raise ValueError(f"The window of {window:g} s is shorter than a sample, {1 / rate:.2g} s; give a longer one.")
    smoothed = uniform_filter1d(values.values.astype(np.float64), samples, axis=-1, mode="constant")
    return values.copy(data=smoothed)


def per_ms(relevance: xr.DataArray, window: float) -> xr.DataArray:
    """Return relevance over time in a moving window, per ms: its sum over the window by its length."""
    return moving_mean(relevance, window) * (sampling_rate(relevance) / 1000)


def draw_waveform(ax: Axes, signal: xr.DataArray, colour: xr.DataArray, norm: Normalize) -> None:
    """Draw one waveform (time,) in colours (time,); of a long one its extremes in each of some 2000 columns."""
    values, colours, time = signal.values, colour.values, signal["time"].values
    step = len(values) // _COLUMNS
    if step >= 4:
        starts = np.arange(0, len(values), step)
        counts = np.diff(np.append(starts, len(values)))
        extremes = (np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts))
        values = np.stack(extremes, 1).ravel()
        colours, time = (np.repeat(np.add.reduceat(x, starts) / counts, 2) for x in (colours, time))
    lines = {"signal": ("time", values), "relevance": ("time", colours)}
    shown = xr.Dataset(lines, {"time": ("time", time, {"units": "s"})})
    plot_relevance_lines(shown, ax=ax, norm=norm, linewidth=1.1)
    limit = 1.08 * float(np.abs(signal).max()) or 1.0
    ax.set(xlim=(time[0], time[-1]), ylim=(-limit, limit), ylabel="amplitude")


def draw_spectrogram(ax: Axes, power: xr.DataArray, relevance: xr.DataArray, norm: Normalize) -> None:
    """Draw power in dB (frequency, frame) in grey, and relevance over it, the less of it the more transparent."""
    power, relevance = (values.transpose("frequency", "frame") for values in (power, relevance))
    frame, frequency = edges(power["frame"].values), edges(power["frequency"].values).clip(min=0)
    ax.pcolormesh(frame, frequency, power.values, cmap=SOUND, rasterized=True)
    size = np.abs(norm(relevance.values.astype(np.float64)) - 0.5) * 2
    # The root, since most relevance is far below the largest and would not be seen.
    alpha: Any = np.asarray(0.9 * np.sqrt(np.clip(size, 0, 1)))
    ax.pcolormesh(
        frame, frequency, relevance.values, cmap=COLOURS, norm=norm, alpha=alpha, rasterized=True,
        zorder=3,
    )  # fmt: skip
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")


def set_frequency(ax: Axes, power: xr.DataArray, scale: str, highest: float | None) -> None:
    """Set the scale of the axis of frequency.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    if scale not in ("linear", "log"):
        raise ValueError(f"The scale {scale!r} is unknown; choose linear or log.")
    frequency = power["frequency"].values
    top = float(edges(frequency)[-1] if highest is None else highest)
    if scale == "log":
        # Below lies the mean of the signal and nothing that could be heard.
        lowest = max(50.0, float(frequency[frequency > 0].min()))
        ax.set_yscale("log", base=2)
        ax.set_ylim(lowest, top)
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_ylim(0, top)


def draw_harmonics(ax: Axes, f0: xr.DataArray, count: int) -> None:
    """Draw a fundamental (frame,) in Hz and its harmonics, `count` lines in all, beneath the relevance."""
    frame, track = f0["frame"].values, f0.values.astype(np.float64)
    ax.plot(frame, track, color="black", linewidth=1.3, label="f0", zorder=2)
    for number in range(2, count + 1):
        label = "its harmonics" if number == 2 else "_"
        ax.plot(frame, number * track, color="black", linewidth=0.6, linestyle="--", label=label, zorder=2)


def add_bar(
    axes: Any, norm: Normalize, label: str, cmap: str | Colormap = COLOURS, ticks: int = 5, **kwargs: Any
) -> None:
    """Add the one colour bar of some axes, with so many ticks at most."""
    listed = list(np.ravel(np.asarray(axes, dtype=object)))
    colours = mpl.colormaps[cmap] if isinstance(cmap, str) else cmap
    place = {"pad": 0.02, "ax": listed} if "cax" not in kwargs else {}
    bar = listed[0].figure.colorbar(ScalarMappable(norm, colours), label=label, **place | kwargs)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(ticks, symmetric=True)
    bar.formatter.set_powerlimits((-2, 3))
    bar.update_ticks()


def draw_signed(ax: Axes, where: Array, relevance: Array, upright: bool = False) -> None:
    """Fill what relevance there is over time, or, upright, over frequency; positive and negative in their colours."""
    fill, line = (ax.fill_betweenx, ax.axvline) if upright else (ax.fill_between, ax.axhline)
    for sign, colour in ((1, 0.88), (-1, 0.12)):
        fill(where, (relevance * sign).clip(0) * sign, color=RELEVANCE_COLOURS(colour), linewidth=0)
    line(0, color="black", linewidth=0.6)


def named(explanation: xr.Dataset) -> str:
    """Say which clip it is, what it is, and what the net took it for, of an explanation of one trial."""
    said = [str(explanation["file"].values[0])] if "file" in explanation.coords else []
    names = class_names(explanation)
    if "label" in explanation:
        said.append(f"true class {names[int(explanation['label'].values[0])]}")
    if "target" in explanation and explanation["target"].dims == ("trial",):
        said.append(f"explained: {names[int(explanation['target'].values[0])]}")
    return ", ".join(said)


def waveforms(explanation: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return signal and relevance (trial, channel, time) of an explanation of waveforms.

    Raises
    ------
    ValueError
        If it is of something else.
    """
    if "time" not in explanation["relevance"].dims:
        raise ValueError(
            f"Relevance of waveforms, over time, is needed; found {explanation['relevance'].dims}. Give what explain() "
            "returned for waveforms, before it was inspected."
        )
    return signal_and_relevance(explanation)
