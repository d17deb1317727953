"""What pictures of video share: one clip with its relevance, relevance laid over grey frames, classes, a colour bar."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from signalrp.groups import class_names
from signalrp.plotting.data import edges, positions

from .frames import over_colours

COLOURS = "RdBu_r"
STRONGEST = 99.5
"""Percentile of relevance at which colours saturate over the pixels of a clip, where single ones stand out by far."""
_SPACE = ("frame", "row", "column")
# ITU-R BT.601
_LUMA = np.array([0.299, 0.587, 0.114])
# Black and dark red, or dark blue, could not be told apart.
_DARKEST = 0.35
_OPAQUE = 0.9
Array = npt.NDArray[np.float64]


class Clip(NamedTuple):
    """One clip: pictures (frame, row, column, 3) from 0 to 1, relevance (frame, row, column), frames and titles."""

    pictures: Array
    relevance: Array
    time: Array
    time_label: str
    title: str
    data: str


def one_clip(explanation: xr.Dataset, trial: int, video: xr.DataArray | None = None) -> Clip:
    """Read one clip from an explanation.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``signal`` and ``relevance`` over trial, frame, row and column, and rgb or not, in any order.
    trial : int
        Position of the clip.
    video : xarray.DataArray, optional
        The clips as they look, where the net was given others, such as normalised ones.

    Raises
    ------
    ValueError
        If there is no such clip, relevance is not that of video, or the video is of other clips or has no colours.
    """
    missing = {"signal", "relevance"} - set(explanation.data_vars)
    if missing:
        raise ValueError(f"The explanation has no variable {missing.pop()!r}; expected signal and relevance.")
    relevance, count = over_colours(explanation["relevance"]), explanation.sizes["trial"]
    if not -count <= trial < count:
        raise ValueError(f"There is no trial {trial}; the explanation has {count}, counted from 0.")
    shown = explanation["signal"] if video is None else video
    sizes = {name: shown.sizes.get(name) for name in ("trial", *_SPACE)}
    expected = {name: explanation.sizes[name] for name in ("trial", *_SPACE)}
    if sizes != expected:
        raise ValueError(f"The video has sizes {dict(shown.sizes)}; expected those of the explanation, {expected}.")
    time = explanation["frame"]
    in_seconds = time.attrs.get("units") == "s"
    pictures, label = _pictures(shown.isel(trial=trial)), "time (s)" if in_seconds else "frame"
    data = str(explanation["signal"].attrs.get("title", ""))
    return Clip(pictures, relevance.isel(trial=trial).values, positions(time), label, named(explanation, trial), data)


def _pictures(clip: xr.DataArray) -> Array:
    """Return one clip as (frame, row, column, 3) from 0 to 1; what goes beyond that is stretched to it as a whole."""
    clip = clip if "rgb" in clip.dims else clip.expand_dims("rgb")
    if clip.sizes["rgb"] not in (1, 3):
        raise ValueError(
            f"Pictures have one channel or three, found {clip.sizes['rgb']}; pass the clips as they look: video=..."
        )
    values = clip.transpose(*_SPACE, "rgb").values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise ValueError("The video has NaN or infinite values; fill them, or pass the clips as they look: video=...")
    if low < 0 or high > 1:
        values = (values - low) / (high - low or 1.0)
    return np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values


def grey(pictures: Array) -> Array:
    """Return the brightness of pictures (..., 3), from 0 to 1."""
    return np.asarray(pictures @ _LUMA)


def blended(brightness: Array, relevance: Array, norm: Normalize) -> Array:
    """Lay relevance over brightness of the same shape, the less of it the more transparent: (..., 3) from 0 to 1."""
    place = np.clip(norm(relevance), 0, 1)
    alpha = (_OPAQUE * np.sqrt(np.abs(2 * place - 1)))[..., None]
    light = _DARKEST + (1 - _DARKEST) * brightness[..., None]
    return np.asarray((1 - alpha) * light + alpha * mpl.colormaps[COLOURS](place)[..., :3])


def signed(relevance: Array) -> tuple[Array, Array]:
    """Return the sums of what is positive and of what is negative in each frame of (frame, row, column)."""
    flat = relevance.reshape(len(relevance), -1)
    return flat.clip(min=0).sum(1), flat.clip(max=0).sum(1)


def draw_course(ax: Axes, clip: Clip) -> None:
    """Draw relevance per frame: bars of what is positive and of what is negative, their sum as a line."""
    limits = edges(clip.time)
    positive, negative = signed(clip.relevance)
    # A factor written above the axes would stand in the way of what is drawn there.
    largest = max(positive.max(), -negative.min())
    power = int(np.floor(np.log10(largest))) if largest else 0
    power = 0 if -2 <= power <= 3 else power
    positive, negative = positive / 10.0**power, negative / 10.0**power
    unit = f" ($10^{{{power}}}$)" if power else ""
    for values, place, label in ((positive, 0.88, "positive"), (negative, 0.12, "negative")):
        ax.stairs(values, limits, fill=True, color=mpl.colormaps[COLOURS](place), label=label)
    ax.plot(clip.time, positive + negative, color="black", linewidth=1.2, marker=".", markersize=4, label="sum")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xlim=(limits[0], limits[-1]), xlabel=clip.time_label, ylabel=f"relevance\nper frame{unit}")
    ax.locator_params(axis="y", nbins=4)


def add_bar(axes: Any, norm: Normalize, label: str, ticks: int = 5, **kwargs: Any) -> None:
    """Add the one colour bar of some axes, with so many ticks at most."""
    listed = list(np.ravel(np.asarray(axes, dtype=object)))
    place = {"pad": 0.02, "ax": listed} if "cax" not in kwargs else {}
    mappable = ScalarMappable(norm, mpl.colormaps[COLOURS])
    bar = listed[0].figure.colorbar(mappable, label=label, **place | kwargs)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(ticks, symmetric=True)
    bar.formatter.set_powerlimits((-2, 3))
    bar.update_ticks()


def named(explanation: xr.Dataset, trial: int) -> str:
    """Say which clip it is, what it is, and what the net took it for."""
    said, names = [], class_names(explanation)
    if "file" in explanation.coords:
        said.append(PurePath(str(explanation["file"].values[trial])).name)
    for name, words in (("label", "true class"), ("target", "explained:")):
        if name in explanation and explanation[name].dims == ("trial",):
            said.append(f"{words} {names[int(explanation[name].values[trial])]}")
    return ", ".join(said)
