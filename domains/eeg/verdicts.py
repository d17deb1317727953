"""What happened on a trial, in words."""

from __future__ import annotations

from typing import Any

import pandas as pd
import xarray as xr

from .misclassified import Examination


def verdict(examination: Examination, trial: Any) -> str:
    """Say in words what happened on a trial, and what there is to blame.

    Raises
    ------
    KeyError
        If there is no such trial.
    """
    row, number = row_of(examination, trial)
    went = f"was taken for {row['predicted']}" if not row["correct"] else "was recognised"
    place = f"{row['electrode']} at {window_words(row)}"
    standard = (examination.trials["correct"] & (examination.trials["true"] == row["true"])).sum()
    sentences = [
        f"Trial {trial}, {row['true']}, {went} (probability {row['probability']:.2f}, outputs {abs(row['margin']):.2g} "
        f"apart).",
        _REASON_WORDS[row["reason"]].format(**row, other=row["predicted"]),
        f"What spoke most for {row['rival']}, against {standard} correct trials of {row['true']}: {place} (robust z "
        f"{row['peak_z']:.1f}, reached anywhere by {row['peak_p']:.0%} of these).",
        f"Its relevance lies {row['distance_true']:.1f} times the usual distance from {row['true']} (as far: "
        f"{row['p_true']:.0%} of its correct trials) and {row['distance_rival']:.1f} times from {row['rival']} "
        f"({row['p_rival']:.0%}).",
    ]
    if examination.artefacts is not None:
        sentences.append(_artefact_words(examination.artefacts.isel(trial=number), row))
    return " ".join(sentences)


_REASON_WORDS = {
    "artefact": "It coincides with an artefact: {coincides}.",
    "boundary": "It lies near the boundary: few correct trials have outputs as close.",
    "unlike": "Its relevance is unlike both classes.",
    "like": "By its relevance it is a typical trial of {other}.",
    "unexplained": "None of the reasons looked for holds.",
}


def _artefact_words(found: xr.Dataset, row: pd.Series) -> str:
    present = [name for name in found["artefact"].values.astype(str) if bool(found["present"].sel(artefact=name))]
    if not present:
        return "No artefact is beyond what the other trials allow."
    words = [
        f"{name} ({amount_words(found, name, 'measure')}, limit {amount_words(found, name, 'limit')})"
        for name in present
    ]
    there = row["coincides"] or "none"
    return f"Artefacts beyond what the other trials allow: {', '.join(words)}; at a place that misled: {there}."


def amount_words(found: xr.Dataset, name: str, what: str) -> str:
    """Measure or limit of an artefact on a trial, with its unit."""
    chosen = found.sel(artefact=name)
    unit = str(chosen["unit"].item())
    return f"{float(chosen[what]):.3g} {'times usual' if unit == 'x usual' else unit}"


def row_of(examination: Examination, trial: Any) -> tuple[pd.Series, int]:
    """Row of a trial in the table, and its position."""
    if trial not in examination.trials.index:
        some = ", ".join(map(str, examination.trials.index[:5]))
        raise KeyError(f"There is no trial {trial!r}; the table has {some} ...")
    return examination.trials.loc[trial], int(examination.trials.index.get_loc(trial))


def window_words(row: pd.Series) -> str:
    """When a trial was misled most, in ms."""
    return f"{1000 * row['window_start']:.0f} to {1000 * row['window_stop']:.0f} ms"
