"""Relevance beside the truth as a figure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from signalrp.places import same_places
from signalrp.plotting.data import axis_label, edges, positions
from signalrp.plotting.style import RELEVANCE_COLOURS, add_colorbar, panels

_TRUTH = "#fdd49e"


def plot_localisation(
    explanations: xr.Dataset | Mapping[str, xr.Dataset],
    truth: xr.DataArray,
    *,
    trial: int | None = None,
    dims: Sequence[Hashable] | None = None,
    scores: pd.DataFrame | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, ...]:
    """Relevance beside the truth: a map for each method, what is truly the cause outlined.

    Each panel is divided by its largest magnitude, so that methods compare in where, not in how much. Over one
    dimension relevance is drawn as an area, red above and blue below 0, and the cause is shaded.

    Parameters
    ----------
    explanations
        Dataset with ``relevance`` (trial, …); or several such by the name of the method.
    truth
        True where the cause is; boolean, with dimensions of the relevance (it holds along all others).
    trial
        Position of the trial to show; by default the mean over trials, for which the truth must be the same in all.
    dims
        One or two dimensions to show, the vertical one first; over others relevance is summed, and the truth holds
        where it holds anywhere along them. By default all but trial, without those of length 1.
    scores
        Numbers to write above the panels: columns ``method``, ``criterion``, ``estimate`` and, where known,
        ``chance``, as for `plot_methods`. For a single Dataset, the rows of all methods count.
    axes
        Axes to draw on, one for each method; by default those of a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        One for each method.

    Raises
    ------
    ValueError
        If the truth is not boolean or does not fit, the trial or a dimension is unknown, more than two dimensions are
        left, or the mean is asked for where the truth differs between trials.
    """
    named = {"": explanations} if isinstance(explanations, xr.Dataset) else dict(explanations)
    if not named:
        raise ValueError("There are no explanations; give one, or several by the name of the method.")
    maps = {name: _map(data, truth, trial, dims, name) for name, data in named.items()}
    flat = next(iter(maps.values()))[0].ndim == 1
    lines = 0 if scores is None else scores["criterion"].nunique()
    if flat:
        axes = panels(len(maps), axes, 1 if len(maps) <= 6 else 2, (5.5, 1.2 + 0.1 * lines), sharex=True, sharey=True)
    else:
        axes = panels(len(maps), axes, min(4, len(maps)), (2.7, 2.2 + 0.17 * lines), sharex=True, sharey=True)
    for ax, (name, (relevance, mask)) in zip(axes, maps.items(), strict=True):
        (_draw_area if flat else _draw_map)(ax, relevance, mask)
        title = [name] if name else []
        ax.set_title("\n".join([*title, *_score_lines(scores, name, flat)]), fontsize="small")
        ax.label_outer(remove_inner_ticks=False)
    _add_legend(axes, flat)
    if not flat:
        tall = axes[0].figure.bbox.height / axes[0].bbox.height
        add_colorbar(axes, Normalize(-1, 1), "relevance / largest", aspect=15 * max(1.0, tall / 2))
    return axes


def _map(
    explanation: xr.Dataset, truth: xr.DataArray, trial: int | None, dims: Sequence[Hashable] | None, name: str
) -> tuple[xr.DataArray, NDArray[np.bool_]]:
    """Relevance over one or two dimensions, largest magnitude 1, and the truth on the same points."""
    where = f" of {name!r}" if name else ""
    if "relevance" not in explanation or "trial" not in explanation["relevance"].dims:
        raise ValueError(f"The explanation{where} has no variable 'relevance' (trial, …); give what explain returns.")
    relevance = explanation["relevance"]
    truth = _fitting(truth, relevance, where)
    # a mean would pass over NaN in silence
    if not np.isfinite(relevance).all():
        raise ValueError(f"The relevance{where} has NaN or infinite values; fill or drop those trials.")
    if trial is not None:
        if not 0 <= trial < relevance.sizes["trial"]:
            raise ValueError(
                f"There is no trial {trial}; the explanation{where} has {relevance.sizes['trial']} trials."
            )
        relevance = relevance.isel(trial=trial)
        truth = truth.isel(trial=trial) if "trial" in truth.dims else truth
    else:
        if "trial" in truth.dims:
            if (truth != truth.isel(trial=0)).any():
                raise ValueError("The truth differs between trials, so a mean shows nothing; choose one with trial=….")
            truth = truth.isel(trial=0)
        relevance = relevance.mean("trial")
    if dims is None:
        dims = [dim for dim in relevance.dims if relevance.sizes[dim] > 1] or relevance.dims[-1:]
    unknown = [dim for dim in dims if dim not in relevance.dims]
    if unknown or not 1 <= len(dims) <= 2:
        found = ", ".join(map(str, relevance.dims))
        raise ValueError(
            f"Found dimensions {', '.join(map(str, dims))} to show; choose one or two of {found} by dims=…."
        )
    others = [dim for dim in relevance.dims if dim not in dims]
    mask = truth.broadcast_like(relevance).any(others).transpose(*dims)
    relevance = relevance.sum(others).transpose(*dims)
    return relevance / (float(np.abs(relevance).max()) or 1.0), mask.values


def _fitting(truth: xr.DataArray, relevance: xr.DataArray, where: str) -> xr.DataArray:
    if not isinstance(truth, xr.DataArray) or truth.dtype != bool:
        found = truth.dtype if hasattr(truth, "dtype") else type(truth).__name__
        raise ValueError(f"The truth is {found}; expected a labelled boolean array, True where the cause is.")
    same_places(truth, relevance, "The values of the truth", of=f"the relevance{where}")
    # by position from here on: coordinates that differ in the last digit must not drop anything
    return truth.drop_vars(list(truth.coords))


def _draw_map(ax: Axes, relevance: xr.DataArray, mask: NDArray[np.bool_]) -> None:
    vertical, horizontal = (relevance[dim] for dim in relevance.dims)
    down, along = edges(positions(vertical)), edges(positions(horizontal))
    ax.pcolormesh(along, down, relevance.values, cmap=RELEVANCE_COLOURS, vmin=-1, vmax=1, rasterized=True)
    outline = LineCollection(_outline(mask, along, down), colors="black", linewidths=1.0, label="true cause")
    # black on white: seen on every colour of the map
    outline.set_path_effects([patheffects.Stroke(linewidth=2.4, foreground="white"), patheffects.Normal()])
    ax.add_collection(outline)
    ax.set(xlim=(along[0], along[-1]), ylim=(down[0], down[-1]), xlabel=axis_label(horizontal))
    ax.set_ylabel(axis_label(vertical))
    for axis, coordinate in ((ax.yaxis, vertical), (ax.xaxis, horizontal)):
        if not np.issubdtype(coordinate.dtype, np.number):
            every = -(-coordinate.size // 16)
            axis.set_ticks(np.arange(coordinate.size)[::every], [str(name) for name in coordinate.values[::every]])
            if axis is ax.yaxis and not ax.yaxis_inverted():
                ax.invert_yaxis()


def _outline(
    mask: NDArray[np.bool_], along: NDArray[np.float64], down: NDArray[np.float64]
) -> list[list[tuple[float, float]]]:
    """Borders between cells inside and outside the mask, as pieces of line."""
    padded = np.pad(mask, 1)
    pieces = []
    # row r of the difference lies on the edge above row r of the mask
    for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        pieces.append([(along[column], down[row]), (along[column + 1], down[row])])
    for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        pieces.append([(along[column], down[row]), (along[column], down[row + 1])])
    return pieces


def _draw_area(ax: Axes, relevance: xr.DataArray, mask: NDArray[np.bool_]) -> None:
    coordinate = relevance[relevance.dims[0]]
    limits = edges(positions(coordinate))
    inside = np.diff(np.pad(mask.astype(int), 1))
    for start, stop in zip(np.flatnonzero(inside == 1), np.flatnonzero(inside == -1), strict=True):
        ax.axvspan(limits[start], limits[stop], color=_TRUTH, linewidth=0, zorder=0)
    for values, colour in (
        (relevance.clip(min=0), RELEVANCE_COLOURS(0.85)),
        (relevance.clip(max=0), RELEVANCE_COLOURS(0.15)),
    ):
        ax.stairs(values.values, limits, fill=True, color=colour, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(
        xlim=(limits[0], limits[-1]), ylim=(-1.05, 1.05), xlabel=axis_label(coordinate), ylabel="relevance /\nlargest"
    )
    if not np.issubdtype(coordinate.dtype, np.number):
        every = -(-coordinate.size // 24)
        ax.set_xticks(np.arange(coordinate.size)[::every], [str(name) for name in coordinate.values[::every]])


def _score_lines(scores: pd.DataFrame | None, method: str, one_line: bool) -> list[str]:
    if scores is None:
        return []
    missing = {"criterion", "estimate"} - set(scores)
    if missing or (method and "method" not in scores):
        raise ValueError(
            f"The scores have no column {(sorted(missing) or ['method'])[0]!r}; expected method, criterion, estimate."
        )
    own = scores[scores["method"] == method] if method else scores
    words = []
    for _, entry in own.iterrows():
        chance = entry.get("chance", np.nan)
        by_chance = f" (chance {chance:.2f})" if np.isfinite(chance) else ""
        words.append(f"{entry['criterion']} {entry['estimate']:.2f}{by_chance}")
    return [", ".join(words)] if one_line and words else words


def _add_legend(axes: Sequence[Axes], flat: bool) -> None:
    mark = (
        Patch(color=_TRUTH, label="true cause")
        if flat
        else Line2D([], [], color="black", linewidth=1.0, label="true cause")
    )
    axes[0].figure.legend(handles=[mark], loc="outside lower center", frameon=False, fontsize="small")
