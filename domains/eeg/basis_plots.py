"""Pictures of relevance in bands, in time and frequency, and in independent components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signalrp.groups import trial_groups
from signalrp.plotting import relevance_norm
from signalrp.plotting.data import edges
from signalrp.plotting.style import CURVE_COLOURS

from .bases import Scale, ica_basis, relevance_by_band, relevance_by_component, time_frequency
from .drawing import (
    COLOURS,
    add_bar,
    add_legend,
    draw_lines,
    draw_scalp,
    draw_scalps,
    eeg_channels,
    has_positions,
    mark_event,
    with_counts,
)
from .plots import Trials, channels_at
from .segments import BANDS

_AT_ONCE = 32


def plot_bands(
    explanation: xr.Dataset,
    bands: Mapping[str, tuple[float, float]] = BANDS,
    by: str | None = "label",
    trials: Trials = None,
) -> Figure:
    """Relevance per frequency band: all electrodes together as bars, and each on scalp maps of one scale.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``. Without positions there are no scalp maps.
    bands : mapping of str to (float, float)
        Limits in Hz, see `relevance_by_band`.
    by, trials
        See `plot_channels`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the explanation lacks ``per_unit``, a band holds no frequency, or trials cannot be grouped so.
    """
    data = eeg_channels(explanation)
    groups = trial_groups(data, by, trials)
    relevance = relevance_by_band(data, bands)
    names = [str(name) for name in relevance["band"].values]
    titles = with_counts(groups)
    mapped = {titles[name]: relevance.isel(trial=chosen).mean("trial") for name, chosen in groups.items()}
    maps = has_positions(data)
    rows = len(groups) * maps
    figure = plt.figure(figsize=(1.4 + 1.45 * len(names), 2.6 + 1.55 * rows), layout="constrained")
    top, below = (
        figure.subfigures(2, 1, squeeze=False, height_ratios=(2.6, 1.55 * rows))[:, 0] if maps else (figure, None)
    )
    ax = top.subplots()
    width = 0.8 / len(groups)
    for number, (name, chosen) in enumerate(groups.items()):
        total = relevance.isel(trial=chosen).sum("channel").values
        error = total.std(0, ddof=1) / np.sqrt(len(total)) if len(total) > 1 else None
        places = np.arange(len(names)) + (number - (len(groups) - 1) / 2) * width
        colour = CURVE_COLOURS[number % len(CURVE_COLOURS)]
        ax.bar(places, total.mean(0), width, yerr=error, color=colour, label=titles[name], error_kw={"linewidth": 1})
    ax.axhline(0, color="0.4", linewidth=0.6)
    ax.set_xticks(np.arange(len(names)), [_band_title(name, bands) for name in names], fontsize="small")
    ax.set_ylabel("relevance, all electrodes\n(mean ± s.e.m.)")
    handles, _ = ax.get_legend_handles_labels()
    top.legend(handles=handles, loc="outside upper center", ncols=min(4, len(groups)), frameon=False, fontsize="small")
    if below is not None:
        draw_scalps(below, mapped, data["signal"], relevance_norm(*mapped.values()), "relevance")
    return figure


def plot_time_frequency(
    explanation: xr.Dataset,
    window: float = 0.25,
    places: Sequence[str] | None = None,
    by: str | None = "label",
    trials: Trials = None,
    norm: Normalize | None = None,
) -> Figure:
    """Relevance in time and frequency, summed over electrodes; mean over trials.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``.
    window : float
        Length of the Hann window in s; frequencies are its reciprocal apart. Frames whose middle lies beyond the ends
        of the epoch, which dashed lines mark, still reach into it.
    places : sequence of str, optional
        Electrodes or regions to sum over, such as ``["occipito-temporal"]``; by default all electrodes.
    by, trials, norm
        See `plot_channels`.

    Returns
    -------
    matplotlib.figure.Figure
        Up to the low-pass of the recording where it is known, beyond which there is next to nothing.

    Raises
    ------
    ValueError
        If the explanation lacks ``per_unit``, the window does not fit the epoch, there is no such electrode or region,
        or trials cannot be grouped so.
    """
    data = eeg_channels(explanation)
    if places is not None:
        data = data.isel(channel=np.unique(np.concatenate([channels_at(data, place) for place in places])))
    groups = trial_groups(data, by, trials)
    means = {name: _mean_time_frequency(data.isel(trial=chosen), window) for name, chosen in groups.items()}
    norm = relevance_norm(*means.values()) if norm is None else norm
    time = data["time"].values
    frequency, frame = (next(iter(means.values()))[dim].values for dim in ("frequency", "frame"))
    highest = min(frequency[-1], 1.1 * float(data["signal"].attrs.get("lowpass", np.inf)))
    size = (1.4 + 3.4 * len(groups), 3.2)
    figure, axes = plt.subplots(
        1, len(groups), sharex=True, sharey=True, squeeze=False, layout="constrained", figsize=size
    )
    titles = with_counts(groups)
    for ax, (name, mean) in zip(axes[0], means.items(), strict=True):
        ax.pcolormesh(edges(frame), edges(frequency), mean.values, cmap=COLOURS, norm=norm, rasterized=True)
        mark_event(ax, time)
        for end in (time[0], time[-1]):
            ax.axvline(end, color="0.4", linewidth=0.8, linestyle="--")
        ax.set(title=titles[name], xlabel="time (s)", ylim=(0, highest))
        ax.title.set_fontsize("medium")
    axes[0, 0].set_ylabel("frequency (Hz)")
    add_bar(axes, norm, "mean relevance")
    return figure


def plot_components(
    explanation: xr.Dataset,
    ica: Any,
    count: int = 5,
    scale: Scale = 1.0,
    by: str | None = "label",
    trials: Trials = None,
) -> Figure:
    """Independent components that matter most: their patterns above, their relevance over time below.

    Parameters
    ----------
    explanation : xarray.Dataset
        From ``signalrp.explain(..., per_unit=True)``.
    ica : mne.preprocessing.ICA
        Fitted on electrodes of the signal, with positions.
    count : int
        How many components, those first whose relevance, summed over time, is largest in the mean over trials.
    scale
        See `ica_basis`.
    by, trials
        See `plot_channels`; every group is a line.

    Returns
    -------
    matplotlib.figure.Figure
        Each pattern is on its own scale: neither its size nor its sign means anything. Above each stands the mean
        relevance of the component, and at the top that of all electrodes and of what the ICA leaves.

    Raises
    ------
    ValueError
        If the explanation lacks ``per_unit``, the ICA does not fit it, or trials cannot be grouped so.
    """
    data = eeg_channels(explanation)
    groups = trial_groups(data, by, trials)
    relevance = relevance_by_component(data, ica_basis(ica, [str(name) for name in data["channel"].values], scale))
    every = np.concatenate(list(groups.values()))
    total = relevance.isel(trial=every).sum("time").mean("trial")
    known = total.isel(component=slice(0, ica.n_components_))
    order = np.argsort(-np.abs(known.values))[:count]
    figure, axes = plt.subplots(
        2,
        len(order),
        squeeze=False,
        layout="constrained",
        figsize=(1.2 + 2.2 * len(order), 4.2),
        sharey="row",
        height_ratios=(1.1, 1),
    )
    patterns, titles = ica.get_components(), with_counts(groups)
    for (above, below), number in zip(axes.T, order, strict=True):
        draw_scalp(above, patterns[:, number], ica.info, relevance_norm(patterns[:, number]))
        name = str(known["component"].values[number])
        above.set_title(f"{name}\nrelevance {float(known[number]):.3g}", fontsize="small")
        own = relevance.isel(component=number)
        draw_lines(below, {titles[group]: own.isel(trial=chosen) for group, chosen in groups.items()})
        below.set_xlabel("time (s)")
    axes[1, 0].set_ylabel("relevance")
    rest = f", of the rest {float(total.sel(component='rest')):.3g}" if "rest" in total["component"].values else ""
    figure.suptitle(
        f"mean relevance of all components {float(total.sum()) - (float(total[-1]) if rest else 0):.3g}{rest}",
        fontsize="medium",
    )
    add_legend(figure, axes[1, 0])
    return figure


def _mean_time_frequency(data: xr.Dataset, window: float) -> xr.DataArray:
    """Mean over trials of the sum over electrodes, (frequency, frame)."""
    # some trials at once: in time and frequency they take some ten times as much memory
    parts = (data.isel(trial=slice(start, start + _AT_ONCE)) for start in range(0, data.sizes["trial"], _AT_ONCE))
    sums = [time_frequency(part, window)["relevance"].sum(("trial", "channel")) for part in parts]
    return (sum(sums[1:], sums[0]) / data.sizes["trial"]).transpose("frequency", "frame")


def _band_title(name: str, bands: Mapping[str, tuple[float, float]]) -> str:
    if name not in bands:
        return name
    low, high = bands[name]
    return f"{name}\n{low:g} to {high:g} Hz" if np.isfinite(high) else f"{name}\nfrom {low:g} Hz"
