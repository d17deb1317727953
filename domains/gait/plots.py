"""The pictures gait research is used to: curves over stance with its phases, a person's signature, model by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.signal import find_peaks

from signalrp.plotting import (
    RELEVANCE_COLOURS,
    add_colorbar,
    plot_mean,
    plot_relevance_lines,
    relevance_norm,
)
from signalrp.plotting.data import axis_label, one_channel

from .findings import recognised
from .labelled import STANCE
from .segments import PHASES


def mark_phases(ax: Axes, names: bool = True) -> Axes:
    """Shade every other phase of stance, and write the names of the phases above the axes."""
    for number, (name, (start, end)) in enumerate(PHASES.items()):
        if number % 2:
            ax.axvspan(start, end, color="0.95", zorder=0, linewidth=0)
        if names:
            ax.text((start + end) / 2, 1.02, name, transform=ax.get_xaxis_transform(), ha="center", fontsize="small")
    return ax


def relevant_instants(relevance: xr.DataArray, count: int = 3) -> npt.NDArray[np.float64]:
    """Return the instants at which a mean relevance is highest.

    Parameters
    ----------
    relevance : xarray.DataArray, shape (trial, time)
        Relevance of one channel.
    count : int
        How many at most; fewer when there are fewer positive peaks at least 5 samples apart.

    Returns
    -------
    numpy.ndarray
        On the time axis, ascending.
    """
    mean = relevance.mean("trial").values
    peaks, _ = find_peaks(np.pad(mean, 1, constant_values=-np.inf), height=1e-12, distance=5)
    peaks -= 1
    chosen = peaks[np.argsort(mean[peaks])[::-1][:count]]
    return np.sort(relevance["time"].values[chosen].astype(np.float64))


def plot_signature(explanations: Mapping[str, xr.Dataset], subject: str, channel: object = None) -> Figure:
    """A person's signature: all trials over stance, coloured by relevance, one row for each model.

    Only trials that the model attributed to the person are shown, so that relevance speaks for that person.
    Models differ in the scale of their outputs: each row is divided by the 99th percentile of its magnitudes.
    Triangles mark the most relevant instants of the mean.

    Parameters
    ----------
    explanations : mapping
        Name of the model -> explanation with the trial coordinate ``subject``.
    subject : str
        The person.
    channel : str, optional
        Needed when there are several.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the subject is unknown, or no model recognises a single trial.
    """
    chosen = {name: _recognised(explanation, subject) for name, explanation in explanations.items()}
    if not any(part.sizes["trial"] for part, _ in chosen.values()):
        raise ValueError(f"no model recognised a trial of {subject}; there is no signature to show.")
    figure, grid = plt.subplots(
        len(chosen),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
        figsize=(9, 0.9 + 1.75 * len(chosen)),
    )
    norm = Normalize(-1, 1)
    for row, (ax, (name, (part, total))) in enumerate(zip(grid[:, 0], chosen.items(), strict=True)):
        mark_phases(ax, names=row == 0)
        label = f"{name}: {part.sizes['trial']} of {total} trials recognised"
        ax.text(0.99, 0.95, label, transform=ax.transAxes, ha="right", va="top", fontsize="small")
        if not part.sizes["trial"]:
            continue
        part = part.assign(relevance=part["relevance"] / (relevance_norm(part["relevance"], percentile=99).vmax or 1.0))
        plot_relevance_lines(part, channel=channel, ax=ax, norm=norm)
        relevance = part["relevance"].sel(channel=part["channel"].values[0] if channel is None else channel)
        for instant in relevant_instants(relevance):
            ax.plot(instant, 0.04, "^", color="black", markersize=6, transform=ax.get_xaxis_transform())
            ax.annotate(
                f"{instant:g} %", (instant, 0.04), xycoords=ax.get_xaxis_transform(), xytext=(0, 5),
                textcoords="offset points", fontsize="x-small", va="bottom",
                ha="left" if instant < 3 else "right" if instant > 97 else "center",
            )  # fmt: skip
        if row < len(chosen) - 1:
            ax.set_xlabel("")
    signals = [part["signal"] for part, _ in chosen.values() if part.sizes["trial"]]
    low, high = min(float(s.min()) for s in signals), max(float(s.max()) for s in signals)
    grid[0, 0].set_ylim(low - 0.22 * (high - low), high + 0.26 * (high - low))
    add_colorbar(grid[:, 0], norm, "relevance (99th percentile of each row = 1)", extend="both")
    figure.suptitle(f"{subject}: what the models recognise this person by", fontsize="medium")
    return figure


def _recognised(explanation: xr.Dataset, subject: str) -> tuple[xr.Dataset, int]:
    own = explanation["subject"].values == subject
    if not own.any():
        people = ", ".join(sorted(set(map(str, explanation["subject"].values))))
        raise ValueError(f"there is no subject {subject!r}; the explanation has {people}.")
    return recognised(explanation.isel(trial=np.flatnonzero(own))), int(own.sum())


def plot_people(explanation: xr.Dataset, channel: object = None, ax: Axes | None = None) -> Axes:
    """Mean relevance of every person over stance, person x time, for the trials that were recognised.

    Each row is divided by its largest magnitude, so that rows compare in shape. The row of a person of whom no
    trial was recognised stays blank.

    Raises
    ------
    ValueError
        If no trial was recognised, or there are several channels and none is chosen.
    """
    known = recognised(explanation)
    if not known.sizes["trial"]:
        raise ValueError("no trial was recognised; there is no relevance to show.")
    _, relevance = one_channel(known, channel)
    mean = relevance.groupby("subject").mean("trial")
    largest = abs(mean).max("time")
    mean = (mean / largest.where(largest > 0)).reindex(subject=np.unique(explanation["subject"].values))
    time = mean["time"].values
    if ax is None:
        ax = plt.subplots(layout="constrained", figsize=(9, 4))[1]
    mark_phases(ax)
    step = (time[1] - time[0]) / 2
    mesh = ax.pcolormesh(
        np.append(time - step, time[-1] + step), np.arange(mean.sizes["subject"] + 1) - 0.5,
        mean.transpose("subject", "time").values, cmap=RELEVANCE_COLOURS, vmin=-1, vmax=1, rasterized=True,
    )  # fmt: skip
    for start, _ in list(PHASES.values())[1:]:
        ax.axvline(start, color="0.4", linewidth=0.6)
    ax.set_yticks(np.arange(mean.sizes["subject"]), [str(s) for s in mean["subject"].values])
    ax.invert_yaxis()
    ax.set(xlim=(time[0], time[-1]), xlabel=axis_label(explanation["time"]), ylabel="person")
    ax.figure.colorbar(mesh, ax=ax, label="mean relevance / largest of the row")
    return ax


def plot_classes(explanation: xr.Dataset, classes: Sequence[str], channel: str) -> Figure:
    """Draw mean signal and mean relevance for every class that was recognised at all, side by side, six at most."""
    trials = {name: np.flatnonzero(explanation["label"].values == i) for i, name in enumerate(classes)}
    trials = dict([(name, chosen) for name, chosen in trials.items() if len(chosen)][:6])
    figure, axes = plt.subplots(
        2,
        len(trials),
        sharex=True,
        sharey="row",
        squeeze=False,
        height_ratios=(2, 1),
        layout="constrained",
        figsize=(1.5 + 4.6 * len(trials), 4.2),
    )
    parts = {name: explanation.isel(trial=chosen) for name, chosen in trials.items()}
    norm = relevance_norm(*(part["relevance"].sel(channel=channel).mean("trial") for part in parts.values()))
    for column, (name, part) in zip(axes.T, parts.items(), strict=True):
        plot_mean(part, channel=channel, axes=column, norm=norm)
        if part["time"].attrs.get("units") == STANCE:
            mark_phases(column[0])
        column[0].set_title(f"{name}, {part.sizes['trial']} trials", pad=20, fontsize="medium")
        if column[0] is not axes[0, 0]:
            column[0].set_ylabel("")
            column[1].set_ylabel("")
    return figure
