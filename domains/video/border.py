"""Does a net lean on the first and the last frames of its clips?

Anders et al. (2018, arXiv:1806.06926) found that relevance gathers there. By itself that may be due to what is shown:
clips often begin and end with something. The controls take content and position apart. Clips cut at other places of the
same videos (`cut`) show the same frames in other positions, where `same_frames` compares each frame with itself; in
`shuffled` clips every position shows any content; and a net trained without the effect sees the same clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation import paired_difference
from signalrp.validation.statistics import trial_clusters

from .frames import Part, frame_shares, per_frame, stretch, time_course

__all__ = ["border_effect", "border_profile", "cut", "same_frames", "shuffled"]

Explanations = xr.Dataset | Mapping[str, xr.Dataset]


def cut(signal: xr.DataArray, starts: Sequence[int], frames: int) -> xr.DataArray:
    """Clips cut out of longer ones at several places: what they show moves, the positions stay.

    Parameters
    ----------
    signal : xarray.DataArray
        Longer clips over trial, frame and others, or the truth about them.
    starts : sequence of int
        Numbers of the first frames of the clips, from 0.
    frames : int
        Of the clips to be returned.

    Returns
    -------
    xarray.DataArray
        All clips from the first start, then from the next, in the same order of dimensions. The coordinates ``source``
        (trial), the number of the longer clip, and ``source_frame`` (trial, frame), the number of its frame that is
        shown, tell where each comes from.

    Raises
    ------
    ValueError
        If there is no start, or a clip does not lie within the longer ones.
    """
    if not len(starts):
        raise ValueError("starts is empty; give the number of at least one first frame.")
    parts = []
    for start in map(int, starts):
        part = _traced(stretch(signal, start, frames))
        parts.append(part.assign_coords(source_frame=part["source_frame"] + start))
    joined = xr.concat(parts, "trial", coords="minimal", compat="override")
    if "trial" in joined.coords:
        joined = joined.assign_coords(trial=np.arange(joined.sizes["trial"]))
    return joined.transpose(*signal.dims).assign_attrs(signal.attrs)


def shuffled(signal: xr.DataArray, seed: int = 0) -> xr.DataArray:
    """The same clips with their frames in random order, each clip in one of its own; times are those of positions.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips over trial, frame and others.
    seed : int
        Of the orders.

    Returns
    -------
    xarray.DataArray
        With ``source`` and ``source_frame``, see `cut`.
    """
    rng = np.random.default_rng(seed)
    trials, frames = signal.sizes["trial"], signal.sizes["frame"]
    order = np.stack([rng.permutation(frames) for _ in range(trials)])
    traced = _traced(signal)
    values = traced.transpose("trial", "frame", ...)
    index = order.reshape(trials, frames, *[1] * (values.ndim - 2))
    mixed = values.copy(data=np.take_along_axis(values.values, index, 1))
    moved = np.take_along_axis(traced["source_frame"].values, order, 1)
    return mixed.assign_coords(source_frame=(("trial", "frame"), moved)).transpose(*signal.dims)


def border_profile(
    explanations: Explanations, part: Part = "absolute", subject: str | npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Relevance by position in the clip: the mean share of each, with intervals.

    Parameters
    ----------
    explanations : xarray.Dataset or mapping of str to xarray.Dataset
        Of many clips; several beside each other by name, such as that of the same clips shuffled.
    part : {"positive", "negative", "absolute"}
        What counts, see `signalrp.domains.video.frames.frame_shares`.
    subject : str or array_like, optional
        By which clips are clustered; by default the coordinate ``subject``, else ``source``, else each clip by itself.

    Returns
    -------
    pandas.DataFrame
        ``name``, ``position`` (from 1), ``time`` (s), ``share``, ``low``, ``high``, ``uniform``.

    Raises
    ------
    ValueError
        As in `signalrp.domains.video.frames.time_course`.
    """
    tables = []
    for name, explanation in _named(explanations).items():
        table = time_course(explanation, part, _clusters(explanation, subject)).rename(columns={"frame": "position"})
        table.insert(0, "name", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def border_effect(
    explanations: Explanations,
    k: int = 1,
    part: Part = "absolute",
    subject: str | npt.ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """How much of the relevance the first and last frames hold, over what they would if it were spread evenly.

    Parameters
    ----------
    explanations, part, subject
        See `border_profile`. The first is what the others are compared with. They need not be of the same clips:
        compared are means of clusters that both have.
    k : int
        Frames at each end.
    seed : int
        Of intervals and tests.

    Returns
    -------
    pandas.DataFrame
        A row for each name: ``ratio``, the share of the first k and the last k frames over 2 k / frames, 1 without an
        effect, with ``low``, ``high`` and the two-sided ``p`` of 1 (sign flips over clusters); ``first`` and ``last``,
        the ratios of either end; ``difference``, the ratio less that of the first name, with ``difference_low``,
        ``difference_high`` and ``difference_p`` (NaN for the first).

    Raises
    ------
    ValueError
        If the ends fill the clip, two explanations have fewer than two clusters in common, or as in `border_profile`.
    """
    rows: list[dict[str, Any]] = []
    reference: pd.Series | None = None
    for name, explanation in _named(explanations).items():
        shares = frame_shares(explanation, part).transpose("trial", "frame").values
        frames = shares.shape[1]
        _check_ends(k, frames)
        first, last = shares[:, :k].sum(1) * frames / k, shares[:, -k:].sum(1) * frames / k
        ratio, clusters = (first + last) / 2, _clusters(explanation, subject)
        whole = paired_difference(ratio, np.ones(len(ratio)), clusters, seed=seed)
        means = pd.Series(ratio).groupby(clusters).mean()
        difference = [np.nan] * 4 if reference is None else _difference(means, reference, name, seed)
        reference = means if reference is None else reference
        row = {"name": name, "ratio": ratio.mean(), "low": whole.low + 1, "high": whole.high + 1, "p": whole.p}
        row |= {"first": first.mean(), "last": last.mean()}
        names = ("difference", "difference_low", "difference_high", "difference_p")
        rows.append(row | dict(zip(names, difference, strict=True)))
    return pd.DataFrame(rows)


def same_frames(
    explanations: xr.Dataset | Sequence[xr.Dataset],
    k: int = 1,
    part: Part = "absolute",
    subject: str | npt.ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The same frames of the same videos at the border of a clip and inside one: is it the position?

    What is shown is the same in both. Relevance is in units of what a frame of its video holds on average over all of
    the video's clips, so that relevance that follows content, wherever it stands, gives no difference.

    Parameters
    ----------
    explanations : xarray.Dataset, or sequence of xarray.Dataset
        Of clips from `cut` (or `shuffled`, with the clips as they were beside), which the coordinates ``source`` and
        ``source_frame`` trace.
    k : int
        Frames at each end that count as border.
    part, seed
        See `border_effect`.
    subject : str or array_like, optional
        Coordinate along trial by which videos are clustered, or one value per clip, all explanations one after the
        other; by default the coordinate ``subject``, else each video by itself.

    Returns
    -------
    pandas.DataFrame
        One row: ``videos`` and ``frames``, numbers of those found at the border as well as inside; ``border`` and
        ``inside``, their mean relevance there; ``difference`` with ``low``, ``high`` and ``p``
        (`signalrp.validation.paired_difference` over videos, clustered by subject).

    Raises
    ------
    ValueError
        If the clips are not traced, the ends fill a clip, fewer than two videos show a frame in both places, or as in
        `signalrp.domains.video.frames.per_frame`.
    """
    parts = [explanations] if isinstance(explanations, xr.Dataset) else list(explanations)
    own = None if subject is None or isinstance(subject, str) else np.asarray(subject)
    tables, count = [], 0
    if part == "net":
        raise ValueError("Net relevance may sum to 0 over a video; choose positive, negative or absolute.")
    for explanation in parts:
        missing = [name for name in ("source", "source_frame") if name not in explanation.coords]
        if missing:
            raise ValueError(f"The explanation lacks the coordinate {missing[0]}; explain clips from cut or shuffled.")
        values = per_frame(explanation, part).transpose("trial", "frame").values
        clips, frames = values.shape
        _check_ends(k, frames)
        position = np.tile(np.arange(frames), clips)
        mine: Any = own[count : count + clips] if own is not None else _clusters(explanation, subject)
        count += clips
        columns = {
            "video": np.repeat(explanation["source"].values, frames),
            "frame": explanation["source_frame"].transpose("trial", "frame").values.ravel(),
            "border": (position < k) | (position >= frames - k),
            "cluster": np.repeat(mine, frames),
            "value": values.ravel(),
        }
        tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    mean = table.groupby("video")["value"].transform("mean")
    if not (mean > 0).all():
        raise ValueError(f"Video {table['video'][mean <= 0].iloc[0]} has no {part} relevance at all; leave it out.")
    table["value"] /= mean
    by_frame = table.groupby(["video", "frame", "border"])["value"].mean().unstack("border").dropna()
    if by_frame.shape[1] < 2 or by_frame.index.get_level_values("video").nunique() < 2:
        raise ValueError(
            "Fewer than two videos show a frame at the border of a clip as well as inside one; cut the videos at more "
            "places, less than a clip apart."
        )
    by_video = by_frame.groupby("video").mean()
    clusters = table.groupby("video")["cluster"].first()[by_video.index].to_numpy()
    found = paired_difference(by_video[True].to_numpy(), by_video[False].to_numpy(), clusters, seed=seed)
    row: dict[str, float] = {"videos": len(by_video), "frames": len(by_frame)}
    row |= {"border": by_video[True].mean(), "inside": by_video[False].mean(), "difference": found.estimate}
    return pd.DataFrame([row | {"low": found.low, "high": found.high, "p": found.p}])


def _traced(signal: xr.DataArray) -> xr.DataArray:
    """The signal with the coordinates source and source_frame, those that it has or new ones."""
    trials, frames = signal.sizes["trial"], signal.sizes["frame"]
    coords: dict[str, Any] = {}
    if "source" not in signal.coords:
        coords["source"] = ("trial", np.arange(trials))
    if "source_frame" not in signal.coords:
        coords["source_frame"] = (("trial", "frame"), np.tile(np.arange(frames), (trials, 1)))
    return signal.assign_coords(coords)


def _named(explanations: Explanations) -> Mapping[str, xr.Dataset]:
    if isinstance(explanations, xr.Dataset):
        return {"net": explanations}
    if not explanations:
        raise ValueError("There is no explanation; give at least one, such as {'net': explanation}.")
    return explanations


def _clusters(explanation: xr.Dataset, subject: str | npt.ArrayLike | None) -> npt.NDArray[Any]:
    """What clips are clustered by: subjects, else the videos they are cut from, else the clips."""
    found = trial_clusters(explanation, subject)
    if found is None:
        source = explanation.coords.get("source")
        found = np.arange(explanation.sizes["trial"]) if source is None else source.values
    return found


def _difference(means: pd.Series, reference: pd.Series, name: str, seed: int) -> Sequence[float]:
    both = means.index.intersection(reference.index)
    if len(both) < 2:
        raise ValueError(
            f"{name} has {len(both)} subjects (or clips) in common with the first explanation; expected two or more to "
            "compare them."
        )
    return paired_difference(means[both].to_numpy(), reference[both].to_numpy(), seed=seed)


def _check_ends(k: int, frames: int) -> None:
    if k < 1 or 2 * k >= frames:
        raise ValueError(
            f"k is {k} for clips of {frames} frames; expected 1 or more, and frames left between the ends."
        )
