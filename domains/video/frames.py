"""Where relevance lies in a clip: per frame, per place, per place and time, and how concentrated it is over frames."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation import bootstrap_interval
from signalrp.validation.checks import labelled_array

__all__ = [
    "Part", "concentration", "frame_shares", "over_colours", "per_frame", "per_place", "per_place_and_time",
    "seconds_of", "stretch", "time_course",
]  # fmt: skip

Part = Literal["net", "positive", "negative", "absolute"]
"""What of the relevance counts, once the colours of a place are summed: all with its sign, what speaks for the class
that is explained, what speaks against it (as numbers above 0), or both."""

_PLACES = ("trial", "frame", "row", "column")


def over_colours(relevance: xr.DataArray) -> xr.DataArray:
    """Relevance of places in time: summed over the colours, and over whatever else a place has several values of.

    Parameters
    ----------
    relevance : xarray.DataArray
        Over trial, frame, row and column, and perhaps others, in any order.

    Returns
    -------
    xarray.DataArray, shape (trial, frame, row, column)
        In double precision, since a clip has many places.

    Raises
    ------
    ValueError
        If one of these four dimensions is missing.
    """
    missing = [dim for dim in _PLACES if dim not in relevance.dims]
    if missing:
        raise ValueError(
            f"Expected clips (trial, frame, row, column) and perhaps rgb, found {relevance.dims} without "
            f"{' and '.join(missing)}; rename the dimensions."
        )
    others = [dim for dim in relevance.dims if dim not in _PLACES]
    return relevance.sum(others, dtype=np.float64, keep_attrs=True).transpose(*_PLACES)


def per_place_and_time(explanation: xr.Dataset, part: Part = "net") -> xr.DataArray:
    """Relevance of every place in every frame, (trial, frame, row, column).

    Parameters
    ----------
    explanation : xarray.Dataset
        Of clips, with ``relevance`` over trial, frame, row, column and perhaps rgb.
    part : {"net", "positive", "negative", "absolute"}
        What counts. Signs are those of places, after the sum over the colours.

    Raises
    ------
    ValueError
        If relevance is not that of clips, or there is no such part.
    """
    values = over_colours(labelled_array(explanation, "relevance"))
    if part == "net":
        return values
    if part == "absolute":
        return abs(values)
    if part in ("positive", "negative"):
        return (values if part == "positive" else -values).clip(min=0)
    raise ValueError(f"part is {part!r}; choose net, positive, negative or absolute.")


def per_frame(explanation: xr.Dataset, part: Part = "net") -> xr.DataArray:
    """Relevance over time, (trial, frame): the sum over each frame's places; see `per_place_and_time`."""
    return per_place_and_time(explanation, part).sum(["row", "column"])


def per_place(explanation: xr.Dataset, part: Part = "net") -> xr.DataArray:
    """Relevance of places, (trial, row, column): the sum over the frames; see `per_place_and_time`."""
    return per_place_and_time(explanation, part).sum("frame")


def frame_shares(explanation: xr.Dataset, part: Part = "absolute") -> xr.DataArray:
    """How much of a clip's relevance each frame holds, (trial, frame); the shares of a clip sum to 1.

    Parameters
    ----------
    explanation : xarray.Dataset
        See `per_place_and_time`.
    part : {"positive", "negative", "absolute"}
        What counts. Shares of the net relevance would have no meaning, as it has both signs.

    Raises
    ------
    ValueError
        If part is "net", a clip has no relevance that counts, or as in `per_place_and_time`.
    """
    if part == "net":
        raise ValueError("Net relevance has both signs and no shares; choose positive, negative or absolute.")
    sums = per_frame(explanation, part)
    whole = sums.sum("frame")
    if not (whole > 0).all():
        raise ValueError(
            f"Clip {int((whole <= 0).values.argmax())} has no {part} relevance, so that there are no shares of it; "
            "leave it out, or count another part."
        )
    return (sums / whole).assign_attrs(long_name=f"share of {part} relevance")


def concentration(explanation: xr.Dataset, part: Part = "absolute") -> xr.Dataset:
    """How relevance is spread over the frames of each clip.

    Parameters
    ----------
    explanation, part
        See `frame_shares`.

    Returns
    -------
    xarray.Dataset
        Over trial: ``positive`` and ``negative``, shares of the absolute relevance; ``entropy`` of the frames' shares,
        from 0, all in one frame, to 1, the same in each; ``effective_frames``, the number of frames that would have
        this entropy if each held the same; ``largest_frame``, the share of the frame that holds most; ``centre`` and
        ``spread``, mean and standard deviation in time, s.

    Raises
    ------
    ValueError
        If there is only one frame, or as in `frame_shares`.
    """
    shares = frame_shares(explanation, part)
    frames = shares.sizes["frame"]
    if frames < 2:
        raise ValueError("The clips have one frame; expected two or more, over which relevance can be spread.")
    signed, whole = per_place_and_time(explanation), per_frame(explanation, "absolute").sum("frame")
    # 0 log 0 is 0
    bits = -(shares * np.log(shares.where(shares > 0, 1.0))).sum("frame")
    time = xr.DataArray(seconds_of(shares), dims="frame")
    centre = (shares * time).sum("frame")
    places = ["frame", "row", "column"]
    return xr.Dataset(
        {
            "positive": signed.clip(min=0).sum(places) / whole,
            "negative": -signed.clip(max=0).sum(places) / whole,
            "entropy": bits / np.log(frames),
            "effective_frames": np.exp(bits),
            "largest_frame": shares.max("frame"),
            "centre": centre.assign_attrs(units="s"),
            "spread": (((shares * (time - centre) ** 2).sum("frame")) ** 0.5).assign_attrs(units="s"),
        }
    )


def time_course(
    explanation: xr.Dataset, part: Part = "absolute", subject: str | npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Mean share of relevance that frames hold, with intervals.

    Parameters
    ----------
    explanation, part
        See `frame_shares`.
    subject : str or array_like, optional
        By which clips are clustered, see `signalrp.validation.bootstrap_interval`.

    Returns
    -------
    pandas.DataFrame
        A row for each frame: ``frame`` (its number from 1), ``time`` (s), ``share``, ``low``, ``high`` and ``uniform``,
        what each would hold if all held the same.

    Raises
    ------
    ValueError
        As in `frame_shares` and `bootstrap_interval`.
    """
    shares = frame_shares(explanation, part)
    found = bootstrap_interval(shares, subject)
    frames = shares.sizes["frame"]
    return pd.DataFrame(
        {
            "frame": np.arange(1, frames + 1),
            "time": seconds_of(shares),
            "share": found.estimate,
            "low": found.low,
            "high": found.high,
            "uniform": 1 / frames,
        }
    )


def seconds_of(array: xr.DataArray) -> npt.NDArray[np.float64]:
    """Times of the frames, s; their numbers where no times are given."""
    if "frame" in array.coords:
        return np.asarray(array["frame"].values, np.float64)
    return np.arange(array.sizes["frame"], dtype=np.float64)


def stretch(signal: xr.DataArray, start: int, frames: int) -> xr.DataArray:
    """So many frames of every clip from a frame on.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips, or the truth about them, over trial and frame.
    start, frames : int
        First frame, from 0, and their number.

    Returns
    -------
    xarray.DataArray
        In the same order of dimensions. Times begin where those of the signal do; ``first``, ``onset`` and ``offset``
        along trial, where they are given, follow.

    Raises
    ------
    ValueError
        If the clips have no such frames.
    """
    length = signal.sizes["frame"]
    if frames < 1 or not 0 <= start <= length - frames:
        raise ValueError(
            f"{frames} frames from frame {start} on do not lie within clips of {length} frames; read longer clips."
        )
    part = signal.isel(frame=slice(start, start + frames))
    if "frame" in signal.coords:
        part = part.assign_coords(frame=signal["frame"].variable[:frames])
    # plain variables, since labelled ones would bring the other coordinates along as they were
    moved: dict[str, xr.Variable] = {}
    if "first" in signal.coords:
        step = signal["step"].variable if "step" in signal.coords else 1
        moved["first"] = signal["first"].variable + start * step
    for key in ("onset", "offset"):
        if key in signal.coords:
            moved[key] = (signal[key].variable - start).clip(0, frames)
    return part.assign_coords(moved)
