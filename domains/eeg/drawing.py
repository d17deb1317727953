"""What pictures of EEG share: scalp maps in rows and columns, one colour bar, lines with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from signalrp.plotting.style import CURVE_COLOURS

from ._mne import mne
from .data import info_of

COLOURS = "RdBu_r"
"""White at 0, as EEG is used to."""
_LEVELS = np.array([-0.75, -0.5, -0.25, 0.25, 0.5, 0.75])
_MARKED = 16
_FEW = 8

Values = npt.NDArray[np.float64]


def eeg_channels(explanation: xr.Dataset) -> xr.Dataset:
    """Return the explanation of the channels that are EEG."""
    if "kind" not in explanation.coords:
        return explanation
    return explanation.isel(channel=np.flatnonzero(explanation["kind"].values == "eeg"))


def has_positions(explanation: xr.Dataset) -> bool:
    """Return whether every electrode has a position; channels that are no EEG need none."""
    data = eeg_channels(explanation)
    return all(axis in data.coords and bool(np.isfinite(data[axis]).all()) for axis in "xyz")


def contour_levels(norm: Normalize) -> Values:
    """Return where scalp maps have lines: not at 0, whose line would wind through whatever is next to nothing."""
    return _LEVELS * float(norm.vmax or 1.0)


def off_circle(info: Any) -> Any:
    """Return the info with few electrodes moved by some 10 µm: between four on one circle MNE cannot interpolate."""
    if len(info.ch_names) > _FEW:
        return info
    moved, chance = info.copy(), np.random.default_rng(0)
    for channel in moved["chs"]:
        channel["loc"][:3] += chance.normal(scale=1e-5, size=3)
    return moved


def draw_scalp(ax: Axes, values: npt.ArrayLike, info: Any, norm: Normalize) -> None:
    """Draw one scalp map of values (channel,), electrodes as dots, smaller where there are many."""
    dots: Any = "k." if len(info.ch_names) <= _MARKED else True
    mne.viz.plot_topomap(
        np.asarray(values, dtype=np.float64), off_circle(info), axes=ax, show=False,
        cmap=COLOURS, vlim=(norm.vmin, norm.vmax), contours=contour_levels(norm), sensors=dots,
    )  # fmt: skip


def draw_scalps(
    figure: Figure | SubFigure, maps: Mapping[str, xr.DataArray], signal: xr.DataArray, norm: Normalize, label: str
) -> None:
    """Draw scalp maps, a row for each entry and a column for each place along the first dimension, on one scale.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or SubFigure
        To draw on.
    maps : mapping of str to xarray.DataArray, shape (column, channel)
        By the name of the row; channels that are no EEG are left out.
    signal : xarray.DataArray
        For the positions.
    norm : matplotlib.colors.Normalize
        The scale of all.
    label : str
        Of the colour bar.

    Raises
    ------
    ValueError
        If an electrode has no position.
    """
    if "kind" in signal.coords:
        eeg = np.flatnonzero(signal["kind"].values == "eeg")
        maps, signal = {name: values.isel(channel=eeg) for name, values in maps.items()}, signal.isel(channel=eeg)
    info = info_of(signal, positions=True)
    first = next(iter(maps.values()))
    columns = [str(name) for name in first[first.dims[0]].values]
    grid = figure.subplots(len(maps), len(columns), squeeze=False)
    for ax, title in zip(grid[0], columns, strict=True):
        ax.set_title(title, fontsize="small")
    for row, (name, values) in zip(grid, maps.items(), strict=True):
        for ax, column in zip(row, values.values, strict=True):
            draw_scalp(ax, column, info, norm)
        row[0].set_ylabel(name, fontsize="small")
    add_bar(grid, norm, label)


def add_bar(axes: Any, norm: Normalize, label: str) -> None:
    """Add the one colour bar of some axes."""
    listed = list(np.ravel(np.asarray(axes, dtype=object)))
    bar = listed[0].figure.colorbar(ScalarMappable(norm, COLOURS), ax=listed, label=label, aspect=25, pad=0.02)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5, symmetric=True)
    bar.formatter.set_powerlimits((-2, 3))
    bar.update_ticks()


def draw_lines(ax: Axes, groups: Mapping[str, xr.DataArray]) -> None:
    """Draw the mean of values (trial, time) of every group, with the standard error of the mean over trials."""
    for colour, (name, values) in zip(_colours(len(groups)), groups.items(), strict=True):
        time = values["time"].values
        numbers = values.transpose("trial", "time").values.astype(np.float64)
        mean = numbers.mean(0)
        if len(numbers) > 1:
            error = numbers.std(0, ddof=1) / np.sqrt(len(numbers))
            ax.fill_between(time, mean - error, mean + error, color=colour, alpha=0.25, linewidth=0)
        ax.plot(time, mean, color=colour, linewidth=1.4, label=name)
    mark_event(ax, time)
    ax.axhline(0, color="0.4", linewidth=0.6)
    ax.set_xlim(time[0], time[-1])
    ax.ticklabel_format(axis="y", scilimits=(-2, 3))


def mark_event(ax: Axes, time: npt.NDArray[Any]) -> None:
    """Mark the event at 0 where the epoch has one."""
    if time[0] < 0 < time[-1]:
        ax.axvline(0, color="0.4", linewidth=0.8, linestyle=":")


def with_counts(groups: Mapping[str, Sequence[int] | npt.NDArray[np.int64]]) -> dict[str, str]:
    """Return the name of each group with its number of trials."""
    return {name: f"{name} (n = {len(chosen)})" if name else f"n = {len(chosen)}" for name, chosen in groups.items()}


def add_legend(figure: Figure, ax: Axes) -> None:
    """Write what the lines of `ax` are below the figure, once for all axes."""
    handles, names = ax.get_legend_handles_labels()
    names = [f"{name}, mean ± s.e.m." for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False, fontsize="small")
    # axes that share their limits know these, and so the width of their numbers, from the second drawing on
    figure.draw_without_rendering()


def in_microvolt(signal: xr.DataArray) -> tuple[xr.DataArray, str]:
    """Return a signal in µV if it is in V, else as it is, and what to call it."""
    units = str(signal.attrs.get("units", ""))
    if units == "V":
        return 1e6 * signal, "signal (µV)"
    return signal, {"": "signal", "1": "signal (scaled)"}.get(units, f"signal ({units})")


def _colours(count: int) -> list[Any]:
    return [CURVE_COLOURS[number % len(CURVE_COLOURS)] for number in range(count)]
