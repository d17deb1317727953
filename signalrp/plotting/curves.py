"""Manipulation curves as a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import pandas as pd
import xarray as xr
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from signalrp.plotting.style import CURVE_COLOURS, CURVE_MARKERS, GREY, one_axes, panels
from signalrp.validation.curve_reading import (
    VALUES,
    chance_level,
    clusters_of,
    done,
    fill_distance,
    named_curves,
    percent,
    pieces,
    point_table,
    step_unit,
)

Style = tuple[str, str]

_DIRECTION_NAMES = {"morf": "highest first", "lerf": "lowest first"}
_DASHES: dict[str, Literal["-", "--"]] = {"morf": "-", "lerf": "--"}
_OUTSIDE = "hollow: most filled trials\nlie outside the data"
# bands of more curves than these would hide each other
_MOST_BANDS = 8


@overload
def plot_curves(
    curves: xr.Dataset,
    ax: Axes | None = None,
    *,
    value: str = "accuracy",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Axes: ...


@overload
def plot_curves(
    curves: Mapping[str, xr.Dataset],
    ax: Sequence[Axes] | None = None,
    *,
    value: str = "accuracy",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Axes, ...]: ...


def plot_curves(
    curves: xr.Dataset | Mapping[str, xr.Dataset],
    ax: Axes | Sequence[Axes] | None = None,
    *,
    value: str = "accuracy",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Axes | tuple[Axes, ...]:
    """Accuracy, or output, against what was removed (or inserted): a line per order and direction, with intervals.

    Random orders are a grey band, drawn once since they have no direction. The dotted line is chance, the share of the
    most frequent class. Fill and pieces are named beneath. Where most filled trials lie farther from the data than 95 %
    of the data do (in the model's last features), marks are hollow, and a sentence beneath says how many lie there at
    the worst step: what the model says of them may be due to the fill.

    Parameters
    ----------
    curves
        From `signalrp.validation.perturbation_curves`; or several such by name (models, fills, methods), drawn side
        by side.
    ax
        Axes to draw on, one for each set of curves; by default those of a new figure.
    value
        ``"accuracy"``, or ``"output"``: that of the class predicted for the untouched trial, in the model's units.
    subject, level, resamples, seed
        See `signalrp.validation.bootstrap_interval`; by default clustered by the coordinate ``subject``, if any.
        With a single subject (or trial) there is no interval, and the axis says so. With more than eight curves on
        one axes only the random band is drawn.

    Returns
    -------
    matplotlib.axes.Axes or tuple of them
        One for each set of curves.

    Raises
    ------
    ValueError
        If these are no curves, the value is unknown, or the number of axes is another.
    """
    if value not in VALUES:
        raise ValueError(f"Value {value!r} is unknown; choose {' or '.join(VALUES)}.")
    named = named_curves(curves)
    tables = {name: point_table(data, value, subject, level, resamples, seed) for name, data in named.items()}
    given = [ax] if isinstance(ax, Axes) else ax
    if isinstance(curves, xr.Dataset) and given is None:
        axes: tuple[Axes, ...] = (one_axes(None),)
    else:
        columns = {1: 1, 2: 2, 4: 2}.get(len(named), 3)
        height = 3.3 if all(fill_distance(data) is None for data in named.values()) else 3.9
        axes = panels(len(named), given, columns, (3.4, height), sharey=value == "accuracy")
    styles = _styles(named)
    for panel, (name, data) in zip(axes, named.items(), strict=True):
        _draw(panel, data, tables[name], styles, value)
        _label(panel, data, value, _interval_words(data, subject, level, len(styles) * data.sizes["direction"]))
        if name:
            panel.set_title(name, fontsize="medium")
        place = panel.get_subplotspec()
        if len(axes) > 1 and value == "accuracy" and place is not None and not place.is_first_col():
            panel.set_ylabel("")
    _add_legend(axes, named, styles, value)
    return axes[0] if isinstance(curves, xr.Dataset) else axes


def _styles(named: Mapping[str, xr.Dataset]) -> dict[str, Style]:
    """Colour and marker of every order but random, the same in all panels."""
    orders = dict.fromkeys(str(order) for data in named.values() for order in data["order"].values)
    orders.pop("random", None)
    return {
        order: (CURVE_COLOURS[number % len(CURVE_COLOURS)], CURVE_MARKERS[number % len(CURVE_MARKERS)])
        for number, order in enumerate(orders)
    }


def _draw(ax: Axes, curves: xr.Dataset, table: pd.DataFrame, styles: Mapping[str, Style], value: str) -> None:
    far = fill_distance(curves)
    directions = curves["direction"].values.tolist()
    with_bands = len(styles) * len(directions) <= _MOST_BANDS
    for order in map(str, curves["order"].values):
        random = order == "random"
        colour, marker = (GREY, ".") if random else styles[order]
        for direction in directions[:1] if random else directions:
            rows = table[(table["order"] == order) & (table["direction"] == direction)]
            step, estimate = rows["step"].to_numpy(), rows["estimate"].to_numpy()
            if with_bands or random:
                alpha = 0.35 if random else 0.15
                ax.fill_between(step, rows["low"], rows["high"], color=colour, alpha=alpha, linewidth=0)
            # random has no direction, whatever line the directions have
            ax.plot(
                step, estimate, color=colour, marker=marker, markersize=4, zorder=2 if random else 3,
                linestyle="-" if random else _DASHES[direction], linewidth=0.8 if random else 1.4,
            )  # fmt: skip
            if far is not None:
                outside = far.share.sel(order=order, direction=direction).values > 0.5
                ax.plot(
                    step[outside], estimate[outside], color=colour, marker="o" if random else marker,
                    markersize=3 if random else 4, markerfacecolor="white", linestyle="", zorder=4,
                    label=_OUTSIDE if outside.any() else "_",
                )  # fmt: skip
    chance = chance_level(curves) if value == "accuracy" else None
    if chance is not None:
        ax.axhline(chance, color="black", linewidth=0.9, linestyle=":")


def _label(ax: Axes, curves: xr.Dataset, value: str, interval: str) -> None:
    amount = f"{pieces(curves)} {done(curves)}{' (%)' if step_unit(curves) else ''}"
    last = float(curves["step"].max())
    name = "accuracy" if value == "accuracy" else "output of the predicted class"
    ax.set(
        xlabel=f"{amount}\nfill: {curves.attrs.get('fill', 'unknown')}",
        ylabel=f"{name}\n({interval})",
        # room for half a mark at either end
        xlim=(-0.02 * last, 1.02 * last),
    )
    if value == "accuracy":
        ax.set_ylim(-0.02, 1.02)
    if not step_unit(curves):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    note = _distance_note(curves)
    if note:
        # about as many letters as the axes are wide, at half their height each
        size = font_manager.FontProperties(size="x-small").get_size_in_points()
        letters = ax.bbox.width * 72 / ax.figure.dpi / (0.52 * size)
        ax.annotate(
            textwrap.fill(note, max(30, int(letters))), (0, 0), xycoords=("axes fraction", ax.xaxis.label),
            xytext=(0, -3), textcoords="offset points", va="top", fontsize="x-small",
        )  # fmt: skip


def _interval_words(curves: xr.Dataset, subject: str | ArrayLike | None, level: float, count: int) -> str:
    _, clusters, name = clusters_of(curves, subject)
    if clusters < 2:
        return f"one {name}: no interval"
    shown = f"{percent(level)} interval, {clusters} {name}s"
    return shown if count <= _MOST_BANDS else f"{shown}: random only"


def _distance_note(curves: xr.Dataset) -> str:
    """Say how far the fill takes trials from the data, for the first order that is not random."""
    far = fill_distance(curves)
    orders = [order for order in curves["order"].values.tolist() if order != "random"]
    if far is None or not orders:
        return ""
    share = far.share.sel(order=orders[0]).isel(direction=0)
    worst = share.idxmax("step").item()
    largest = float(share.sel(step=worst))
    if not far.outside.sel(order=orders[0], step=worst).isel(direction=0):
        return (
            f"Filled trials stay near the data: at most {percent(largest)} lie farther from it than 95 % of the data "
            "do "
            f"(untouched: {percent(far.untouched)})."
        )
    return (
        f"With {worst:g}{step_unit(curves)} {done(curves)} by {orders[0]}, {percent(largest)} of the filled trials "
        "lie farther "
        f"from the data than 95 % of the data do (untouched: {percent(far.untouched)}): what the model says there "
        "may be due to "
        "the fill."
    )


def _add_legend(axes: Sequence[Axes], named: Mapping[str, xr.Dataset], styles: Mapping[str, Style], value: str) -> None:
    """One legend for all panels, beside the first row: curves may run anywhere inside."""
    entries: list[tuple[Any, str]] = [
        (Line2D([], [], color=colour, marker=marker, markersize=4), order) for order, (colour, marker) in styles.items()
    ]
    if any("random" in data["order"].values for data in named.values()):
        band = Patch(color=GREY, alpha=0.35, linewidth=0)
        entries.append(((band, Line2D([], [], color=GREY, linewidth=0.8)), "random"))
    for direction, name in _DIRECTION_NAMES.items():
        if styles and any(direction in data["direction"].values for data in named.values()):
            entries.append((Line2D([], [], color="black", linestyle=_DASHES[direction]), name))
    levels = {f"{percent(level)}" for data in named.values() if (level := chance_level(data)) is not None}
    if value == "accuracy" and levels:
        label = f"chance ({levels.pop()})" if len(levels) == 1 else "chance"
        entries.append((Line2D([], [], color="black", linewidth=0.9, linestyle=":"), label))
    if any(line.get_label() == _OUTSIDE for ax in axes for line in ax.lines):
        hollow = Line2D([], [], color="black", marker="o", markersize=4, markerfacecolor="white", linestyle="")
        entries.append((hollow, _OUTSIDE))
    place = [ax for ax in axes if (spec := ax.get_subplotspec()) and spec.is_first_row()] or list(axes)
    handles, labels = zip(*entries, strict=True)
    place[-1].legend(
        handles, labels, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0),
    )  # fmt: skip
