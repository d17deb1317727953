"""Which reason there is for an error, exactly defined, and how often correct trials meet the same definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest, fisher_exact

from signalrp.validation import bootstrap_interval, paired_difference

REASONS = ("artefact", "boundary", "unlike", "like")
"""Reasons in the order in which the first that holds becomes the reason of a trial; else it is "unexplained"."""
UNEXPLAINED = "unexplained"

_SHARE, _BASE = ("share", "low", "high"), ("base", "base_low", "base_high")
_COMPARED = (*_SHARE, *_BASE, "difference", "difference_low", "difference_high", "p")


@dataclass(frozen=True)
class Limits:
    """Where what is near, unlike and typical begins; every limit is taken from correct trials.

    Attributes
    ----------
    near : float
        A margin is small up to this quantile of the margins of correct trials.
    unlike : float
        A trial is unlike a class if at most this share of its correct trials lies as far from it.
    typical : float
        A trial is typical of a class if its margin is above this quantile, and its distance below one minus this
        quantile, of correct trials of that class.
    """

    near: float = 0.1
    unlike: float = 0.05
    typical: float = 0.25

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1:
                raise ValueError(f"The limit {name!r} is {value}; expected a share between 0 and 1.")

    def definitions(self) -> dict[str, str]:
        """What every reason means, in words."""
        return {
            "artefact": "an artefact is present on the trial, beyond what the other trials of the person allow, and "
            "reaches one of the places that misled",
            "boundary": f"the outputs of the two classes differ by no more than in the closest {self.near:.0%} of "
            "correct trials",
            "unlike": f"the relevance is unlike both classes: no more than {self.unlike:.0%} of the correct trials of "
            "either lie as far from it",
            "like": "by its relevance a typical trial of the class it was taken for: nearer to that class than to the "
            f"other, not among the {self.typical:.0%} of its correct trials that lie farthest, nor among the "
            f"{self.typical:.0%} with the smallest margins; so would be a trial with a wrong label",
            UNEXPLAINED: "none of these",
        }


def give_reasons(trials: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """Add to the table of trials which reasons hold, a column for each, and ``reason``, the first that does.

    No definition uses whether a trial was misclassified, so that correct trials can meet each of them as well.
    """
    table = trials.copy()
    correct, size = table["correct"], table["margin"].abs()
    of_rival = ~correct
    p_predicted = table["p_true"].where(correct, table["p_rival"])
    nearer = (table["distance_true"] < table["distance_rival"]) ^ of_rival
    clear = pd.Series(False, index=table.index)
    for name in table["predicted"].unique():
        mine = table["predicted"] == name
        clear |= mine & (size > size[mine & correct].quantile(limits.typical))
    table["artefact"] = table["coincides"] != ""
    table["boundary"] = size <= size[correct].quantile(limits.near)
    table["unlike"] = (table["p_true"] <= limits.unlike) & (table["p_rival"] <= limits.unlike)
    table["like"] = clear & nearer & (p_predicted > limits.typical) & ~table["boundary"]
    table[UNEXPLAINED] = ~table[list(REASONS)].any(axis=1)
    first = np.select([table[name] for name in REASONS], REASONS, default=UNEXPLAINED)
    return table.assign(reason=first)


def summarise(trials: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """How many errors each reason holds for, beside how many correct trials.

    Reasons may overlap; the columns that begin with ``first`` count every trial once, by the first reason in the order
    of `REASONS`. A reason explains something only as far as it holds more often for errors than for correct trials.
    The exceptions are said by their definitions: errors *are* nearer to the boundary as a rule, and "like" holds for
    most correct trials, so that a smaller share among errors is expected; its count is of interest.

    With one person the units are trials: shares have exact (Clopper and Pearson) intervals, their difference has that
    of Newcombe (1998) and the two-sided p of Fisher's exact test, all of which speak of this person's recording alone.
    With several people these are the units: shares are means over people, with a bootstrap interval, the difference
    is within people, with the p of a sign-flip test (`signalrp.validation.paired_difference`).
    ``p_holm`` is corrected for the number of reasons (Holm 1979).

    Parameters
    ----------
    trials : pandas.DataFrame
        From `give_reasons`; with ``subject`` where there are several people.
    level : float
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per reason and one for "unexplained": ``errors`` and ``correct``, how many of either meet it;
        ``share`` (with ``low`` and ``high``) of the errors, ``base`` of the correct trials, ``difference``, ``p``,
        ``p_holm``; ``first``, errors of which it is the first reason, and ``first_base``, share of correct trials of
        which it is. The attributes (``attrs``) tell the unit and how many people, errors and correct trials there are.
    """
    wrong = ~trials["correct"].to_numpy(dtype=bool)
    subjects = trials["subject"].to_numpy() if "subject" in trials else np.zeros(len(trials))
    several = len(np.unique(subjects)) > 1
    rows = {}
    for name in (*REASONS, UNEXPLAINED):
        held, first = trials[name].to_numpy(dtype=bool), (trials["reason"] == name).to_numpy()
        compared = _over_people(held, wrong, subjects, level) if several else _over_trials(held, wrong, level)
        rows[name] = {
            "errors": int(held[wrong].sum()),
            "correct": int(held[~wrong].sum()),
            **compared,
            "first": int(first[wrong].sum()),
            "first_base": _share(first[~wrong]),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("reason")
    table.insert(table.columns.get_loc("p") + 1, "p_holm", _holm(table["p"].to_numpy()))
    table.attrs = {
        "unit": "person" if several else "trial",
        "people": len(np.unique(subjects)),
        "errors": int(wrong.sum()),
        "correct": int((~wrong).sum()),
    }
    return table


def _over_trials(held: npt.NDArray[np.bool_], wrong: npt.NDArray[np.bool_], level: float) -> dict[str, float]:
    counts = [int(held[rows].sum()) for rows in (wrong, ~wrong)]
    sizes = [int(rows.sum()) for rows in (wrong, ~wrong)]
    columns = dict.fromkeys(_COMPARED, np.nan)
    for names, count, size in zip((_SHARE, _BASE), counts, sizes, strict=True):
        if size:
            test = binomtest(count, size)
            columns |= dict(zip(names, (test.statistic, *test.proportion_ci(level)), strict=True))
    if all(sizes):
        one, two = (count / size for count, size in zip(counts, sizes, strict=True))
        (low, high), (base_low, base_high) = (
            binomtest(count, size).proportion_ci(level, method="wilson")
            for count, size in zip(counts, sizes, strict=True)
        )
        columns["difference"] = one - two
        columns["difference_low"] = one - two - np.hypot(one - low, base_high - two)
        columns["difference_high"] = one - two + np.hypot(high - one, two - base_low)
        columns["p"] = float(fisher_exact([[k, n - k] for k, n in zip(counts, sizes, strict=True)]).pvalue)
    return columns


def _over_people(
    held: npt.NDArray[np.bool_], wrong: npt.NDArray[np.bool_], subjects: npt.NDArray[np.generic], level: float
) -> dict[str, float]:
    """Means over people of their shares, each person counting the same; only of those who have errors and others."""
    people = [subjects == name for name in np.unique(subjects)]
    people = [mine for mine in people if (mine & wrong).any() and (mine & ~wrong).any()]
    if len(people) < 2:
        return dict.fromkeys(_COMPARED, np.nan)
    one = np.array([held[mine & wrong].mean() for mine in people])
    two = np.array([held[mine & ~wrong].mean() for mine in people])
    shares = (*bootstrap_interval(one, level=level), *bootstrap_interval(two, level=level))
    difference = paired_difference(one, two, level=level)
    return dict(zip(_COMPARED, (*map(float, shares), *difference), strict=True))


def _holm(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P corrected for how many there are, step by step."""
    order = np.argsort(p)
    steps = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    corrected = np.empty_like(p)
    corrected[order] = steps
    return corrected


def _share(held: npt.NDArray[np.bool_]) -> float:
    return float(held.mean()) if len(held) else float("nan")
