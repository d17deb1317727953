"""The tables of the study: accuracy, errors and their reasons, physiology, transfer, artefacts taken out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binomtest
from scipy.stats import t as student

from signalrp.inspection import DFT, inspect
from signalrp.validation import bootstrap_interval, paired_difference

from .answers import units_of
from .findings import Recording, Task
from .physiology import lateralisation, place_share, relevance_clusters
from .regions import directions, ten_ten
from .sites import placed
from .steady_state import frequency_share
from .transfer import transfer

ERROR_COLUMNS = [
    "task", "person", "trial", "true", "predicted", "probability", "unusual", "reason", "electrode", "window_start",
    "window_stop", "peak_z", "coincides",
]  # fmt: skip
_SHOWN = 0.05
_FORMING = 0.001
"""One-sided p of the t from which a place belongs to a cluster."""
_IN_WORDS = {
    "artefact": "coincide with an artefact",
    "boundary": "lie near the boundary",
    "unlike": "have relevance unlike either class",
    "like": "are by their relevance typical of the class they were taken for",
    "unexplained": "remain unexplained",
}


def accuracy_table(recordings: Iterable[Recording]) -> pd.DataFrame:
    """Accuracy of each model on each recording, and that of always naming the most frequent class.

    The units are trials, so that intervals speak of this recording of this person; p is that of a binomial test
    against the accuracy of the most frequent class.
    """
    rows = []
    for recording in recordings:
        for name, data in recording.explanations.items():
            label, trials = data["label"].values, data.sizes["trial"]
            right = (data["target"].values == label).astype(float)
            chance = float(np.bincount(label).max() / trials)
            p = binomtest(int(right.sum()), trials, chance, "greater").pvalue
            interval = bootstrap_interval(right, np.arange(trials))
            rows.append((recording.task, recording.person, name, *interval, chance, p, trials))
    names = ["task", "person", "model", "accuracy", "low", "high", "chance", "p", "trials"]
    return pd.DataFrame(rows, columns=names)


def in_short(recording: Recording) -> str:
    """Say in a few sentences what was found for a recording."""
    told = []
    for row in accuracy_table([recording]).itertuples():
        told.append(f"{row.model} {row.accuracy:.1%} ({row.low:.1%} to {row.high:.1%})")
    words = (
        f"{recording.title}: recognised of {recording.signal.sizes['trial']} held-out trials: {', '.join(told)}; "
        f"always naming one class {row.chance:.1%}."
    )
    if recording.examination is None:
        return words
    summary, errors = recording.examination.summary(), recording.examination.errors
    firsts = [f"{int(summary.loc[name, 'first'])} {text}" for name, text in _IN_WORDS.items()]
    if not len(errors):
        return f"{words} There are no errors to explain."
    near = summary.loc["boundary"]
    return (
        f"{words} Of the {len(errors)} errors, each counted once, {', '.join(firsts)} (near the boundary are "
        f"{near['share']:.0%} of the errors and {near['base']:.0%} of the correct trials)."
    )


def error_table(recordings: Iterable[Recording]) -> pd.DataFrame:
    """Every misclassified trial, the most unusual first, with all that was found about it."""
    found = [
        recording.examination.errors.rename_axis("trial").reset_index().assign(
            task=recording.task, person=recording.person
        )
        for recording in recordings if recording.examination is not None
    ]  # fmt: skip
    if not found:
        return pd.DataFrame(columns=ERROR_COLUMNS)
    table = pd.concat(found, ignore_index=True).sort_values("unusual", ascending=False, kind="stable")
    return table[ERROR_COLUMNS + [name for name in table.columns if name not in ERROR_COLUMNS]]


def reason_table(recordings: Iterable[Recording]) -> pd.DataFrame:
    """How many errors of each recording are explained by what, beside its rightly classified trials."""
    found = [
        recording.examination.summary().reset_index().assign(task=recording.task, person=recording.person)
        for recording in recordings if recording.examination is not None
    ]  # fmt: skip
    return _first(pd.concat(found, ignore_index=True), "task", "person") if found else pd.DataFrame()


def physiology_table(task: Task, recordings: Iterable[Recording]) -> pd.DataFrame:
    """Does the relevance of correct trials lie where, and at the frequencies at which, the response is known to be?"""
    rows = []
    for recording in recordings:
        data = recording.best.isel(trial=recording.correct())
        if not data.sizes["trial"]:
            continue
        answers = [place_share(data, expected) for expected in task.expected]
        answers += [lateralisation(data, expected) for expected in task.lateral]
        if task.frequencies:
            answers.append(frequency_share(inspect(data, DFT()), task.frequencies))
        rows += [answer.assign(person=recording.person) for answer in answers]
    return _first(pd.concat(rows, ignore_index=True), "person") if rows else pd.DataFrame()


def cluster_tables(task: Task, recordings: Iterable[Recording], seed: int, most: int = 4) -> pd.DataFrame:
    """The largest clusters of electrodes and windows shown to have more relevance than the mean of a trial."""
    rows = []
    for recording in recordings:
        data = recording.best.isel(trial=recording.correct())
        units = len(np.unique(units_of(data)))
        # signs are flipped between units, of which there must be two
        if units < 2:
            continue
        expected = task.expected[0] if task.expected else None
        # Most places lie below the mean of their trial, together: by a lower threshold a single draw of signs in twenty
        # would make all of them one cluster, beside which no other is large.
        threshold = float(student.isf(_FORMING, units - 1))
        _, table = relevance_clusters(data, expected=expected, permutations=500, seed=seed, tail=1, threshold=threshold)
        shown = table[table["p"] <= _SHOWN] if len(table) else table
        if not len(shown):
            continue
        table = shown.sort_values("mass", ascending=False, kind="stable").head(most)
        rows.append(table.assign(person=recording.person, channel=[_some(names) for names in table["channel"]]))
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if not len(found):
        return pd.DataFrame()
    names = {"time_first": "from (s)", "time_last": "to (s)", "channel": "electrodes", "peak": "peak t"}
    keep = ["person", "p", "peak t", "size", "from (s)", "to (s)", "electrodes", "expected"]
    return found.rename(columns=names)[[name for name in keep if name in found.rename(columns=names)]]


def transfer_tables(recordings: Sequence[Recording], seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy on the other person, and how alike the mean maps of either person are."""
    accuracy, similarity = [], []
    for recording in recordings:
        for other, data in recording.elsewhere.items():
            found = transfer(recording.best, data, seed=seed)
            names = {"task": recording.task, "trained on": recording.person}
            accuracy.append(found[0].reset_index().assign(**names, **{"explained": [recording.person, other]}))
            similarity.append(found[1].reset_index().assign(**names, explained=other))
    tables = [pd.concat(rows, ignore_index=True) if rows else pd.DataFrame() for rows in (accuracy, similarity)]
    leading = ("task", "trained on", "explained")
    return _first(tables[0].drop(columns="person", errors="ignore"), *leading), _first(tables[1], *leading)


def artefact_table(recordings: Iterable[Recording], seed: int) -> pd.DataFrame:
    """What became of the trials with artefacts when these were taken out, beside as much taken out elsewhere."""
    rows: list[dict[str, Any]] = []
    for recording in recordings:
        table = recording.without
        if len(table) < 2:
            continue
        numbers = {name: table[name].to_numpy(float) for name in table.columns if name not in ("trial", "artefacts")}
        units = np.arange(len(table))
        after, control = numbers["correct_without"], numbers["correct_control"]
        difference = paired_difference(after, control, units, seed=seed)
        rows.append(
            {
                "task": recording.task, "person": recording.person, "trials with artefacts": len(table),
                "share of samples": numbers["samples"].mean(), "share of relevance": numbers["relevance"].mean(),
                "accuracy": numbers["correct"].mean(), "without artefacts": after.mean(),
                "without as much elsewhere": control.mean(), "difference": difference.estimate,
                "low": difference.low, "high": difference.high, "p": difference.p,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def peak_places(explanation: xr.Dataset, count: int = 3) -> str:
    """Where the mean relevance of these trials is highest, in words."""
    mean = explanation["relevance"].mean("trial").transpose("channel", "time")
    best, near = mean.max("time"), _nearest(explanation)
    places = []
    for number in np.argsort(-best.values)[:count]:
        instant = float(mean["time"].values[mean[number].values.argmax()])
        name = str(mean["channel"].values[number])
        places.append(f"{name}{near[name]} at {1e3 * instant:.0f} ms")
    return ", ".join(places)


def _nearest(explanation: xr.Dataset) -> dict[str, str]:
    """By electrode, the place of the 10-10 system that is nearest, in brackets where the name does not tell."""
    names = [str(name) for name in explanation["channel"].values]
    if not placed(explanation):
        return dict.fromkeys(names, "")
    known, towards = ten_ten()
    nearest = np.argmax(np.nan_to_num(directions(explanation) @ towards.T, nan=-2.0), axis=1)
    return {name: "" if name in known else f" (near {known[at]})" for name, at in zip(names, nearest, strict=True)}


def _some(names: str, most: int = 5) -> str:
    """A list of electrodes, shortened."""
    each = [name.strip() for name in str(names).split(",")]
    return ", ".join(each) if len(each) <= most + 2 else f"{', '.join(each[:most])} and {len(each) - most} more"


def _first(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The table with these columns in front."""
    return table[[*names, *(name for name in table.columns if name not in names)]] if len(table) else table
