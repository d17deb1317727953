"""The pictures of video: strips, mean maps, space-time slices; the clip's border, fast forward and cuts."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signalrp.groups import trial_groups
from signalrp.plotting import relevance_norm
from signalrp.plotting.data import edges

from .drawing import COLOURS, STRONGEST, add_bar, blended, grey, one_clip
from .frames import over_colours
from .line_plots import around_cut, plot_border, plot_cut, plot_forward
from .strips import plot_strip

__all__ = [
    "around_cut",
    "plot_border",
    "plot_cut",
    "plot_forward",
    "plot_mean_map",
    "plot_slice",
    "plot_strip",
]

_COLUMNS = 5


def plot_mean_map(
    explanation: xr.Dataset,
    by: str | None = "label",
    trials: npt.ArrayLike | None = None,
    *,
    norm: Normalize | None = None,
) -> Figure:
    """Relevance of every place, mean over the clips of each class and over their frames, all on one scale.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a net that sees video.
    by : str, optional
        What groups clips into panels: "label", "target", "predicted" or a coordinate along trial; None for one panel.
    trials : array, optional
        Positions or boolean mask of the clips that count, such as those that were classified correctly.
    norm : matplotlib.colors.Normalize, optional
        Colour scale; by default that of all panels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If clips cannot be grouped so, none is left, or relevance is not that of video.
    """
    relevance = over_colours(explanation["relevance"])
    means = {
        f"{name} (n = {len(chosen)})": relevance.isel(trial=chosen).mean(("trial", "frame")).transpose("row", "column")
        for name, chosen in trial_groups(explanation, by, trials).items()
    }
    norm = relevance_norm(*means.values()) if norm is None else norm
    rows = -(-len(means) // _COLUMNS)
    columns = -(-len(means) // rows)
    height = 2.1 * relevance.sizes["row"] / relevance.sizes["column"]
    size = (2.4 * columns + 1.3, (height + 0.65) * rows + 0.7)
    figure, grid = plt.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False, layout="constrained", figsize=size
    )
    for ax in grid.flat[len(means) :]:
        ax.set_axis_off()
    for place, (ax, (title, mean)) in enumerate(zip(grid.flat, means.items(), strict=False)):
        ax.imshow(mean.values, cmap=COLOURS, norm=norm, interpolation="nearest")
        ax.set_title(title, fontsize="medium")
        if place + columns >= len(means):
            ax.set_xlabel("column (pixel)")
            ax.tick_params(labelbottom=True)
        if place % columns == 0:
            ax.set_ylabel("row (pixel)")
    figure.suptitle(explanation["signal"].attrs.get("title", ""), fontsize="medium")
    add_bar(grid, norm, "mean relevance\nper pixel and frame")
    return figure


def plot_slice(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    along: Literal["row", "column"] = "row",
    at: int | None = None,
    video: xr.DataArray | None = None,
    norm: Normalize | None = None,
) -> Figure:
    """Space-time slice of one clip, rows or columns over time: the picture, and in grey with relevance over it.

    What moves leaves a slanted trace, what rests a horizontal one.

    Parameters
    ----------
    explanation, trial, video
        See `plot_strip`.
    along : {"row", "column"}
        The side of space that is kept.
    at : int, optional
        Pixel of the other side at which the slice is taken. By default relevance is summed over the other side, and
        the picture averaged: nothing is left out.
    norm : matplotlib.colors.Normalize, optional
        Colour scale; by default that of the slice, saturated at its strongest 0.5 %.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such clip, side or pixel, or sizes do not fit.
    """
    if along not in ("row", "column"):
        raise ValueError(f"There is no side {along!r} of space; choose row or column.")
    clip = one_clip(explanation, trial, video)
    other = "column" if along == "row" else "row"
    axis = 2 if along == "row" else 1
    count = clip.relevance.shape[axis]
    if at is not None and not 0 <= at < count:
        raise ValueError(f"There is no {other} {at}; they are counted from 0 to {count - 1}.")
    if at is None:
        pictures, relevance = clip.pictures.mean(axis), clip.relevance.sum(axis)
    else:
        pictures, relevance = (np.take(values, at, axis) for values in (clip.pictures, clip.relevance))
    norm = relevance_norm(relevance, percentile=STRONGEST) if norm is None else norm
    figure, axes = plt.subplots(1, 2, sharex=True, sharey=True, layout="constrained", figsize=(9.0, 3.4))
    limits, pixels = edges(clip.time), np.arange(relevance.shape[1] + 1) - 0.5
    images = {"picture": pictures, "relevance": blended(grey(pictures), relevance, norm)}
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        shown: Any = image.swapaxes(0, 1)
        ax.pcolormesh(limits, pixels, shown, rasterized=True)
        ax.set_title(title, fontsize="medium")
        ax.set_xlabel(clip.time_label)
    axes[0].set(ylabel=f"{along} (pixel)", ylim=(pixels[-1], pixels[0]))
    words = f"{along} and frame\n(summed over {other}s)" if at is None else f"pixel\n({other} {at})"
    add_bar(axes, norm, f"relevance per {words}", extend="both")
    figure.suptitle("\n".join(filter(None, (clip.data, clip.title))), fontsize="medium")
    return figure
