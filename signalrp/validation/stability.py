"""How alike relevance is: within and between subjects, across models, under noise, over more and more trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import nn

from signalrp.baselines import Method
from signalrp.targets import Target
from signalrp.validation.checks import labelled_array
from signalrp.validation.likeness import Measure, check_measure, likeness, mean_of
from signalrp.validation.statistics import trial_clusters
from signalrp.validation.verdicts import Case, deviation, norms, over_trials, plus


def similarity(
    explanation: xr.Dataset,
    by: str = "subject",
    measure: Literal["cosine", "correlation"] = "cosine",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Similarity of relevance maps within a subject against between subjects.

    Within: mean over subjects of the mean over all pairs of a subject's trials. Between: mean over all pairs
    of subjects of the mean over their pairs of trials. Each subject thus counts the same. Subjects are
    resampled for the interval; a subject drawn twice is never compared with itself.

    Parameters
    ----------
    explanation
        Dataset with ``relevance`` (trial, …), usually (trial, channel, time).
    by
        Coordinate along trial that names the subject.
    measure
        ``"cosine"``, or ``"correlation"`` (Pearson's, over all samples of a map).
    level, resamples, seed
        See `bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        Rows within, between, difference; columns estimate, low, high.

    Raises
    ------
    ValueError
        If the coordinate is missing, no subject has two trials, there are fewer than three subjects, or a map
        is zero (for correlation: constant) so that its similarity is undefined.
    """
    units = _unit_maps(explanation, measure)
    subjects, number, trials = np.unique(
        np.asarray(trial_clusters(explanation, by)), return_inverse=True, return_counts=True
    )
    if len(subjects) < 3 or trials.max() < 2:
        raise ValueError(
            f"Found {len(subjects)} subjects with at most {trials.max()} trials; expected at least three "
            "subjects, one of them with two trials or more."
        )
    sums = np.zeros((len(subjects), units.shape[1]))
    np.add.at(sums, number, units)
    return _table(sums @ sums.T, trials, level, resamples, seed)


def agreement(
    explanations: Mapping[str, xr.Dataset] | Sequence[xr.Dataset],
    measure: Measure = "cosine",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Similarity of the maps that several models, folds or seeds make of the same trials.

    Parameters
    ----------
    explanations
        Two or more explanations of the same signals, with names or numbered from 0. Where they have ``target``, a
        pair is compared over the trials in which both explain the same class.
    measure
        See `signalrp.validation.likeness`.
    subject, level, resamples, seed
        See `bootstrap_interval`; trials are clustered by the coordinate ``subject`` where there is one.

    Returns
    -------
    pandas.DataFrame
        Columns first, second, similarity, low, high (NaN where fewer than two trials, or subjects, are compared),
        share (of trials compared). The first row, ``all``, is the mean over trials of the mean over pairs; then comes
        every pair.

    Raises
    ------
    ValueError
        If there are fewer than two, their signals differ, two of them never explain the same class, or all trials
        are of one subject.
    """
    named = dict(explanations) if isinstance(explanations, Mapping) else {str(i): e for i, e in enumerate(explanations)}
    if len(named) < 2:
        raise ValueError(f"Found {len(named)} explanation; agreement needs two or more of the same trials.")
    maps = {name: labelled_array(explanation, "relevance") for name, explanation in named.items()}
    first = next(iter(named))
    check_measure(measure, maps[first].shape[1:])
    cluster = trial_clusters(named[first], subject)
    for name, explanation in named.items():
        same = maps[name].dims == maps[first].dims and maps[name].shape == maps[first].shape
        one, two = (labelled_array(each, "signal").values for each in (named[first], explanation))
        if not same or not np.allclose(one, two, rtol=1e-5, atol=1e-6 * np.abs(one).max()):
            raise ValueError(f"Explanations {first!r} and {name!r} are not of the same trials in the same order.")
    pairs = {}
    for pair in combinations(named, 2):
        values = likeness(maps[pair[0]].values, maps[pair[1]].values, measure)
        targets = [named[name]["target"].values for name in pair if "target" in named[name]]
        if len(targets) == 2:
            values[targets[0] != targets[1]] = np.nan
        if not np.isfinite(values).any():
            raise ValueError(
                f"Explanations {pair[0]!r} and {pair[1]!r} have no trial in which they explain the same class by maps "
                "that are not zero or constant; explain one class for all (target=...)."
            )
        pairs[pair] = values
    rows = []
    for pair, values in {("all", "all"): mean_of(list(pairs.values())), **pairs}.items():
        rows.append((*pair, *over_trials(values, cluster, level, resamples, seed), np.isfinite(values).mean()))
    return pd.DataFrame(rows, columns=["first", "second", "similarity", "low", "high", "share"])


def noise_stability(
    model: nn.Module,
    data: xr.DataArray | xr.Dataset,
    method: Method = "epsilon-plus",
    *,
    target: Target = None,
    levels: Sequence[float] = (0.01, 0.03, 0.1, 0.3),
    repeats: int = 5,
    measure: Measure = "cosine",
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Similarity of the maps of a signal and of the signal with a little noise.

    Only draws in which the predicted class stays are compared: elsewhere the model itself has changed its mind. The
    class explained stays that of the clean signal.

    Parameters
    ----------
    model, data, method, target, subject, level
        See `cascading_randomisation`.
    levels
        Standard deviations of white noise, in those of the signal, for every channel its own where there is a
        dimension ``channel``.
    repeats
        Draws of noise; the same ones, scaled, at all levels.
    measure
        See `signalrp.validation.likeness`.
    seed
        Of noise and resampling.

    Returns
    -------
    pandas.DataFrame
        One row per level; columns level, similarity, low, high (mean over trials of the mean over draws), share (of
        draws compared), and ratio: relative change of the map (norm) over level, the largest of a trial's draws, mean
        over trials; a ratio of 2 says that 1 % noise changes a map by 2 %. It estimates a local Lipschitz constant
        (Alvarez-Melis and Jaakkola 2018, arXiv:1806.08049), free of units. NaN where fewer than two trials, or
        subjects, keep their class.

    Raises
    ------
    ValueError
        If levels are not above 0, the signal is constant or holds NaN, or all trials are of one subject.
    """
    if not levels or not all(np.isfinite(one) and one > 0 for one in levels) or repeats < 1:
        raise ValueError(
            f"Found levels {list(levels)} and {repeats} repeats; expected levels above 0 and 1 repeat or more."
        )
    case = Case.of(model, data, method, target, subject, options)
    maps = case.maps.astype(np.float64)
    check_measure(measure, maps.shape[1:])
    sd, size = deviation(case.signal), norms(maps)
    rng = np.random.default_rng(seed)
    noise = [sd * case.signal.copy(data=rng.standard_normal(case.signal.shape)) for _ in range(repeats)]
    rows = []
    for amount in levels:
        values, ratios = np.full((2, repeats, len(maps)), np.nan)
        for draw, one in enumerate(noise):
            found = case.again(signal=plus(case.signal, amount * one))
            other = labelled_array(found, "relevance").values
            stays = _same_class(case.original, found) & (size > 0)
            values[draw, stays] = likeness(maps[stays], other[stays], measure)
            ratios[draw, stays] = norms(other[stays] - maps[stays]) / size[stays] / amount
        known = np.isfinite(values)
        stayed = np.isfinite(ratios).any(0)
        ratio = np.nanmax(ratios[:, stayed], axis=0).mean() if stayed.any() else np.nan
        interval = over_trials(mean_of(values), case.cluster, level, seed=seed)
        rows.append((amount, *interval, known.mean(), ratio))
    return pd.DataFrame(rows, columns=["level", "similarity", "low", "high", "share", "ratio"])


def _same_class(one: xr.Dataset, two: xr.Dataset) -> NDArray[np.bool_]:
    """Trials in which two outputs (trial, class) have their largest value in the same class; else all."""
    first, second = one["output"].values, two["output"].values
    if first.ndim != 2 or first.shape[1] < 2:
        return np.ones(len(first), dtype=bool)
    return first.argmax(1) == second.argmax(1)


def _unit_maps(explanation: xr.Dataset, measure: str) -> NDArray[np.float64]:
    """Maps (trial, sample) of norm 1, for the correlation centred first."""
    if measure not in ("cosine", "correlation"):
        raise ValueError(f"Measure {measure!r} is unknown; choose cosine or correlation.")
    maps = labelled_array(explanation, "relevance").values.astype(np.float64)
    maps = maps.reshape(len(maps), -1)
    if measure == "correlation":
        maps = maps - maps.mean(1, keepdims=True)
    sizes = np.linalg.norm(maps, axis=1)
    if not sizes.all():
        flat = int((sizes == 0).argmax())
        raise ValueError(f"Relevance of trial {flat} is zero or constant, so it resembles nothing; drop it.")
    return maps / sizes[:, None]


def _table(
    products: NDArray[np.float64], trials: NDArray[np.int64], level: float, resamples: int, seed: int
) -> pd.DataFrame:
    """Table from the products of the subjects' summed unit maps: sums over all their pairs of trials."""
    several = (trials > 1).astype(np.float64)
    own = (np.diag(products) - trials) / np.maximum(trials * (trials - 1), 1)
    across = products / np.outer(trials, trials)
    np.fill_diagonal(across, 0)
    count = len(trials)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = np.vstack([np.ones(count), drawn])
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    paired = weights @ several
    # a resample of one subject alone, or of none with two trials, has nothing to compare
    usable = (pairs > 0) & (paired > 0)
    weights, pairs, paired = weights[usable], pairs[usable], paired[usable]
    within = weights @ (own * several) / paired
    between = ((weights @ across) * weights).sum(1) / pairs
    values = np.stack([within, between, within - between])
    low, high = np.quantile(values[:, 1:], [(1 - level) / 2, (1 + level) / 2], axis=1)
    return pd.DataFrame({"estimate": values[:, 0], "low": low, "high": high}, index=["within", "between", "difference"])
