"""How alike relevance is within a subject and between subjects."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from signalrp.validation.checks import labelled_array
from signalrp.validation.statistics import trial_clusters


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
        Dataset with ``relevance`` (trial, channel, time).
    by
        Coordinate along trial that names the subject.
    measure
        ``"cosine"``, or ``"correlation"`` (Pearson's, over channels and time).
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
    if measure not in ("cosine", "correlation"):
        raise ValueError(f"Measure {measure!r} is unknown; choose cosine or correlation.")
    maps = labelled_array(explanation, "relevance").values.astype(np.float64)
    maps = maps.reshape(len(maps), -1)
    if measure == "correlation":
        maps = maps - maps.mean(1, keepdims=True)
    norms = np.linalg.norm(maps, axis=1)
    if not norms.all():
        flat = int((norms == 0).argmax())
        raise ValueError(f"Relevance of trial {flat} is zero or constant, so it resembles nothing; drop it.")
    subjects, number, trials = np.unique(
        np.asarray(trial_clusters(explanation, by)), return_inverse=True, return_counts=True
    )
    if len(subjects) < 3 or trials.max() < 2:
        raise ValueError(
            f"Found {len(subjects)} subjects with at most {trials.max()} trials; expected at least three "
            "subjects, one of them with two trials or more."
        )
    sums = np.zeros((len(subjects), maps.shape[1]))
    np.add.at(sums, number, maps / norms[:, None])
    return _table(sums @ sums.T, trials, level, resamples, seed)


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
