"""The section of a report that says what manipulation tests support, and what they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from signalrp.plotting import plot_curves
from signalrp.report import Report
from signalrp.validation.conclusion import Conclusion, conclude
from signalrp.validation.curve_reading import (
    clusters_of,
    done,
    fill_distance,
    inserted,
    named_curves,
    p_words,
    percent,
    pieces,
)
from signalrp.validation.curve_scores import curve_scores
from signalrp.validation.verdicts import Check

Checks = Iterable[Check]


def write_validation(
    report: Report,
    curves: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    checks: Checks | Mapping[str, Checks] = (),
    order: str = "relevance",
    value: str = "accuracy",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    heading: str | None = "Does the model need what the relevance marks?",
    figure: Callable[[Figure, str], None] | None = None,
) -> pd.DataFrame:
    """Write what a manipulation test found: conclusions in words, the curves, all numbers, and sanity checks.

    Parameters
    ----------
    report
        Grows by the section.
    curves
        From `signalrp.validation.perturbation_curves`; or several such by name (models, fills).
    checks
        Results of sanity checks (`signalrp.validation.Check`), for several curves by the same names.
    order, value, subject, level, resamples, seed
        See `signalrp.validation.conclude`.
    heading
        Of the section; None where the report has one already.
    figure
        Takes the figure and its caption; by default they go into the report.

    Returns
    -------
    pandas.DataFrame
        The numbers, tidy: `signalrp.validation.curve_scores` with the column ``curves``, the name of each set.

    Raises
    ------
    ValueError
        As in `signalrp.validation.conclude`, or if there are checks of curves that are not there.
    """
    named = named_curves(curves)
    by_name = dict(checks) if isinstance(checks, Mapping) else {"": checks}
    unknown = [name for name in by_name if name and name not in named]
    if unknown:
        raise ValueError(f"There are checks of {unknown[0]!r}, but no such curves; found {', '.join(named)}.")
    options: dict[str, Any] = {"subject": subject, "level": level, "resamples": resamples, "seed": seed}
    scores = {name: curve_scores(data, order, **options) for name, data in named.items()}
    options["value"] = value
    conclusions = {name: conclude(data, order, **options) for name, data in named.items()}
    if heading is not None:
        report.heading(heading)
    _write_conclusions(report, conclusions)
    drawn = plot_curves(named[""], **options) if "" in named else plot_curves(named, **options)[0]
    (figure or report.figure)(cast("Figure", drawn.figure), _caption(named, value, level))
    report.text(_how(next(iter(named.values())), order, value, subject, level))
    report.table(pd.concat([_readable(table, value, name) for name, table in scores.items()], ignore_index=True))
    _write_checks(report, by_name)
    return pd.concat([table.assign(curves=name) for name, table in scores.items()], ignore_index=True)


def _write_conclusions(report: Report, conclusions: Mapping[str, Conclusion]) -> None:
    """What is supported, set by set, and what is not, once where it is the same for all."""
    same = len({conclusion.limits for conclusion in conclusions.values()}) == 1
    for name, conclusion in conclusions.items():
        start = f"{name}: " if name else ""
        report.text(start + conclusion.supports + ("" if same else f" {conclusion.limits}"))
    if same:
        report.text(next(iter(conclusions.values())).limits)


def _caption(named: Mapping[str, xr.Dataset], value: str, level: float) -> str:
    what = "Accuracy" if value == "accuracy" else "Output of the predicted class"
    first = next(iter(named.values()))
    caption = f"{what} as {pieces(first)} are {done(first)}; bands are {percent(level)} intervals (bootstrap)."
    if all(fill_distance(data) is None for data in named.values()):
        return caption
    return (
        f"{caption} Marks are hollow where most filled trials lie farther from the data than 95 % of the data do: "
        "distance to the nearest trial, in the model's last features."
    )


def _how(curves: xr.Dataset, order: str, value: str, subject: str | ArrayLike | None, level: float) -> str:
    noun = clusters_of(curves, subject)[2]
    areas = "Areas under curves are divided by the range of the steps."
    if not inserted(curves):
        areas = (
            "AOPC: mean fall of the output of the predicted class; ABPC: its mean difference between lowest first and "
            f"highest first. {areas}"
        )
    return (
        f"{areas} In brackets {percent(level)} intervals. Advantage: what {order} has over the order of the row in "
        f"area under {value}, positive where it does better; p by flipping the signs of whole {noun}s, corrected for "
        "the number of orders."
    )


def _readable(scores: pd.DataFrame, value: str, name: str) -> pd.DataFrame:
    """A row for each order, numbers with their intervals in one cell."""
    rows = []
    for order in scores["order"].unique():
        part = scores[scores["order"] == order].set_index("measure")
        gain = part.loc[f"area under {value}"]
        row = {"": name, "order": order} if name else {"order": order}
        row |= {measure: _cell(*part.loc[measure, ["estimate", "low", "high"]]) for measure in part.index}
        row["advantage"] = _cell(*gain[["advantage", "advantage_low", "advantage_high"]])
        row["p"] = "–" if pd.isna(gain["p_corrected"]) else p_words(gain["p_corrected"])
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(estimate: float, low: float, high: float) -> str:
    if pd.isna(estimate):
        return "–"
    between = "" if pd.isna(low) else f" [{low:.3g}, {high:.3g}]"
    return f"{estimate:.3g}{between}"


def _write_checks(report: Report, by_name: Mapping[str, Checks]) -> None:
    listed = [(f"{name}, " if name else "", check) for name, checks in by_name.items() for check in checks]
    if listed:
        report.text(
            "Does relevance depend on what the model has learnt? To pass these checks is necessary, not enough."
        )
    for name, check in listed:
        report.text(f"{name}{check.name}: {'pass' if check.passed else 'fail'}. {check.statement}")
