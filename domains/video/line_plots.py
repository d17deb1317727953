"""Numbers of many clips as lines: relevance by position in the clip and around a cut, accuracy by frame step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from signalrp.plotting.style import CURVE_COLOURS, CURVE_MARKERS
from signalrp.validation.curve_reading import clusters_of, percent
from signalrp.validation.statistics import bootstrap_interval

Values: TypeAlias = xr.DataArray | Mapping[str, xr.DataArray] | pd.DataFrame
_NUMBERS = ["estimate", "low", "high"]


def plot_border(values: Values, *, level: float = 0.95) -> Figure:
    """Relevance by position of the frame in the clip: does the clip's border count too much?

    Parameters
    ----------
    values : pandas.DataFrame, xarray.DataArray (trial, frame), or mapping of str to such arrays
        What `signalrp.domains.video.border.border_profile` returns; or the share of relevance that each frame of each
        clip carries, of which the mean over clips is drawn with a bootstrap interval that resamples the coordinate
        ``subject``, if any. Several by name: the net first, then its controls, dashed.
    level : float
        Coverage of the interval.

    Returns
    -------
    matplotlib.figure.Figure
        The dotted line is the same share for all frames.

    Raises
    ------
    ValueError
        If values have other dimensions, or clips of several lengths are mixed.
    """
    tables, words = _tables(values, "frame", level, "share of relevance", ("name", "position", "share"))
    lengths = {len(table) for table in tables.values()}
    if len(lengths) > 1:
        raise ValueError(f"Clips of {' and '.join(map(str, sorted(lengths)))} frames cannot be drawn over each other.")
    (length,) = lengths
    figure, ax = plt.subplots(layout="constrained", figsize=(6.8, 3.4))
    _draw_lines(ax, {name: table.set_axis(np.arange(1, length + 1)) for name, table in tables.items()})
    ax.axhline(1 / length, color="black", linestyle=":", linewidth=0.9, label="same for all")
    ax.set_ylim(bottom=0)
    ax.set(xlabel="position of the frame in the clip", ylabel=words, xlim=(0.5, length + 0.5))
    ax.set_xticks(np.unique(np.linspace(1, length, min(length, 8)).round()))
    _add_legend(ax)
    return figure


def plot_forward(
    values: Values,
    *,
    trained: float | None = 1,
    chance: float | None = None,
    level: float = 0.95,
) -> Figure:
    """Accuracy against the frame step at which a net that was not trained anew sees its clips.

    Parameters
    ----------
    values : pandas.DataFrame, xarray.DataArray (trial, step), or mapping of str to such arrays
        What `signalrp.domains.video.forward.forward_table` returns; or whether each clip was classified correctly at
        each step. Several nets, or ways to sample, by name.
    trained : float, optional
        The step the net was trained with, which is marked.
    chance : float, optional
        Accuracy by chance, a dotted line.
    level : float
        Coverage of the interval.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If values have other dimensions.
    """
    tables, words = _tables(values, "step", level, "accuracy", ("input", "step", "accuracy"))
    figure, ax = plt.subplots(layout="constrained", figsize=(6.0, 3.4))
    steps = np.unique(np.concatenate([table.index.to_numpy(float) for table in tables.values()]))
    apart = 0.06 * float(np.diff(steps).min(initial=1.0))
    for number, (name, table) in enumerate(tables.items()):
        # side by side: intervals at the same step would hide each other
        where = table.index.to_numpy(float) + apart * (number - (len(tables) - 1) / 2)
        reach = [table["estimate"] - table["low"], table["high"] - table["estimate"]]
        ax.errorbar(
            where, table["estimate"], np.nan_to_num(np.clip(reach, 0, None)), label=name or "_", capsize=3,
            color=CURVE_COLOURS[number % len(CURVE_COLOURS)], marker=CURVE_MARKERS[number % len(CURVE_MARKERS)],
            markersize=5, linewidth=1.3,
        )  # fmt: skip
    if trained is not None:
        ax.axvline(trained, color="0.6", linewidth=5, alpha=0.35, zorder=0, label="step of training")
    if chance is not None:
        ax.axhline(chance, color="black", linestyle=":", linewidth=0.9, label=f"chance ({percent(chance)})")
    ax.set(xlabel="frame step", ylabel=words, ylim=(-0.02, 1.02), xticks=steps)
    ax.set_xticklabels([f"{step:g}" for step in steps])
    _add_legend(ax)
    return figure


def plot_cut(values: xr.DataArray | Mapping[str, xr.DataArray], *, within: int = 2, level: float = 0.95) -> Figure:
    """Relevance in time around a cut between two shots.

    Parameters
    ----------
    values : xarray.DataArray (trial, offset), or mapping of str to such arrays
        The share of relevance that each frame around the cut carries, as `around_cut` gives it. Several by name: the
        net first, then its controls, dashed.
    within : int
        So many frames on either side of the cut are shaded.
    level : float
        Coverage of the interval.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If values have other dimensions.
    """
    tables, words = _tables(values, "offset", level, "share of relevance")
    figure, ax = plt.subplots(layout="constrained", figsize=(6.8, 3.4))
    # the cut lies between the last frame of the old shot, -1, and the first of the new one, 0
    ax.axvspan(-within - 0.5, within - 0.5, color="0.9", zorder=0, label=f"{2 * within} frames at the cut")
    ax.axvline(-0.5, color="black", linestyle="--", linewidth=1, label="cut")
    _draw_lines(ax, tables)
    ax.axhline(0, color="black", linewidth=0.6)
    offsets = np.concatenate([table.index.to_numpy(float) for table in tables.values()])
    ax.set(
        xlabel="frames from the first of the new shot", ylabel=words, xlim=(offsets.min() - 0.5, offsets.max() + 0.5)
    )
    ax.xaxis.set_major_locator(MaxNLocator(11, integer=True))
    _add_legend(ax)
    return figure


def around_cut(relevance: xr.DataArray, cut: npt.ArrayLike, reach: int = 10) -> xr.DataArray:
    """Relevance by frame, aligned at a cut.

    Parameters
    ----------
    relevance : xarray.DataArray, shape (trial, frame)
        What each frame carries, such as its share of relevance.
    cut : array_like, shape (trial,)
        Number of the first frame of the new shot.
    reach : int
        Frames that are kept on either side of the cut.

    Returns
    -------
    xarray.DataArray, shape (trial, offset)
        Offset 0 is the first frame of the new shot, -1 the last of the old one.

    Raises
    ------
    ValueError
        If a cut lies closer to the border of the clip than `reach`, or is missing.
    """
    cuts = np.asarray(cut)
    expected = relevance.sizes["trial"]
    if cuts.shape != (expected,):
        raise ValueError(f"There are {expected} clips and cuts of shape {cuts.shape}; give one cut for each clip.")
    nearest = int(min(cuts.min(), relevance.sizes["frame"] - cuts.max()))
    if not 1 <= reach <= nearest:
        raise ValueError(f"A cut has {nearest} frames on one side; choose a reach from 1 to {nearest}, got {reach}.")
    offset = np.arange(-reach, reach)
    chosen = xr.DataArray(cuts[:, None] + offset, {"offset": offset}, ("trial", "offset"))
    return relevance.isel(frame=chosen).drop_vars("frame", errors="ignore").transpose("trial", "offset")


def _tables(
    values: Values, dim: str, level: float, name: str, columns: tuple[str, str, str] | None = None
) -> tuple[dict[str, pd.DataFrame], str]:
    """Return mean and interval along a dimension of everything that is drawn, and what to write at the axis."""
    if isinstance(values, pd.DataFrame):
        wanted = [*(columns or ()), *_NUMBERS[1:]]
        if columns is None or not set(wanted) <= set(values.columns):
            asked = f"a table with the columns {', '.join(wanted)}" if columns else "arrays"
            raise ValueError(f"Found a table with the columns {', '.join(map(str, values.columns))}; expected {asked}.")
        key, where, mean = columns
        named = {
            str(group): rows.set_index(where)[[mean, "low", "high"]].set_axis(_NUMBERS, axis=1)
            for group, rows in values.groupby(key, sort=False)
        }
        return named, f"{name}\n({percent(level)} interval)"
    arrays = {"": values} if isinstance(values, xr.DataArray) else dict(values)
    if not arrays:
        raise ValueError("There is nothing to draw; give at least one array.")
    tables, counts = {}, set()
    for key, own in arrays.items():
        if set(own.dims) != {"trial", dim}:
            raise ValueError(f"Expected an array over trial and {dim}, found {own.dims}.")
        own = own.transpose("trial", dim)
        cluster, count, thing = clusters_of(own.to_dataset(name="values"), None)
        mean = own.values.mean(0, dtype=np.float64)
        interval = bootstrap_interval(own.values, cluster, level) if count > 1 else (mean, mean * np.nan, mean * np.nan)
        tables[key] = pd.DataFrame(dict(zip(_NUMBERS, interval, strict=True)), index=own[dim].values)
        thing = "clip" if thing == "trial" else thing
        counts.add(f"{percent(level)} interval, {count} {thing}s" if count > 1 else f"one {thing}: no interval")
    return tables, f"{name}\n({'; '.join(sorted(counts))})"


def _draw_lines(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> None:
    """Draw means as lines with their intervals as bands, those of controls dashed."""
    for number, (name, table) in enumerate(tables.items()):
        colour = CURVE_COLOURS[number % len(CURVE_COLOURS)]
        dashed = number > 0
        where = table.index.to_numpy(float)
        ax.fill_between(where, table["low"], table["high"], color=colour, alpha=0.18, linewidth=0)
        ax.plot(
            where, table["estimate"], color=colour, label=name or "_", marker=CURVE_MARKERS[number % 9], markersize=4,
            linestyle="--" if dashed else "-", linewidth=1.2 if dashed else 1.6,
        )  # fmt: skip


def _add_legend(ax: Axes) -> None:
    """Name lines beside the axes, where there is something to name."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
