"""Pictures of many sounds: means over a class that are aligned in time, and relevance on harmonics in numbers."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signalrp.groups import trial_groups
from signalrp.plotting import RELEVANCE_COLOURS, relevance_norm
from signalrp.plotting.data import edges
from signalrp.plotting.style import CURVE_COLOURS, CURVE_MARKERS

from .aligned import Align, aligned, recorded, reference_instants
from .drawing import STRONGEST, add_bar, draw_spectrogram, moving_mean, per_ms, set_frequency
from .time_frequency import decibels

_COLUMNS = 5
_WINDOW = 0.010
_POINTS = 400
_LESS = "share - "
Means = Mapping[str, tuple[xr.Dataset, xr.Dataset]]


def plot_class_means(
    explanation: xr.Dataset,
    by: str | None = "label",
    trials: npt.ArrayLike | None = None,
    *,
    align: Align | None = "onset",
    shown: float = 0.5,
    highest: float | None = None,
) -> Figure:
    """Means over the sounds of each class, aligned in time.

    Of nets that hear waveforms: the root mean square of the sound, mirrored, in the colours of the mean relevance, and
    the mean relevance ± its standard error over trials beneath. Of nets that see spectrograms, and of explanations
    inspected with an ``STFT``: the mean spectrogram in dB with the mean relevance over it. What was put around a
    recording to fill its clip counts nowhere, see `signalrp.domains.audio.aligned.recorded`.

    Parameters
    ----------
    explanation : xarray.Dataset
        Relevance of sounds of a single channel.
    by : str, optional
        What groups trials: "label", "target", "predicted" or a coordinate along trial; None for one panel.
    trials : array, optional
        Positions or boolean mask of the trials that count, such as those that were classified correctly.
    align : {"onset", "peak"}, optional
        Align by the first instant within 20 dB of the largest energy, or by the instant of the largest energy; None for
        means over the clips as they are.
    shown : float
        Means are drawn where at least this part of the trials of a class has sound; titles give their number,
        and the least of it.
    highest : float, optional
        Highest frequency of spectrograms that is shown, in Hz.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If trials cannot be grouped or aligned so, none is left, there are several channels, or `shown` is not above 0
        and up to 1.
    """
    if explanation.sizes.get("channel", 1) != 1:
        raise ValueError(f"The sound has {explanation.sizes['channel']} channels; choose one with .isel(channel=[0]).")
    if not 0 < shown <= 1:
        raise ValueError(f"The part of the trials that must have sound lies above 0 and up to 1; got {shown:g}.")
    in_time = "time" in explanation["relevance"].dims
    means = {}
    for name, chosen in trial_groups(explanation, by, trials).items():
        own = explanation.isel(trial=chosen)
        zero, known = reference_instants(own, align), recorded(own)
        sound, relevance = _in_time(own) if in_time else _in_both(own)
        both = aligned(sound, zero, known), aligned(relevance, zero, known)
        enough = both[0]["count"].values >= shown * len(chosen)
        dim = "time" if in_time else "frame"
        least = int(both[0]["count"].values[enough].min(initial=len(chosen)))
        title = f"{name} (n = {len(chosen)})" if least == len(chosen) else f"{name} (n = {len(chosen)} to {least})"
        means[title] = both[0].isel({dim: enough}), both[1].isel({dim: enough})
    percentile = 100.0 if in_time else STRONGEST
    norm = relevance_norm(np.concatenate([m["mean"].values.ravel() for _, m in means.values()]), percentile=percentile)
    words = {None: "time (s)", "onset": "time from onset (s)", "peak": "time from loudest (s)"}[align]
    return _draw_in_time(means, norm, words) if in_time else _draw_in_both(means, norm, words, highest)


def plot_harmonics(tables: pd.DataFrame | Mapping[str, pd.DataFrame]) -> Figure:
    """Share of the positive relevance on the fundamental and its harmonics, against what it would be without aim.

    Parameters
    ----------
    tables : pandas.DataFrame or mapping of str to pandas.DataFrame
        From `signalrp.domains.audio.harmonics.harmonic_table`; or several by name, such as nets or classes.

    Returns
    -------
    matplotlib.figure.Figure
        Left the share, and that of its baselines; right how far it lies above each, with 95 % intervals. What is
        missing to 1 lies elsewhere.

    Raises
    ------
    ValueError
        If there is no table, or one is of something else.
    """
    named = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    for table in named.values():
        missing = {"estimate", "low", "high"} - set(table.columns)
        if missing or not any(str(row).startswith(_LESS) for row in table.index):
            raise ValueError(f"This is no table of shares, its rows are {list(table.index)}; give a harmonic_table().")
    if not named:
        raise ValueError("There is no table to draw; give at least one.")
    rows = list(dict.fromkeys(str(row) for table in named.values() for row in table.index))
    panels = [row for row in rows if not row.startswith(_LESS)], [row for row in rows if row.startswith(_LESS)]
    height = 1.2 + (0.24 + 0.14 * len(named)) * max(map(len, panels))
    figure, axes = plt.subplots(1, 2, layout="constrained", figsize=(9.5, height))
    for ax, chosen in zip(axes, panels, strict=True):
        _draw_intervals(ax, named, chosen)
        ax.set_yticks(range(len(chosen)), [row.removeprefix(_LESS) for row in chosen])
        ax.set_ylim(len(chosen) - 0.5, -0.5)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set(xlabel="share of positive relevance\n(95 % interval)", xlim=(0, None))
    axes[1].axvline(0, color="black", linewidth=0.8)
    axes[1].set(xlabel="share on the harmonics less …\n(95 % interval)")
    if len(named) > 1:
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


def _draw_intervals(ax: Axes, named: Mapping[str, pd.DataFrame], rows: list[str]) -> None:
    for number, (name, table) in enumerate(named.items()):
        found = table.reindex(rows)
        place = np.arange(len(rows)) + (number - (len(named) - 1) / 2) * 0.5 / len(named)
        estimate, low, high = (found[column].to_numpy(np.float64) for column in ("estimate", "low", "high"))
        # Without an interval, as of a single speaker, the mark stands alone.
        ends = np.nan_to_num(np.stack([estimate - low, high - estimate]).clip(0))
        ax.errorbar(
            estimate, place, xerr=ends, color=CURVE_COLOURS[number % len(CURVE_COLOURS)], linestyle="",
            marker=CURVE_MARKERS[number % len(CURVE_MARKERS)], markersize=5, linewidth=1.4, label=name,
        )  # fmt: skip


def _in_time(explanation: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Power and relevance per ms in moving windows, (trial, time)."""
    signal, relevance = (
        explanation[name].isel(channel=0).transpose("trial", "time") for name in ("signal", "relevance")
    )
    return moving_mean(signal.astype(np.float64) ** 2, _WINDOW), per_ms(relevance, _WINDOW)


def _in_both(explanation: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Power in dB and relevance, (trial, frequency, frame)."""
    relevance = explanation["relevance"].isel(channel=0).transpose("trial", "frequency", "frame")
    return decibels(explanation).isel(channel=0), relevance


def _draw_in_time(means: Means, norm: Normalize, words: str) -> Figure:
    """A pair of panels for each class: sound above, relevance beneath."""
    figure, grid = _grid(len(means), 2, (2.1, 2.6), (2.0, 1.2))
    loudest = max(float(np.sqrt(sound["mean"].max())) for sound, _ in means.values())
    bands = [(r["mean"] - r["error"].fillna(0), r["mean"] + r["error"].fillna(0)) for _, r in means.values()]
    lowest, highest = min(0.0, *(float(low.min()) for low, _ in bands)), max(float(high.max()) for _, high in bands)
    margin = 0.08 * (max(highest, 0.0) - lowest) or 1.0
    for (upper, lower), (title, (sound, relevance)), (low, high) in zip(grid, means.items(), bands, strict=True):
        every = max(1, sound.sizes["time"] // _POINTS)
        thin = sound["mean"][::every]
        level, borders = np.sqrt(thin.values.clip(0)), edges(thin["time"].values)
        left, right = borders[:-1], borders[1:]
        corners = np.stack([(left, -level), (right, -level), (right, level), (left, level)])
        colours = RELEVANCE_COLOURS(norm(relevance["mean"].values[::every]))
        upper.add_collection(PolyCollection(list(corners.transpose(2, 0, 1)), facecolors=colours, edgecolors=colours))
        upper.set_title(title, fontsize="small")
        upper.set_ylim(-1.1 * loudest, 1.1 * loudest)
        time = relevance["time"].values
        lower.fill_between(time, low, high, color="0.8", linewidth=0)
        lower.plot(time, relevance["mean"].values, color="black", linewidth=1)
        lower.axhline(0, color="0.4", linewidth=0.6)
        lower.set(ylim=(lowest - margin, max(highest, 0.0) + margin))
        lower.ticklabel_format(axis="y", scilimits=(-2, 3))
    for upper, lower in grid[::_COLUMNS]:
        upper.set_ylabel("rms\namplitude")
        lower.set_ylabel("relevance per ms\n(± s.e.m.)")
    _label(grid, words)
    add_bar(grid, norm, f"mean relevance per ms\n(windows of {1000 * _WINDOW:g} ms)", RELEVANCE_COLOURS, aspect=30)
    return figure


def _draw_in_both(means: Means, norm: Normalize, words: str, highest: float | None) -> Figure:
    """A spectrogram for each class."""
    figure, grid = _grid(len(means), 1, (2.4, 2.3), (1.0,))
    for (ax,), (title, (sound, relevance)) in zip(grid, means.items(), strict=True):
        draw_spectrogram(ax, sound["mean"], relevance["mean"], norm)
        set_frequency(ax, sound["mean"], "linear", highest)
        ax.set_title(title, fontsize="small")
        ax.set(xlabel="", ylabel="")
    for (ax,) in grid[::_COLUMNS]:
        ax.set_ylabel("frequency (Hz)")
    _label(grid, words)
    add_bar(grid, norm, "mean relevance per bin", extend="both", aspect=30)
    return figure


def _grid(
    count: int, deep: int, size: tuple[float, float], heights: tuple[float, ...]
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Return axes (class, part) of a new figure, the parts of a class beneath each other."""
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        deep * rows, columns, sharex=True, squeeze=False, layout="constrained",
        figsize=(1.6 + size[0] * columns, 0.6 + size[1] * rows), height_ratios=heights * rows,
    )  # fmt: skip
    listed = axes.reshape(rows, deep, columns).transpose(0, 2, 1).reshape(-1, deep)
    for ax in listed[count:].ravel():
        figure.delaxes(ax)
    return figure, listed[:count]


def _label(grid: npt.NDArray[np.object_], words: str) -> None:
    """Write numbers and names at the outer axes alone."""
    for number, parts in enumerate(grid):
        for ax in parts:
            ax.tick_params(labelleft=number % _COLUMNS == 0, labelbottom=False)
        if number + _COLUMNS >= len(grid):
            parts[-1].tick_params(labelbottom=True)
            parts[-1].set_xlabel(words)
