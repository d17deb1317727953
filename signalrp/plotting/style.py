"""What all plots have in common: the colours of relevance, their scale and its bar, colours of curves, fresh axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from numpy.typing import ArrayLike, NDArray

# blue and red as in RdBu, but grey in the middle: a white line would vanish on white paper
RELEVANCE_COLOURS: Colormap = LinearSegmentedColormap.from_list(
    "relevance", ["#053061", "#2166ac", "#5f9fcb", "#c6c6c6", "#e0705a", "#b2182b", "#67001f"]
)
# told apart by the colour-blind as well (Okabe and Ito 2008); markers differ besides
CURVE_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
CURVE_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
GREY = "#7f7f7f"


def relevance_norm(*relevances: ArrayLike, percentile: float = 100.0) -> Normalize:
    """One colour scale for all relevance of a figure, symmetric about 0.

    Parameters
    ----------
    *relevances
        All relevance that is shown side by side.
    percentile
        Percentile of the absolute relevance at which the colours saturate; below 100, single peaks leave
        colour for everything else.

    Returns
    -------
    matplotlib.colors.Normalize

    Raises
    ------
    ValueError
        If nothing was given, or relevance is not finite.
    """
    values = np.concatenate([np.abs(np.asarray(relevance, dtype=float)).ravel() for relevance in relevances])
    if not values.size or not np.isfinite(values).all():
        raise ValueError("Relevance is empty, NaN or infinite; a colour scale needs finite values.")
    limit = float(np.percentile(values, percentile)) or float(values.max()) or 1.0
    return Normalize(-limit, limit)


def add_colorbar(
    axes: Axes | Sequence[Axes] | NDArray[Any], norm: Normalize, label: str = "relevance", **kwargs: Any
) -> Colorbar:
    """Colour bar of relevance beside one or several axes of a figure.

    Parameters
    ----------
    axes
        Axes that give room to it.
    norm
        The colour scale they share.
    label
        Its label.
    **kwargs
        For `matplotlib.figure.Figure.colorbar`.
    """
    listed = [axes] if isinstance(axes, Axes) else list(np.ravel(np.asarray(axes, dtype=object)))
    bar = listed[0].figure.colorbar(ScalarMappable(norm, RELEVANCE_COLOURS), ax=listed, label=label, **kwargs)
    bar.outline.set_visible(False)
    return cast("Colorbar", bar)


def one_axes(ax: Axes | None) -> Axes:
    """Return the axes given, or those of a new figure."""
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def panels(
    count: int, axes: Sequence[Axes] | None, columns: int, size: tuple[float, float], margin: float = 0.0, **kwargs: Any
) -> tuple[Axes, ...]:
    """Return the axes given, or `count` panels of a new figure, in rows of about equal length.

    Parameters
    ----------
    count
        Number of panels.
    axes
        Axes to use instead.
    columns
        Panels in a row, at most.
    size
        Width and height of a panel in inches.
    margin
        Inches of width for what stands beside the panels.
    **kwargs
        For `matplotlib.pyplot.subplots`.

    Raises
    ------
    ValueError
        If the number of axes given is another.
    """
    if axes is not None:
        listed = tuple(axes)
        if len(listed) != count:
            raise ValueError(f"Found {len(listed)} axes for {count} panels; give one for each.")
        return listed
    rows = -(-count // columns)
    columns = -(-count // rows)
    size = (size[0] * columns + margin, size[1] * rows)
    figure, grid = plt.subplots(rows, columns, squeeze=False, layout="constrained", figsize=size, **kwargs)
    for ax in grid.flat[count:]:
        figure.delaxes(ax)
    return tuple(grid.flat[:count])
