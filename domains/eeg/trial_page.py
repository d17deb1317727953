"""One page for one trial: what the model saw in it, what misled it, and what that coincides with."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from signalrp.groups import class_names
from signalrp.plotting import relevance_norm
from signalrp.plotting.data import axis_label, edges
from signalrp.plotting.style import CURVE_COLOURS, GREY

from ._mne import mne
from .data import info_of
from .drawing import COLOURS, add_bar, contour_levels, eeg_channels, has_positions, in_microvolt, mark_event
from .misclassified import Examination, probabilities
from .regions import head_order, regions
from .sites import placed
from .verdicts import amount_words, row_of, verdict, window_words

_SHOWN = 3
_TRUE, _PREDICTED = CURVE_COLOURS[1], CURVE_COLOURS[0]
_SATURATED = 99.7
_SHADE = "#f3e2a9"
_RINGS = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": "black", "markersize": 6}


def trial_page(examination: Examination, trial: Any) -> Figure:
    """Draw one page for one trial.

    From above: the verdict in words; the signal at the electrodes that misled most, beside the means of correct trials
    of either class, the window shaded; relevance over channel × time for the class it was taken for and for the true
    one, on one scale; scalp maps of these in that window, of the evidence against correct trials, and of the signal
    (where positions are known). On the right: outputs as probabilities, the distances of all trials from the mean maps
    of both classes, and artefacts against what the other trials allow.

    Parameters
    ----------
    examination : Examination
        From `examine`.
    trial
        The trial, as the index of ``examination.trials`` names it. For a correct trial the runner-up stands in the
        place of the class that it was taken for.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    KeyError
        If there is no such trial.
    """
    row, number = row_of(examination, trial)
    figure = plt.figure(figsize=(14, 10.5), layout="constrained")
    figure.suptitle(
        "\n".join(textwrap.wrap(verdict(examination, trial), 175)), x=0.01, ha="left", fontsize=10.5, linespacing=1.35
    )
    left, right = figure.subfigures(1, 2, width_ratios=(2.7, 1), squeeze=False)[0]
    scalp = has_positions(examination.explained)
    parts = left.subfigures(3 if scalp else 2, 1, height_ratios=(1, 1.75, 0.95) if scalp else (1, 2.2))
    _draw_signals(parts[0], examination, row, number)
    _draw_maps(parts[1], examination, row, number)
    if scalp:
        _draw_scalps(parts[2], examination, row, number)
    axes = right.subplots(3, 1, height_ratios=(0.75, 1.5, 1))
    _draw_outputs(axes[0], examination, row, number)
    _draw_distances(axes[1], examination, row)
    _draw_artefacts(axes[2], examination, number)
    return figure


def _draw_signals(figure: SubFigure, examination: Examination, row: pd.Series, number: int) -> None:
    """The trial at the electrodes that misled most, beside means ± sd of correct trials of both classes."""
    table, explained = examination.trials, examination.explained
    signal, what = in_microvolt(explained["signal"].transpose("trial", "channel", "time"))
    names = row["electrodes"].split(", ")[:_SHOWN]
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    time = signal["time"].values
    for ax, name in zip(axes, names, strict=True):
        values = signal.sel(channel=name)
        ax.axvspan(row["window_start"], row["window_stop"], color=_SHADE, linewidth=0)
        for group, colour in ((row["true"], _TRUE), (row["rival"], _PREDICTED)):
            own = values.values[(table["correct"] & (table["true"] == group)).to_numpy()].astype(np.float64)
            mean, spread = own.mean(0), own.std(0)
            ax.fill_between(time, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
            ax.plot(time, mean, color=colour, linewidth=1.2, label=f"correct {group}, mean ± sd")
        ax.plot(time, values.values[number], color="black", linewidth=1.5, label="this trial")
        mark_event(ax, time)
        ax.set(xlim=(time[0], time[-1]), xlabel=axis_label(signal["time"]))
        ax.set_title(f"{name}{_region(explained, name)}", fontsize="medium")
    axes[0].set_ylabel(what)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False,
                  fontsize="small")  # fmt: skip


def _region(explained: xr.Dataset, name: str) -> str:
    if not placed(explained):
        return ""
    found = regions(explained, sides=True)
    return f" ({found.values[explained['channel'].values.astype(str) == name][0]})"


def _classes(examination: Examination, row: pd.Series) -> tuple[int, int]:
    """Numbers of the rival and of the true class."""
    names = class_names(examination.explained)
    return names.index(row["rival"]), names.index(row["true"])


def _draw_maps(figure: SubFigure, examination: Examination, row: pd.Series, number: int) -> None:
    """Relevance for the class it was taken for and for the true one, channel × time, on one scale."""
    explained = examination.explained
    maps = explained["class_relevance"].isel(trial=number).transpose("class", "channel", "time")
    order = head_order(explained) if placed(explained) else np.arange(maps.sizes["channel"])
    shown = maps.values[list(_classes(examination, row))][:, order]
    norm = relevance_norm(shown, percentile=_SATURATED)
    axes = figure.subplots(1, 2, sharey=True)
    time = maps["time"].values.astype(np.float64)
    said = "predicted" if not row["correct"] else "runner-up"
    for ax, values, title in zip(axes, shown, (f"{said}: {row['rival']}", f"true: {row['true']}"), strict=True):
        ax.pcolormesh(edges(time), np.arange(len(order) + 1) - 0.5, values, cmap=COLOURS, norm=norm, rasterized=True)
        for limit in (row["window_start"], row["window_stop"]):
            ax.axvline(limit, color="black", linewidth=0.9, linestyle="--")
        mark_event(ax, time)
        ax.set(xlabel=axis_label(maps["time"]), ylim=(len(order) - 0.5, -0.5))
        ax.set_title(f"relevance for {title} (sum {values.sum():.2f})", fontsize="medium")
    _name_rows(axes, explained, order, row["electrodes"].split(", "))
    add_bar(axes, norm, "relevance")


def _name_rows(axes: npt.NDArray[Any], explained: xr.Dataset, order: npt.NDArray[np.int64], misled: list[str]) -> None:
    """Names of regions on the left, and beside the maps a mark at each electrode that misled."""
    names = explained["channel"].values.astype(str)[order]
    # channels that are no EEG have no row
    for name in np.intersect1d(misled, names):
        for ax in axes:
            ax.plot(1.012, np.flatnonzero(names == name)[0], "<", color="black", markersize=4, clip_on=False,
                    transform=ax.get_yaxis_transform())  # fmt: skip
    if not placed(explained):
        every = -(-len(names) // 24)
        axes[0].set_yticks(np.arange(len(names))[::every], names[::every])
        return
    found = regions(explained).values[order]
    present = list(dict.fromkeys(found))
    axes[0].set_yticks([np.flatnonzero(found == name).mean() for name in present], present)
    for ax in axes:
        ax.tick_params(axis="y", length=0)
        for name in present[:-1]:
            ax.axhline(np.flatnonzero(found == name)[-1] + 0.5, color="0.3", linewidth=0.6)


def _draw_scalps(figure: SubFigure, examination: Examination, row: pd.Series, number: int) -> None:
    """Scalp maps in the window that misled: relevance for both classes, how unusual the evidence is, the signal."""
    explained = eeg_channels(examination.explained)
    misleading = examination.misleading.sel(channel=explained["channel"].values)
    window = int(np.argmin(np.abs(misleading["window_start"].values - row["window_start"])))
    time = explained["time"].values
    step = (time[-1] - time[0]) / (len(time) - 1)
    inside = (time > row["window_start"] - step / 2) & (time < row["window_stop"] - step / 2)
    maps = explained["class_relevance"].isel(trial=number).transpose("class", "channel", "time").values[..., inside]
    rival, true = (maps[one].sum(1) for one in _classes(examination, row))
    signal, what = in_microvolt(explained["signal"].isel(trial=number).transpose("channel", "time"))
    seen = signal.values[:, inside].mean(1)
    unusual = misleading["robust_z"].transpose("trial", "channel", "window").values[number, :, window]
    shared = relevance_norm(rival, true)
    panels: list[tuple[str, Any, Normalize]] = [
        (f"for {row['rival']}", rival, shared),
        (f"for {row['true']}", true, shared),
        (f"more for {row['rival']}\nthan in correct trials", unusual, relevance_norm(unusual)),
        ("signal", seen, relevance_norm(seen)),
    ]
    info = info_of(explained["signal"])
    axes = figure.subplots(1, 4)
    figure.suptitle(f"{window_words(row)}, circles: electrodes that misled", fontsize="medium")
    misled = np.isin(explained["channel"].values.astype(str), row["electrodes"].split(", "))
    for ax, (title, values, norm) in zip(axes, panels, strict=True):
        mne.viz.plot_topomap(
            values.astype(np.float64), info, axes=ax, show=False, cmap=COLOURS, vlim=(norm.vmin, norm.vmax),
            contours=contour_levels(norm), sensors="k,", mask=misled, mask_params=_RINGS,
        )  # fmt: skip
        ax.set_title(title, fontsize="small")
    for which, norm, label in (
        ([0, 1], shared, "relevance"),
        ([2], panels[2][2], "robust z"),
        ([3], panels[3][2], what),
    ):
        add_bar(axes[which], norm, label)


def _draw_outputs(ax: Axes, examination: Examination, row: pd.Series, number: int) -> None:
    """Outputs as probabilities."""
    names = class_names(examination.explained)
    output = examination.explained["output"].transpose("trial", "class").values[number]
    shares = probabilities(output[None].astype(np.float64))[0]
    colours = [{row["true"]: _TRUE, row["rival"]: _PREDICTED}.get(name, GREY) for name in names]
    ax.barh(np.arange(len(names)), shares, color=colours, height=0.6)
    labels = [f"{name}\n(true)" if name == row["true"] else name for name in names]
    ax.set_yticks(np.arange(len(names)), labels)
    for at, (share, value) in enumerate(zip(shares, output, strict=True)):
        _write_at_end(ax, share, at, 1.0, f"{share:.2f} (output {value:.2f})")
    ax.set(xlim=(0, 1), xlabel="probability")
    ax.invert_yaxis()
    ax.set_title("outputs", fontsize="medium")


def _draw_distances(ax: Axes, examination: Examination, row: pd.Series) -> None:
    """Distances of all trials from the mean maps of the two classes."""
    table = examination.trials
    # every trial by its distance from the same two classes, whichever of them is its own
    pair = table[table["true"].isin([row["true"], row["rival"]]) & table["rival"].isin([row["true"], row["rival"]])]
    own = pair["true"] == row["true"]
    x = pair["distance_true"].where(own, pair["distance_rival"])
    y = pair["distance_rival"].where(own, pair["distance_true"])
    for group, colour in ((row["true"], _TRUE), (row["rival"], _PREDICTED)):
        chosen = pair["correct"] & (pair["true"] == group)
        ax.plot(x[chosen], y[chosen], ".", color=colour, markersize=4, alpha=0.5, label=f"correct {group}")
    wrong = ~pair["correct"]
    ax.plot(x[wrong], y[wrong], "x", color="0.25", markersize=5, label="misclassified")
    ax.plot(row["distance_true"], row["distance_rival"], "*", color="black", markersize=14, label="this trial")
    limits = min(x.min(), y.min()) / 1.1, max(x.max(), y.max()) * 1.1
    ax.plot(limits, limits, color="0.6", linewidth=0.7, zorder=0)
    ax.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 4, 8, 16, 32) if limits[0] <= tick <= limits[1]]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    ax.set_xlabel(f"distance from {row['true']}\n(usual = 1)")
    ax.set_ylabel(f"distance from {row['rival']}\n(usual = 1)")
    ax.legend(fontsize="x-small", frameon=False)
    ax.set_title("relevance of all trials", fontsize="medium")


def _draw_artefacts(ax: Axes, examination: Examination, number: int) -> None:
    """Artefacts as multiples of what the other trials of the person allow."""
    ax.set_title("artefacts against other trials", fontsize="medium")
    if examination.artefacts is None:
        ax.text(0.5, 0.5, "not looked for", ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    found = examination.artefacts.isel(trial=number)
    names = found["artefact"].values.astype(str)
    ratio = (found["measure"] / found["limit"]).values
    colours = [_PREDICTED if there else "0.7" for there in found["present"].values]
    rows = np.arange(len(names))
    ax.barh(rows, ratio, color=colours, height=0.6)
    ax.axvline(1, color="black", linewidth=1)
    longest = max(1.6, 1.05 * float(ratio.max()))
    for at, (name, value) in enumerate(zip(names, ratio, strict=True)):
        text = f"{amount_words(found, name, 'measure')}\n(limit {amount_words(found, name, 'limit').split(' ')[0]})"
        _write_at_end(ax, value, at, longest, text)
    ax.set_yticks(rows, names)
    ax.set(xlim=(0, longest), xlabel="multiple of the limit")
    ax.invert_yaxis()


def _write_at_end(ax: Axes, length: float, at: float, longest: float, text: str) -> None:
    """Write behind a bar, or into it where there is more room."""
    inside = length > 0.5 * longest
    background = None if inside else {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5}
    ax.text(
        length + (-0.02 if inside else 0.02) * longest, at, text, va="center", fontsize="x-small",
        ha="right" if inside else "left", bbox=background,
    )  # fmt: skip
