"""Two nets that answer equally well: do they listen to the same?"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from .cells import in_cells, limits
from .comparison_tables import Names, Places, answer_table, answered, harmonic_rows, share_table, similarity_table
from .segments import BANDS, part_segments
from .time_frequency import time_frequency

__all__ = ["CELL", "compare_strategies"]

CELL = (100.0, 0.040)
"""Hz and s of a cell of the common grid: limits of the bands are limits of cells."""


def compare_strategies(
    first: xr.Dataset,
    second: xr.Dataset,
    *,
    names: tuple[str, str] = ("first", "second"),
    f0: xr.DataArray | None = None,
    clips: xr.DataArray | None = None,
    cell: tuple[float, float] = CELL,
    trials: Literal["correct", "same", "all"] = "correct",
    cluster: str | npt.ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Compare what two nets answer and what they listen to, over the same clips.

    Relevance of both is summed into the cells of one grid in time and frequency. Intervals (95 %) resample speakers,
    and p of no difference flips the signs of whole speakers; they are not corrected for the number of rows.

    Parameters
    ----------
    first, second : xarray.Dataset
        Of the same clips in the same order, with ``label`` and ``output``: of waveforms with ``per_unit``, or of
        spectrograms.
    names : tuple of str
        What the nets are called.
    f0 : xarray.DataArray, optional
        From `signalrp.domains.audio.harmonics.fundamental`; without it harmonics are left out.
    clips : xarray.DataArray, optional
        The waveforms, (trial, channel, time), which tell where the sound begins and ends. Needed for that where both
        nets take spectrograms; else those of an explanation are taken.
    cell : tuple of float
        Hz and s of a cell. Finer ones than either net's spectrum can tell apart tell nothing.
    trials : {"correct", "same", "all"}
        Whose relevance counts: of trials that both nets classify correctly, in which both explain the same class, or of
        all. Answers are compared over all.
    cluster : str or array_like, optional
        What is resampled, see `signalrp.validation.bootstrap_interval`.
    seed : int
        Of resampling, and of the other clips that are compared with.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``"answers"``: rows ``quantity``, ``estimate``, ``low``, ``high``, ``p``: accuracies and their difference, the
        shares of clips that both, one or none classify correctly, those of the clips that both get wrong with the same
        answer, and error consistency: how much more often than by chance, given their accuracies, both are correct or
        both wrong (kappa; Geirhos et al. 2020, arXiv:2006.16736).
        ``"similarity"``: rows ``where`` (all, bands, parts of the sound), ``measure`` (cosine, spearman),
        ``similarity``, ``low``, ``high``; ``other``, of one net's clip and another clip of the class, by another
        speaker where there is one, for the other net; ``difference`` of the two with ``difference_low``,
        ``difference_high`` and ``p``; ``trials``.
        ``"shares"``: rows ``where`` (bands, parts, harmonics), the share of the positive relevance there of both nets,
        in columns called by their names, ``difference``, ``low``, ``high``, ``p``, ``trials``. On harmonics each net is
        looked at in its own bins, those of waveforms in frames of 64 ms; "harmonics less chance" subtracts the share of
        these bins, which depends on the resolution.
        ``attrs["trials"]`` says which trials count, ``attrs["used"]`` how many of how many.

    Raises
    ------
    ValueError
        If clips differ, variables are missing, an option is unknown, or fewer than two trials or speakers are left.
    """
    if trials not in ("correct", "same", "all"):
        raise ValueError(f"trials={trials!r} is unknown; choose 'correct', 'same' or 'all'.")
    if not (cell[0] > 0 and cell[1] > 0) or len(set(names)) < 2:
        raise ValueError(
            f"Found cells of {cell[0]:g} Hz × {cell[1]:g} s and the names {names}; give sizes above 0 and two names."
        )
    _same_clips(first, second)
    subjects = _clusters(first, cluster)
    kept = _kept(first, second, trials)
    if len(np.unique(subjects[kept])) < 2:
        raise ValueError(
            f"{len(kept)} of {first.sizes['trial']} trials count with trials={trials!r}, of "
            f"{len(np.unique(subjects[kept]))} speakers; an interval needs two. Take more clips, or trials='all'."
        )
    pair = [time_frequency(net.isel(trial=kept)) for net in (first, second)]
    grid = [
        limits([net[dim].values for net in pair], size) for dim, size in zip(("frequency", "frame"), cell, strict=True)
    ]
    cells = [in_cells(net["relevance"], *grid) for net in pair]
    waveforms = _waveforms(clips, first, second)
    parts = None if waveforms is None else _parts(cells[0], waveforms.isel(trial=kept))
    where = _bands(cells[0]) | ({} if parts is None else parts)
    begins = None if parts is None else (~parts["silence"][:, 0]).argmax(1)
    inside, label = subjects[kept], first["label"].values[kept]
    maps = cells[0].values, cells[1].values
    tables = {
        "answers": answer_table(first, second, names, subjects, seed),
        "similarity": similarity_table(maps, where, begins, label, inside, seed),
        "shares": share_table(maps, where, names, inside, seed),
    }
    if f0 is not None:
        nets = [net.isel(trial=kept) for net in (first, second)]
        rows = harmonic_rows(nets, f0.isel(trial=kept), names, inside, seed)
        tables["shares"] = pd.concat([tables["shares"], rows], ignore_index=True)
    for table in tables.values():
        table.attrs |= {"trials": trials, "used": f"{len(kept)} of {first.sizes['trial']}"}
    return tables


def _same_clips(first: xr.Dataset, second: xr.Dataset) -> None:
    for name in ("label", "output", "relevance"):
        for net in (first, second):
            if name not in net:
                raise ValueError(f"An explanation lacks {name!r}; give what explain() returns, of labelled clips.")
    for name in ("label", "trial", "subject", "file"):
        if name in first and name in second and not np.array_equal(first[name].values, second[name].values):
            raise ValueError(f"The two explanations differ in {name!r}; explain the same clips in the same order.")


def _clusters(net: xr.Dataset, cluster: str | npt.ArrayLike | None) -> Names:
    if cluster is None:
        cluster = "subject" if "subject" in net.coords else np.arange(net.sizes["trial"])
    if isinstance(cluster, str):
        if cluster not in net.coords:
            raise ValueError(f"There is no coordinate {cluster!r} along trial; give another, or one value per trial.")
        return net[cluster].values
    return np.asarray(cluster)


def _kept(first: xr.Dataset, second: xr.Dataset, trials: str) -> npt.NDArray[np.int64]:
    counts = np.ones(first.sizes["trial"], dtype=bool)
    if trials == "correct":
        counts = np.all([answered(net) == net["label"].values for net in (first, second)], axis=0)
    if trials != "all" and "target" in first and "target" in second:
        counts = counts & (first["target"].values == second["target"].values)
    return np.flatnonzero(counts)


def _waveforms(clips: xr.DataArray | None, *nets: xr.Dataset) -> xr.DataArray | None:
    if clips is not None:
        return clips
    for net in nets:
        for name in ("waveform", "signal"):
            if name in net and "time" in net[name].dims:
                return net[name]
    return None


def _bands(cells: xr.DataArray) -> Places:
    """Which cells lie in every band, (1, frequency, 1)."""
    middle = cells["frequency"].values
    bands = {name: ((middle >= low) & (middle < high))[None, :, None] for name, (low, high) in BANDS.items()}
    return {name: band for name, band in bands.items() if band.any()}


def _parts(cells: xr.DataArray, clips: xr.DataArray) -> Places:
    """Which cells lie in every part of the sound, (trial, 1, frame)."""
    labels = part_segments(clips)
    nearest = np.abs(cells["frame"].values[:, None] - labels["time"].values).argmin(1)
    parts = labels.values[:, nearest]
    return {name: (parts == number)[:, None] for number, name in enumerate(labels.attrs["names"])}
