"""Signals and the relevance that lies on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike

from signalrp.plotting.data import (
    Explanation,
    axis_label,
    edges,
    one_channel,
    positions,
    signal_and_relevance,
    signal_label,
)
from signalrp.plotting.style import RELEVANCE_COLOURS, one_axes, relevance_norm


def plot_relevance_lines(
    explanation: Explanation,
    trials: ArrayLike | None = None,
    channel: object = None,
    ax: Axes | None = None,
    norm: Normalize | None = None,
    linewidth: float | None = None,
) -> Axes:
    """Signals of many trials over each other, coloured by their relevance.

    Parameters
    ----------
    explanation
        Dataset with ``signal`` and ``relevance``, or these two as arrays (time,), (trial, time) or
        (trial, channel, time).
    trials
        Positions or boolean mask of the trials to show; by default all.
    channel
        Channel by name; needed when there are several.
    ax
        Axes to draw on; by default those of a new figure.
    norm
        Colour scale, best from `relevance_norm` over all panels of the figure; by default over the trials
        shown.
    linewidth
        In points; by default thinner the more trials there are.

    Returns
    -------
    matplotlib.axes.Axes
    """
    signal, relevance = one_channel(explanation, channel)
    chosen = slice(None) if trials is None else np.asarray(trials)
    signal, relevance = signal[chosen], relevance[chosen]
    if not len(signal):
        raise ValueError("No trial to show; check the selection of trials.")
    ax = one_axes(ax)
    time = np.broadcast_to(positions(signal["time"]), signal.shape)
    points = np.stack([time, signal.values], axis=-1)
    # each piece of line is centred on its sample and so wears that sample's colour alone
    middle = (points[:, 1:] + points[:, :-1]) / 2
    starts = np.concatenate([points[:, :1], middle], axis=1)
    ends = np.concatenate([middle, points[:, -1:]], axis=1)
    lines = np.stack([starts, points, ends], axis=2).reshape(-1, 3, 2)
    colours = relevance.values.ravel()
    # what matters most is drawn last, else other trials would hide it
    order = np.argsort(np.abs(colours), kind="stable")
    collection = LineCollection(
        cast("Sequence[ArrayLike]", lines[order]),
        array=colours[order],
        cmap=RELEVANCE_COLOURS,
        norm=relevance_norm(relevance) if norm is None else norm,
        linewidths=linewidth or float(np.clip(4 / len(signal) ** 0.35, 0.8, 2.5)),
        capstyle="round",
        rasterized=len(lines) > 5000,
    )
    ax.add_collection(collection)
    ax.set_xlim(time[0, 0], time[0, -1])
    ax.autoscale_view(scalex=False)
    ax.set(xlabel=axis_label(signal["time"]), ylabel=signal_label(signal))
    return ax


def plot_mean(
    explanation: Explanation,
    channel: object = None,
    axes: Sequence[Axes] | None = None,
    norm: Normalize | None = None,
) -> tuple[Axes, Axes]:
    """Mean ± standard deviation of the signal over trials, with the mean relevance beneath.

    Parameters
    ----------
    explanation, channel, norm
        See `plot_relevance_lines`; the scale is by default that of the mean relevance.
    axes
        Two axes, the upper for the signal, the lower for the relevance; by default those of a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Signal above, relevance below.
    """
    signal, relevance = one_channel(explanation, channel)
    if axes is None:
        axes = plt.subplots(2, sharex=True, height_ratios=(2, 1), layout="constrained")[1]
    upper, lower = axes
    time = positions(signal["time"])
    limits = edges(time)
    mean, sd = signal.values.mean(0), signal.values.std(0)
    upper.fill_between(time, mean - sd, mean + sd, color="#d9d9d9", linewidth=0, label="sd")
    upper.plot(time, mean, color="black", linewidth=1.4, label="mean")
    upper.tick_params(labelbottom=False)
    upper.set(xlim=(limits[0], limits[-1]), ylabel=signal_label(signal))
    upper.legend(frameon=False, fontsize="small")
    average, spread = relevance.values.mean(0), relevance.values.std(0)
    lower.fill_between(time, average - spread, average + spread, color="#e6e6e6", linewidth=0)
    scale = relevance_norm(average) if norm is None else norm
    lower.bar(limits[:-1], average, width=np.diff(limits), align="edge", color=RELEVANCE_COLOURS(scale(average)))
    lower.axhline(0, color="black", linewidth=0.6)
    # half a bar at either end would vanish behind the frame
    lower.set(xlim=(limits[0], limits[-1]), xlabel=axis_label(signal["time"]), ylabel="relevance\n(mean ± sd)")
    lower.locator_params(axis="y", nbins=4)
    upper.figure.align_ylabels([upper, lower])
    return upper, lower


def plot_heatmap(
    explanation: Explanation,
    trials: ArrayLike | None = None,
    ax: Axes | None = None,
    norm: Normalize | None = None,
) -> Axes:
    """Mean relevance over trials as a heat map, channel × time.

    Parameters
    ----------
    explanation, trials, ax, norm
        See `plot_relevance_lines`; the scale is by default that of the mean shown.

    Returns
    -------
    matplotlib.axes.Axes
    """
    _, relevance = signal_and_relevance(explanation)
    if trials is not None:
        relevance = relevance[np.asarray(trials)]
    if not len(relevance):
        raise ValueError("No trial to show; check the selection of trials.")
    mean = relevance.mean("trial")
    ax = one_axes(ax)
    names = mean["channel"].values
    ax.pcolormesh(
        edges(positions(mean["time"])),
        np.arange(len(names) + 1) - 0.5,
        mean.values,
        cmap=RELEVANCE_COLOURS,
        norm=relevance_norm(mean) if norm is None else norm,
        rasterized=True,
    )
    # with many channels only every so many names find room
    every = -(-len(names) // 24)
    ax.set_yticks(np.arange(len(names))[::every], [str(name) for name in names[::every]])
    ax.invert_yaxis()
    ax.set(xlabel=axis_label(mean["time"]), ylabel="" if len(names) < 2 else "channel")
    return ax
