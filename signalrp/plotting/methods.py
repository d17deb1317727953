"""Methods compared over several criteria as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from signalrp.plotting.style import CURVE_COLOURS, GREY, panels

_METHOD, _YARDSTICK, _FAILED = CURVE_COLOURS[1], GREY, CURVE_COLOURS[0]
_LINES: tuple[Any, ...] = ("--", "-.", (0, (1, 1)), "-")


def plot_methods(
    table: pd.DataFrame,
    *,
    sort: str | None = None,
    yardsticks: Sequence[str] = ("amplitude", "random"),
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, ...]:
    """Methods × criteria: a panel for each criterion, a row for each method, a dot with its interval.

    Parameters
    ----------
    table
        One row per method and criterion, with the columns ``method``, ``criterion``, ``estimate`` (NaN where a method
        does not apply: a dash is drawn), and, where known, ``low`` and ``high`` (the interval), ``chance`` (dotted
        line), ``better`` (``"higher"``, the default, or ``"lower"``) and ``passed`` (True or False, for tests that
        are passed or failed: a cross in another colour marks what failed).
    sort
        Criterion by which methods are sorted, the best on top; by default by their mean rank over all criteria.
    yardsticks
        Methods that know nothing of the model: grey, hollow, their names in italics, and a thin line through each
        panel at what they reach.
    axes
        Axes to draw on, one for each criterion; by default those of a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        One for each criterion, in the order of the table.

    Raises
    ------
    ValueError
        If a column is missing, the table is empty, a method has a criterion twice, `better` is unknown or not the
        same for all of a criterion, or there is no criterion to sort by.
    """
    table = _checked(table, sort)
    criteria = table["criterion"].unique().tolist()
    methods = _sorted(table, sort)
    rows = {method: number for number, method in enumerate(methods)}
    found = [method for method in methods if method in yardsticks]
    # the names of methods need room beside the first panel of a row
    names = 0.3 + 0.075 * max(map(len, methods))
    axes = panels(len(criteria), axes, 6, (1.75, 1.3 + 0.22 * len(methods)), names, sharey=True)
    for ax, criterion in zip(axes, criteria, strict=True):
        part = table[table["criterion"] == criterion].set_index("method")
        for row in range(1, len(methods), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="0.95", linewidth=0, zorder=0)
        if part["chance"].notna().any():
            ax.axvline(part["chance"].dropna().iloc[0], color="black", linestyle=":", linewidth=1.0, zorder=1)
        for name, dashes in zip(found, _LINES, strict=False):
            if name in part.index and np.isfinite(part.loc[name, "estimate"]):
                ax.axvline(part.loc[name, "estimate"], color=_YARDSTICK, linestyle=dashes, linewidth=0.7, zorder=1)
        for name, entry in part.iterrows():
            _dot(ax, rows[str(name)], entry, yardstick=name in found)
        _label(ax, criterion, part["better"].iloc[0], methods, found)
    _add_legend(axes, table, found)
    return axes


def _checked(table: pd.DataFrame, sort: str | None) -> pd.DataFrame:
    missing = [name for name in ("method", "criterion", "estimate") if name not in table]
    if missing:
        raise ValueError(
            f"The table has no column {missing[0]!r}; expected method, criterion and estimate, one row for each pair."
        )
    if table.empty:
        raise ValueError("The table is empty; give a row per method and criterion.")
    table = table.assign(method=table["method"].astype(str), criterion=table["criterion"].astype(str))
    for name, value in {"low": np.nan, "high": np.nan, "chance": np.nan, "better": "higher", "passed": None}.items():
        if name not in table:
            table = table.assign(**{name: value})
    twice = table.duplicated(["method", "criterion"])
    if twice.any():
        method, criterion = table.loc[twice, ["method", "criterion"]].iloc[0]
        raise ValueError(
            f"The method {method!r} has the criterion {criterion!r} more than once; give one row for each."
        )
    for criterion, better in table.groupby("criterion")["better"]:
        if better.nunique(dropna=False) > 1 or better.iloc[0] not in ("higher", "lower"):
            raise ValueError(
                f"better is {', '.join(map(str, better.unique()))} for the criterion {criterion!r}; "
                "expected higher or lower, the same for all methods."
            )
    if sort is not None and sort not in table["criterion"].values:
        raise ValueError(f"There is no criterion {sort!r} to sort by; found {', '.join(table['criterion'].unique())}.")
    return table


def _sorted(table: pd.DataFrame, sort: str | None) -> list[str]:
    """Methods, the best first; who has no estimate comes last."""
    chosen = table if sort is None else table[table["criterion"] == sort]
    goodness = chosen["estimate"].where(chosen["better"] == "higher", -chosen["estimate"])
    ranks = goodness.groupby(chosen["criterion"]).rank(ascending=False)
    mean = ranks.groupby(chosen["method"]).mean().reindex(table["method"].unique())
    return [str(method) for method in mean.sort_values(kind="stable", na_position="last").index]


def _dot(ax: Axes, row: int, entry: pd.Series, yardstick: bool) -> None:
    if not np.isfinite(entry["estimate"]):
        # centred in the panel, since it has no place on its scale
        ax.text(0.5, row, "–", transform=ax.get_yaxis_transform(), ha="center", va="center", color=GREY)
        return
    # passed may be True, False, or not known
    failed = entry["passed"] is not None and not pd.isna(entry["passed"]) and not entry["passed"]
    colour = _FAILED if failed else _YARDSTICK if yardstick else _METHOD
    if np.isfinite(entry["low"]) and np.isfinite(entry["high"]):
        ax.plot([entry["low"], entry["high"]], [row, row], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
    ax.plot(
        entry["estimate"], row, color=colour, marker="X" if failed else "D" if yardstick else "o", markersize=5,
        markerfacecolor="white" if yardstick and not failed else colour, linestyle="", zorder=3,
    )  # fmt: skip


def _label(ax: Axes, criterion: str, better: str, methods: Sequence[str], yardsticks: Sequence[str]) -> None:
    ax.set_title(criterion, fontsize="medium")
    ax.set_xlabel("better →" if better == "higher" else "← better", fontsize="small")
    ax.set_yticks(range(len(methods)), methods)
    for text in ax.get_yticklabels():
        text.set_fontstyle("italic" if text.get_text() in yardsticks else "normal")
    # the best stands on top, and sharing axes must not turn it twice
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize="small")
    ax.locator_params(axis="x", nbins=4)
    ax.margins(x=0.08)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _add_legend(axes: Sequence[Axes], table: pd.DataFrame, yardsticks: Sequence[str]) -> None:
    """What the marks mean, beneath the last row of panels."""
    entries = [Line2D([], [], color=_METHOD, marker="o", markersize=5, linewidth=1.4, label="method, interval")]
    for name, dashes in zip(yardsticks, _LINES, strict=False):
        entries.append(
            Line2D(
                [], [], color=_YARDSTICK, marker="D", markersize=5, markerfacecolor="white", linestyle=dashes,
                linewidth=0.7, label=f"{name} (yardstick)",
            )
        )  # fmt: skip
    if table["chance"].notna().any():
        entries.append(Line2D([], [], color="black", linestyle=":", linewidth=1.0, label="chance"))
    if table["passed"].notna().any():
        entries.append(Line2D([], [], color=_FAILED, marker="X", markersize=5, linestyle="", label="failed"))
    if table["estimate"].isna().any():
        entries.append(Line2D([], [], color=GREY, marker="_", linestyle="", label="not applicable"))
    figure = axes[0].figure
    if len(entries) > 1:
        # an entry is about so many inches wide
        ncols = max(1, int(figure.bbox.width / figure.dpi / 1.9))
        figure.legend(handles=entries, loc="outside lower center", ncols=ncols, frameon=False, fontsize="small")
