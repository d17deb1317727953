"""The pictures EEG research is used to: channel × time, scalp maps, time courses by region, evoked and relevance.

All of a figure is on one scale. Trials are grouped, by default by their true class; see `evokeds_by` for other ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signalrp.groups import trial_groups
from signalrp.plotting import plot_heatmap, relevance_norm
from signalrp.plotting.data import axis_label

from .checks import require_positions
from .drawing import (
    COLOURS,
    add_bar,
    add_legend,
    draw_lines,
    draw_scalps,
    eeg_channels,
    in_microvolt,
    mark_event,
    with_counts,
)
from .regions import REGIONS, SIDES, head_order, region_names, regions
from .segments import window_segments

_NAMED = 40
"""The most channels that are written by name; above it their regions are."""

Trials = npt.ArrayLike | None


def plot_channels(
    explanation: xr.Dataset, by: str | None = "label", trials: Trials = None, norm: Normalize | None = None
) -> Figure:
    """Mean relevance as a map, channel × time, the channels from front to back and in each region from left to right.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``relevance`` (trial, channel, time), and positions or names of the 10-10 system.
    by : str, optional
        What groups trials into panels: "label", "target", "predicted" or a coordinate along trial; None for one panel.
    trials : array, optional
        Positions or boolean mask of the trials that count, such as those that were classified correctly.
    norm : matplotlib.colors.Normalize, optional
        Colour scale; by default that of all panels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If trials cannot be grouped so, none is left, or an electrode has neither a position nor a name of the 10-10
        system.
    """
    data = explanation.isel(channel=head_order(explanation))
    groups = trial_groups(data, by, trials)
    means = [data["relevance"].isel(trial=chosen).mean("trial") for chosen in groups.values()]
    norm = relevance_norm(*means) if norm is None else norm
    count = data.sizes["channel"]
    size = (1.8 + 3.6 * len(groups), float(np.clip(1.2 + 0.16 * count, 2.6, 7.0)))
    figure, axes = plt.subplots(1, len(groups), sharey=True, squeeze=False, layout="constrained", figsize=size)
    for ax, (name, chosen) in zip(axes[0], groups.items(), strict=True):
        plot_heatmap(data, chosen, ax, norm)
        ax.collections[0].set_cmap(COLOURS)
        mark_event(ax, data["time"].values)
        ax.set_title(with_counts({name: chosen})[name], fontsize="medium")
        ax.set_ylabel("")
    # each map turns the shared axis over; the front is at the top
    axes[0, 0].set_ylim(count - 0.5, -0.5)
    _mark_regions(axes[0], data)
    add_bar(axes, norm, "mean relevance")
    return figure


def _mark_regions(axes: npt.NDArray[np.object_], data: xr.Dataset) -> None:
    """Separate the regions and name them, at the right, or at the left where channels are too many for their names."""
    found = regions(data, sides=True).values
    names = np.array([name.split(" ", 1)[1] for name in found])
    few, beside = data.sizes["channel"] <= _NAMED, axes[-1].get_yaxis_transform()
    centres, labels = [], []
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(names == name)
        centres.append(rows.mean())
        labels.append(name)
        for ax in axes:
            ax.axhline(rows[-1] + 0.5, color="0.3", linewidth=0.7)
        for side in (SIDES[0], SIDES[2]):
            own = np.flatnonzero(found == f"{side} {name}")
            if not few and len(own) >= 3:
                axes[-1].text(1.01, own.mean(), side[0].upper(), fontsize="x-small", va="center", transform=beside)
    if few:
        axes[0].set_yticks(np.arange(len(names)), [str(name) for name in data["channel"].values], fontsize="small")
        for centre, label in zip(centres, labels, strict=True):
            axes[-1].text(1.01, centre, label, fontsize="small", va="center", transform=beside)
    else:
        axes[0].set_yticks(centres, labels)
        axes[0].tick_params(axis="y", length=0)
    for ax in axes[1:]:
        ax.tick_params(axis="y", left=False)


def plot_scalp(
    explanation: xr.Dataset,
    windows: float | Mapping[str, tuple[float, float]] = 100.0,
    by: str | None = "label",
    trials: Trials = None,
    norm: Normalize | None = None,
) -> Figure:
    """Scalp maps of the mean relevance in windows of time, all on one scale, a row for each group of trials.

    Parameters
    ----------
    explanation, by, trials, norm
        See `plot_channels`; every electrode needs a position.
    windows : float or mapping of str to (float, float)
        In ms: the width of windows that follow each other, or their limits by name, such as
        ``{"N170": (130, 200)}``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If an electrode has no position, a window holds no sample, or trials cannot be grouped so.
    """
    data = eeg_channels(explanation)
    labels = window_segments(data["signal"], windows)
    names = labels.attrs["names"]
    if isinstance(windows, Mapping):
        names = [f"{name}\n{low:g} to {high:g} ms" for name, (low, high) in windows.items()]
    groups = trial_groups(data, by, trials)
    maps = {}
    for name, chosen in groups.items():
        mean = data["relevance"].isel(trial=chosen).mean("trial").transpose("time", "channel").values
        values = np.stack([mean[labels.values == number].mean(0) for number in range(len(names))])
        maps[with_counts({name: chosen})[name]] = xr.DataArray(values, {"window": names}, ("window", "channel"))
    norm = relevance_norm(*maps.values()) if norm is None else norm
    require_positions(data["signal"])
    figure = plt.figure(figsize=(1.2 + 1.45 * len(names), 0.5 + 1.55 * len(maps)), layout="constrained")
    draw_scalps(figure, maps, data["signal"], norm, "mean relevance")
    return figure


def plot_regions(
    explanation: xr.Dataset, by: str | None = "label", trials: Trials = None, sides: bool = False
) -> Figure:
    """Time course of relevance in every region: mean over its electrodes, then over trials, ± its standard error.

    Parameters
    ----------
    explanation, by, trials
        See `plot_channels`; every group is a line.
    sides : bool
        Left, midline and right apart.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        See `plot_channels`.
    """
    found, names = regions(explanation, sides), region_names(explanation, sides)
    groups = trial_groups(explanation, by, trials)
    # with sides apart every region has a row, in which a place stays empty where it has no electrode
    slots = [f"{side} {region}" for region in REGIONS for side in SIDES] if sides else names
    columns = min(3, len(slots))
    rows = [slots[start : start + columns] for start in range(0, len(slots), columns)]
    layout = [
        [name if name in names else "." for name in [*row, *"..."][:columns]] for row in rows if {*row} & {*names}
    ]
    size = (0.6 + 3.1 * columns, 0.6 + 1.8 * len(layout))
    figure, axes = plt.subplot_mosaic(layout, sharex=True, sharey=True, layout="constrained", figsize=size)
    titles = with_counts(groups)
    lowest = [next((row[column] for row in layout[::-1] if row[column] != "."), ".") for column in range(columns)]
    for name, ax in axes.items():
        own = explanation["relevance"].isel(channel=np.flatnonzero(found.values == name))
        draw_lines(ax, {titles[group]: own.isel(trial=chosen).mean("channel") for group, chosen in groups.items()})
        count = own.sizes["channel"]
        ax.set_title(f"{name} ({count} electrode{'s' * (count > 1)})", fontsize="small")
        ax.label_outer(remove_inner_ticks=False)
        if name in [row[0] for row in layout]:
            ax.set_ylabel("relevance\nper electrode")
        if name in lowest:
            ax.set_xlabel(axis_label(explanation["time"]))
            ax.tick_params(labelbottom=True)
    add_legend(figure, figure.axes[0])
    return figure


def plot_signal_and_relevance(
    explanation: xr.Dataset, places: Sequence[str], by: str | None = "label", trials: Trials = None
) -> Figure:
    """Evoked signal above, relevance below, at electrodes or in regions: mean over trials ± its standard error.

    Parameters
    ----------
    explanation, by, trials
        See `plot_channels`; every group is a line. Signals in V are shown in µV.
    places : sequence of str
        Electrodes by name, or regions such as "occipito-temporal" or "left occipito-temporal", whose mean is shown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such electrode or region; also see `plot_channels`.
    """
    groups = trial_groups(explanation, by, trials)
    chosen = {place: channels_at(explanation, place) for place in places}
    if not chosen:
        raise ValueError("There is no place to show; name electrodes or regions.")
    signal, what = in_microvolt(explanation["signal"])
    size = (1.2 + 3.0 * len(chosen), 4.0)
    figure, axes = plt.subplots(
        2, len(chosen), sharex=True, sharey="row", squeeze=False, layout="constrained", figsize=size
    )
    titles = with_counts(groups)
    for column, (place, channels) in zip(axes.T, chosen.items(), strict=True):
        for ax, values in zip(column, (signal, explanation["relevance"]), strict=True):
            own = values.isel(channel=channels).mean("channel")
            draw_lines(ax, {titles[name]: own.isel(trial=trials) for name, trials in groups.items()})
        count = f" ({len(channels)})" if place not in explanation["channel"].values else ""
        column[0].set_title(place + count, fontsize="medium")
        column[1].set_xlabel(axis_label(explanation["time"]))
    axes[0, 0].set_ylabel(what)
    axes[1, 0].set_ylabel("relevance")
    figure.align_ylabels(axes[:, 0])
    add_legend(figure, axes[0, 0])
    return figure


def channels_at(explanation: xr.Dataset, place: str) -> npt.NDArray[np.int64]:
    """Return the positions of an electrode or of all electrodes of a region.

    Raises
    ------
    ValueError
        If there is no such electrode or region.
    """
    names = explanation["channel"].values.astype(str)
    if place in names:
        return np.flatnonzero(names == place)
    try:
        found = [regions(explanation, sides).values == place for sides in (False, True)]
    except ValueError:
        found = []
    for mask in found:
        if mask.any():
            return np.flatnonzero(mask)
    known = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    at = f" or the regions {', '.join(region_names(explanation))}" if found else ""
    raise ValueError(f"There is no electrode or region {place!r}; choose of {known}{at}.")
