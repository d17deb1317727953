"""Does the relevance peak at the frequency of the stimulus, where the response is known to be?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.groups import class_names
from signalrp.validation import paired_difference

from .answers import Values, answer, answers, as_high, mean_over, units_of

_LOWEST = 1.0


def frequency_share(
    inspected: xr.Dataset,
    frequencies: Mapping[int, float],
    *,
    harmonics: int = 3,
    width: float = 0.5,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Does relevance lie at the frequency of the stimulus and its multiples, and not at those of the other classes?

    A steady-state response has the frequency of the stimulus and multiples of it (Herrmann 2001,
    doi:10.1007/s002210100682), which is known truth for relevance in frequency. For each class: the share of the
    positive relevance that lies at its own frequency and multiples, against combs of as many frequencies that begin
    anywhere else; and of what lies at the frequencies of all classes, the share at its own, of which chance is the
    part of the bins that are its own. Multiples that classes share count for none: 60 Hz is one of 20 and of 30 Hz,
    and where the mains hum, besides.

    Parameters
    ----------
    inspected : xarray.Dataset
        ``signalrp.inspect(explanation, DFT())``, as a rule of correctly classified trials, with ``label``; relevance
        is summed over channels.
    frequencies : mapping of int to float
        Number of the class -> frequency of its stimulus, Hz.
    harmonics : int
        How many multiples count, the frequency itself included, as far as they lie below Nyquist.
    width : float
        Half the width of what still counts as a frequency, Hz; at least half a bin.
    draws, seed : int
        Random combs, and sign flips.

    Returns
    -------
    pandas.DataFrame
        Two rows for each class, as in `signalrp.domains.eeg.physiology`, and with ``peak``, the frequency in Hz at
        which the mean relevance of the class is highest.

    Raises
    ------
    ValueError
        If the explanation was not inspected in frequency, classes have no or the same frequency, or none lies in range.
    """
    if "relevance" not in inspected or "frequency" not in inspected["relevance"].dims:
        raise ValueError("The explanation has no dimension 'frequency'; give what inspect(explanation, DFT()) returns.")
    missing = sorted(set(inspected["label"].values.tolist()) - set(frequencies))
    if missing or len(set(frequencies.values())) < len(frequencies) or len(frequencies) < 2:
        raise ValueError(
            f"The frequencies are {dict(frequencies)}; give a different one for each class, {missing} too."
        )
    relevance = inspected["relevance"]
    summed = relevance.sum([dim for dim in relevance.dims if dim not in ("trial", "frequency")])
    values = summed.transpose("trial", "frequency").values.astype(np.float64)
    grid = inspected["frequency"].values.astype(np.float64)
    multiples = _multiples(frequencies, harmonics, width)
    combs = {number: _comb(grid, hertz, multiples[number], width) for number, hertz in frequencies.items()}
    empty = [hertz for number, hertz in frequencies.items() if not combs[number].any()]
    if empty:
        raise ValueError(
            f"No multiple of {empty[0]:g} Hz lies below {grid[-1]:g} Hz and apart from those of other classes; check "
            "the sampling rate and the frequencies, or narrow the width."
        )
    rng = np.random.default_rng(seed)
    # combs of random frequencies begin where no class has its own, at most at the highest of them
    apart = np.abs(grid[:, None] - list(frequencies.values())).min(1) > 2 * width
    free = grid[apart & (grid >= _LOWEST) & (grid <= max(frequencies.values()))]
    if not len(free):
        raise ValueError(f"Half a width of {width:g} Hz leaves no frequency between those of the classes; narrow it.")
    tables = []
    for number, name in enumerate(class_names(inspected)):
        mine = inspected["label"].values == number
        if number not in frequencies or not mine.any():
            continue
        positive = np.maximum(values[mine], 0)
        total = positive.sum(1, keepdims=True)
        shares = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
        units = units_of(inspected.isel(trial=np.flatnonzero(mine)))
        mean = mean_over(shares, units)
        random = np.array(
            [mean[_comb(grid, hertz, multiples[number], width)].sum() for hertz in rng.choice(free, draws)]
        )
        own, others = combs[number], np.any([comb for other, comb in combs.items() if other != number], axis=0)
        part, chance = _own_part(shares, own, others)
        flips = paired_difference(part, np.full_like(part, chance), units, resamples=draws, seed=seed)
        question = f"{name}: {frequencies[number]:g} Hz"
        rows = [
            answer(question, "share of positive relevance at its frequencies", shares[:, own].sum(1), units,
                   float(own.mean()), as_high(float(mean[own].sum()), random),
                   f"{draws} combs at random, which hold {random.mean():.3g} on average"),
            answer(question, "its part of what lies at all classes' frequencies", part, units, chance, flips.p,
                   "signs of units flipped"),
        ]  # fmt: skip
        peak = float(grid[np.argmax(mean_over(values[mine], units))])
        tables.append(answers(rows, units).assign(peak=peak))
    return pd.concat(tables, ignore_index=True)


def _own_part(shares: Values, own: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]) -> tuple[Values, float]:
    """Part (trial,) of the relevance at the frequencies of all classes that is at its own, and its chance level."""
    chance = float(own.sum() / max(1, (own | others).sum()))
    mine, both = shares[:, own].sum(1), shares[:, own | others].sum(1)
    return np.divide(mine, both, out=np.full_like(both, chance), where=both > 0), chance


def _multiples(frequencies: Mapping[int, float], harmonics: int, width: float) -> dict[int, list[int]]:
    """Which multiples of its frequency each class shares with no other."""
    every = {number: hertz * np.arange(1, harmonics + 1) for number, hertz in frequencies.items()}
    return {
        number: [
            rank + 1
            for rank, hertz in enumerate(mine)
            if all(np.abs(every[other] - hertz).min() > 2 * width for other in every if other != number)
        ]
        for number, mine in every.items()
    }


def _comb(grid: Values, hertz: float, multiples: list[int], width: float) -> npt.NDArray[np.bool_]:
    """Which frequencies are these multiples of one."""
    wide = max(width, (grid[1] - grid[0]) / 2)
    return (np.abs(grid[:, None] - hertz * np.array(multiples)) <= wide + 1e-9).any(1)
