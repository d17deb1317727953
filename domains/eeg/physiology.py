"""Does the relevance lie where physiology expects it? Every number is reported, whatever it is.

Answers are tables with the same columns: ``question``, ``measure``, ``estimate`` with ``low`` and ``high`` (a
bootstrap over the units), what ``chance`` would give, ``p`` and ``against``, the chance that p is the probability
of; ``unit`` and ``units``. The unit is the person where there are several; else it is the trial, and the answer is
about this person alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.groups import class_names
from signalrp.validation import cluster_table, cluster_test, mass_accuracy, paired_difference
from signalrp.validation.checks import labelled_array

from ._mne import mne
from .answers import Values, answer, answers, as_high, mean_over, units_of
from .data import info_of
from .drawing import eeg_channels, has_positions
from .places import window_coords, window_edges, window_sums
from .regions import directions
from .sites import Numbers, electrodes, mirrored, random_patches, random_shares

_FEWEST_NEIGHBOURS = 5


@dataclass(frozen=True)
class Expectation:
    """Where and when something is known to happen.

    Attributes
    ----------
    name : str
        What.
    places : tuple of str
        Places of the 10-10 system.
    window : tuple of float
        From when to when, s; None for the whole epoch.
    within : float
        Angle in degrees at which an electrode still belongs to a place.
    source : str
        Who says so.
    """

    name: str
    places: tuple[str, ...]
    window: tuple[float, float] | None
    within: float = 13.0
    source: str = ""

    def mask(self, explanation: xr.Dataset) -> xr.DataArray:
        """Which electrodes and instants these are, boolean (channel, time).

        Raises
        ------
        ValueError
            If no electrode is near, or no instant within the window.
        """
        names, time = explanation["channel"], explanation["time"]
        near = np.isin(names.values.astype(str), electrodes(explanation, self.places, self.within))
        if not near.any():
            raise ValueError(f"No electrode lies within {self.within:g} degrees of {', '.join(self.places)}.")
        low, high = self.window or (-np.inf, np.inf)
        inside = (time.values >= low - 1e-9) & (time.values <= high + 1e-9)
        if not inside.any():
            raise ValueError(f"The epoch holds no instant from {low:g} to {high:g} s, where {self.name} is expected.")
        return xr.DataArray(np.outer(near, inside), {"channel": names.values, "time": time.values}, ("channel", "time"))


N170 = Expectation(
    "N170", ("P7", "P8", "PO7", "PO8", "P9", "P10", "PO9", "PO10"), (0.13, 0.2), source="doi:10.1162/jocn.1996.8.6.551"
)
"""Faces: occipito-temporal, 130 to 200 ms (Bentin et al. 1996)."""
MOTOR = Expectation("motor", ("C3", "C4"), (-0.2, 0.1), 20.0, "doi:10.1111/j.1469-8986.1989.tb01916.x")
"""Presses: around C3 and C4 until shortly after the press, contralateral to the hand (Coles 1989)."""
VISUAL = Expectation("visual", ("PO7", "PO8", "O1", "O2"), (0.08, 0.2), source="doi:10.1002/hbm.10010")
"""Stimuli on one side: over the visual cortex, 80 to 200 ms, contralateral to them (Di Russo et al. 2002)."""


def place_share(explanation: xr.Dataset, expected: Expectation, *, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Does more relevance lie where it is expected than elsewhere?

    Three answers. The share of the positive relevance that lies there, against places taken at random: as many patches
    of neighbouring electrodes, of the same size, and as long a window; p is how many of these hold at least as much.
    Such a share can be due to the time alone, hence the share of what lies within the window, against other electrodes
    at the same time. And the mean relevance there less that elsewhere, sign and all, within units; p by flips of sign.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``relevance`` (trial, channel, time), as a rule of correctly classified trials.
    expected : Expectation
        Such as `N170`.
    draws : int
        Random places, and sign flips.
    seed : int
        Of both.

    Returns
    -------
    pandas.DataFrame
        Three rows, see the module.

    Raises
    ------
    ValueError
        If no electrode or instant is there, everything is, positions are unknown, or a trial has no positive relevance.
    """
    data = eeg_channels(explanation)
    relevance = labelled_array(data, "relevance").transpose("trial", "channel", "time")
    mask, units = expected.mask(data), units_of(data)
    inside = mass_accuracy(data, mask)
    chosen, instants = np.flatnonzero(mask.any("time")), int(mask.any("channel").sum())
    values = relevance.values.astype(np.float64)
    positive = np.maximum(values, 0)
    share = mean_over(positive / positive.sum((1, 2), keepdims=True), units)
    random = random_shares(share, chosen, instants, directions(data), draws, seed)
    p = as_high(float(share[mask.values].sum()), random)
    over, near = mask.any("channel").values, mask.any("time").values
    held = positive[..., over].sum(2)
    within = held[:, near].sum(1) / np.maximum(held.sum(1), np.finfo(float).tiny)
    at_once = share[:, over].sum(1, keepdims=True) / share[:, over].sum()
    same_time = random_shares(at_once, chosen, 1, directions(data), draws, seed)
    there, elsewhere = values[:, mask.values].mean(1), values[:, ~mask.values].mean(1)
    difference = paired_difference(there, elsewhere, units, resamples=draws, seed=seed)
    rows = [
        answer(expected.name, "share of positive relevance", inside.values, units, float(mask.values.mean()), p,
             f"{draws} places at random, which hold {random.mean():.3g} on average"),
        answer(expected.name, "share within its window", within, units, float(near.mean()),
               as_high(float(at_once[near].sum()), same_time),
               f"{draws} places at random at the same time, which hold {same_time.mean():.3g} on average"),
        answer(expected.name, "mean relevance there less elsewhere", there - elsewhere, units, 0.0, difference.p,
             "signs of units flipped"),
    ]  # fmt: skip
    return answers(rows, units)


def lateralisation(
    explanation: xr.Dataset,
    expected: Expectation,
    contralateral: Mapping[int, str] | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Does relevance lie on the side opposite to the hand, or the stimulus?

    Of the positive relevance at the places on both sides, the share on the side that is contralateral for the class
    of the trial; its chance is a half. Two answers: p by flips of sign within units, and p against pairs of places
    taken at random, as large and opposite to each other, in the same window. With few electrodes there are few such
    pairs, of which the place itself is one, so that this p cannot be small. What relevance lies on the other side is
    no mistake: a model may compare the two sides.

    Parameters
    ----------
    explanation, draws, seed
        See `place_share`; with ``label``.
    expected : Expectation
        With places on both sides, such as `MOTOR`.
    contralateral : mapping of int to str, optional
        Number of the class -> "left" or "right", the side of the head that is expected; by default opposite to the
        side in the names of the classes.

    Returns
    -------
    pandas.DataFrame
        Two rows, see the module.

    Raises
    ------
    ValueError
        As for `place_share`, and if a class has no side.
    """
    data = eeg_channels(explanation)
    relevance = labelled_array(data, "relevance").transpose("trial", "channel", "time")
    sides = _contralateral(data) if contralateral is None else contralateral
    unknown = sorted(set(data["label"].values.tolist()) - set(sides))
    if unknown or not set(sides.values()) <= {"left", "right"}:
        raise ValueError(f"The sides are {dict(sides)}; give every class, {unknown or 'all'} too, left or right.")
    is_left = np.array([sides[label] == "left" for label in data["label"].values.tolist()])
    mask, units, towards = expected.mask(data), units_of(data), directions(data)
    chosen, inside = np.flatnonzero(mask.any("time")), mask.any("channel").values
    sums = np.maximum(relevance.values[..., inside].astype(np.float64), 0).sum(2)
    left, right = chosen[towards[chosen, 0] < -0.1], chosen[towards[chosen, 0] > 0.1]
    if not len(left) or not len(right):
        raise ValueError(f"{expected.name} has {len(left)} electrodes on the left and {len(right)} on the right.")
    shares = _contralateral_share(sums, left, right, is_left)
    difference = paired_difference(shares, np.full_like(shares, 0.5), units, resamples=draws, seed=seed)
    rng = np.random.default_rng(seed)
    random = np.empty(draws)
    on_left = np.where((towards[:, 0] < -0.1)[:, None], towards, np.nan)
    for draw in range(draws):
        (patch,) = random_patches([len(left)], on_left, rng)
        pair = _contralateral_share(sums, patch, mirrored(patch, towards), is_left)
        random[draw] = mean_over(pair, units)
    p = as_high(float(mean_over(shares, units)), random)
    name = f"{expected.name}, contralateral"
    measure = "share of positive relevance on the contralateral side"
    rows = [
        answer(name, measure, shares, units, 0.5, difference.p, "signs of units flipped"),
        answer(name, measure, shares, units, float(random.mean()), p, f"{draws} pairs of places at random"),
    ]
    return answers(rows, units)


def relevance_clusters(
    explanation: xr.Dataset,
    against: Any = "uniform",
    expected: Expectation | None = None,
    *,
    window: float = 0.025,
    **options: Any,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Find clusters of electrodes and windows by permutation, see `signalrp.validation.cluster_test`.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``relevance`` (trial, channel, time).
    against
        "uniform", whether relevance is above the mean of its trial, or whatever `cluster_test` takes, such as "label".
    expected : Expectation, optional
        Say how much of it each cluster covers.
    window : float
        Length of the windows over which relevance is averaged before, s.
    **options
        For `cluster_test`, such as ``permutations=500``.

    Returns
    -------
    xarray.Dataset
        Of `cluster_test`, over channel and time, the middle of each window. Electrodes are neighbours by
        ``mne.channels.find_ch_adjacency`` where positions are known and there are five or more.
    pandas.DataFrame
        Of `cluster_table`, with ``expected``, the share of the expected places that lie in the cluster.

    Raises
    ------
    ValueError
        As for `cluster_test`.
    """
    data = eeg_channels(explanation)
    relevance = labelled_array(data, "relevance").transpose("trial", "channel", "time")
    edges = window_edges(data["time"], window)
    means = window_sums(relevance.values.astype(np.float64), edges) / np.diff(edges)
    limits = window_coords(data["time"], edges)
    middle = (limits["window_start"][1] + limits["window_stop"][1]) / 2
    trial = {name: c for name, c in data.variables.items() if c.dims == ("trial",)}
    maps = xr.Dataset({"relevance": (("trial", "channel", "time"), means)}, {"channel": data["channel"].values})
    maps = maps.assign(trial).assign_coords(time=("time", middle, data["time"].attrs))
    adjacency: Any = "none"
    if has_positions(data) and data.sizes["channel"] >= _FEWEST_NEIGHBOURS:
        with mne.use_log_level("ERROR"):
            adjacency = mne.channels.find_ch_adjacency(info_of(data["signal"], positions=True), "eeg")[0]
    result = cluster_test(maps, against, subject=units_of(data), adjacency={"channel": adjacency}, **options)
    table = cluster_table(result)
    if expected is not None:
        wanted = expected.mask(maps.assign_coords({name: data[name] for name in "xyz" if name in data.coords})).values
        label = result["cluster"].transpose("channel", "time").values
        table["expected"] = [float((label[wanted] == number).mean()) for number in table["cluster"]]
    return result, table


def _contralateral(explanation: xr.Dataset) -> dict[int, str]:
    opposite = {"left": "right", "right": "left"}
    return {
        number: opposite[side]
        for number, name in enumerate(class_names(explanation))
        for side in opposite
        if side in name.lower()
    }


def _contralateral_share(sums: Values, left: Numbers, right: Numbers, is_left: npt.NDArray[np.bool_]) -> Values:
    """Share (trial,) of relevance (trial, channel) on the expected side, a half where there is none on either."""
    sides = np.stack([sums[:, left].mean(1), sums[:, right].mean(1)])
    mine, total = np.where(is_left, sides[0], sides[1]), sides.sum(0)
    return np.divide(mine, total, out=np.full_like(mine, 0.5), where=total > 0)
