"""One clip as a strip of frames with the relevance that lies on them, and relevance in time beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from signalrp.plotting import relevance_norm
from signalrp.plotting.data import axis_label, edges

from .drawing import STRONGEST, Clip, add_bar, blended, draw_course, grey, one_clip

_TRUTH = "#117733"
# Inches.
_LENGTH = 9.6
_SHORTEST = 4.5
_WIDEST = 1.6
_LEFT, _RIGHT, _TOP = 0.95, 1.15, 0.72
_COURSE, _BESIDE = 1.25, 0.8


def plot_strip(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    frames: int | Sequence[int] = 8,
    video: xr.DataArray | None = None,
    truth: xr.DataArray | None = None,
    beside: xr.DataArray | None = None,
    events: Mapping[str, float] | None = None,
    norm: Normalize | None = None,
) -> Figure:
    """Frames of one clip, beneath them in grey with their relevance, and beneath these relevance per frame.

    Relevance is summed over colours, and drawn the more transparent the less of it there is. In time what is positive
    and what is negative is drawn apart, and their sum.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a net that sees video: dimensions trial, frame, row, column, and rgb or not, in any order.
    trial : int
        Position of the clip.
    frames : int or sequence of int
        How many frames are shown, the first and the last among them; or which, counted from 0.
    video : xarray.DataArray, optional
        The clips as they look (0 to 1), where the net was given others, such as normalised ones. By default the
        explanation's signal, stretched to 0 to 1 where it goes beyond.
    truth : xarray.DataArray, shape (trial, frame, row, column), optional
        Where the cause is known to be; outlined on the frames, and its frames marked in time.
    beside : xarray.DataArray, shape (trial, frame) or (frame,), optional
        What is drawn beneath over the same time, such as the magnitude of optical flow; name and units label it.
    events : mapping of str to float, optional
        Instants that are marked, in units of the frames' coordinate.
    norm : matplotlib.colors.Normalize, optional
        Colour scale of relevance per pixel; by default that of the clip, saturated at its strongest 0.5 %.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such clip or frame, or sizes do not fit.
    """
    clip = one_clip(explanation, trial, video)
    shown = _chosen(frames, len(clip.time))
    norm = relevance_norm(clip.relevance, percentile=STRONGEST) if norm is None else norm
    tube = None if truth is None else _tube(truth, explanation, trial)
    line = None if beside is None else _line(beside, explanation, trial)

    rows, columns = clip.relevance.shape[1:]
    wide = min(_WIDEST, _LENGTH / len(shown))
    tall = wide * rows / columns
    length = max(wide * len(shown), _SHORTEST)
    starts = (np.arange(len(shown)) + 0.5) * length / len(shown) - wide / 2
    tops = np.cumsum([_TOP, tall + 0.05, tall + 0.3, _COURSE + 0.1])
    size = _LEFT + length + _RIGHT, tops[3 if line else 2] + (_BESIDE if line else _COURSE) + 0.5
    figure = plt.figure(figsize=size)

    def axes(left: float, top: float, width: float, height: float) -> Axes:
        return figure.add_axes(
            ((_LEFT + left) / size[0], 1 - (top + height) / size[1], width / size[0], height / size[1])
        )

    panels = np.array([[axes(start, top, 0.96 * wide, tall) for start in starts] for top in tops[:2]])
    over = blended(grey(clip.pictures), clip.relevance, norm)
    unit = " s" if clip.time_label == "time (s)" else ""
    for (upper, lower), frame in zip(panels.T, shown, strict=True):
        upper.imshow(clip.pictures[frame], interpolation="nearest")
        lower.imshow(over[frame], interpolation="nearest")
        upper.set_title(f"{clip.time[frame]:.3g}{unit}", fontsize="small")
        for ax in (upper, lower):
            ax.set(xticks=[], yticks=[])
            if tube is not None and tube[frame].any():
                ax.contour(tube[frame], levels=[0.5], colors=[_TRUTH], linewidths=0.8)
    for ax, name in zip(panels[:, 0], ("original", "relevance"), strict=True):
        ax.set_ylabel(name, fontsize="small", rotation=0, ha="right", va="center")
    bar = axes(length + 0.1, tops[0], 0.12, 2 * tall + 0.05)
    add_bar(bar, norm, "relevance per pixel", cax=bar, extend="both")
    words = "\n".join(filter(None, (clip.data, clip.title)))
    figure.text((_LEFT + length / 2) / size[0], 1 - 0.08 / size[1], words, ha="center", va="top")

    course = axes(0, tops[2], length, _COURSE)
    draw_course(course, clip)
    under = [course]
    if line is not None:
        under.append(axes(0, tops[3], length, _BESIDE))
        under[1].plot(clip.time, line[0], color="0.25", marker=".", markersize=4)
        under[1].set(xlim=course.get_xlim(), xlabel=clip.time_label)
        under[1].set_ylabel(line[1], fontsize="small")
        under[1].locator_params(axis="y", nbins=3)
        course.set_xlabel("")
        course.tick_params(labelbottom=False)
    _mark(under, clip, tube, events or {})
    course.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
    for ax, frame in zip(panels[1], shown, strict=True):
        ends = (0.5, 0), (clip.time[frame], 1)
        figure.add_artist(
            ConnectionPatch(*ends, ax.transAxes, course.get_xaxis_transform(), color="0.5", linewidth=0.7)
        )
    figure.align_ylabels(under)
    return figure


def _chosen(frames: int | Sequence[int], count: int) -> npt.NDArray[np.int64]:
    """Return the positions of the frames that are shown, in order."""
    if isinstance(frames, int):
        if frames < 1:
            raise ValueError(f"At least one frame is shown; got frames={frames}.")
        return np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(np.int64))
    chosen = np.unique(np.asarray(frames))
    if not chosen.size or chosen.dtype.kind != "i" or chosen[0] < 0 or chosen[-1] >= count:
        raise ValueError(f"Frames are counted from 0 to {count - 1}; got {list(frames)}.")
    return chosen


def _tube(truth: xr.DataArray, explanation: xr.Dataset, trial: int) -> npt.NDArray[np.bool_]:
    """Return where the cause of one clip is, (frame, row, column)."""
    dims = ("trial", "frame", "row", "column")
    expected = {name: explanation.sizes[name] for name in dims}
    if dict(truth.sizes) != expected:
        raise ValueError(f"The truth has sizes {dict(truth.sizes)}; expected {expected}.")
    return truth.isel(trial=trial).transpose(*dims[1:]).values.astype(bool)


def _line(beside: xr.DataArray, explanation: xr.Dataset, trial: int) -> tuple[npt.NDArray[np.float64], str]:
    """Return what is drawn beneath, (frame,), and its label."""
    one = beside.isel(trial=trial) if "trial" in beside.dims else beside
    if one.dims != ("frame",) or one.sizes["frame"] != explanation.sizes["frame"]:
        raise ValueError(
            f"What is drawn beside relevance has sizes {dict(beside.sizes)}; expected frame: "
            f"{explanation.sizes['frame']}, with trial or without."
        )
    return one.values.astype(np.float64), axis_label(one).replace(" (", "\n(")


def _mark(axes: Sequence[Axes], clip: Clip, tube: npt.NDArray[np.bool_] | None, events: Mapping[str, float]) -> None:
    """Mark the frames of the truth, and events."""
    for ax in axes:
        first = ax is axes[0]
        if tube is not None:
            limits, inside = edges(clip.time), tube.any(axis=(1, 2))
            # at the foot of the axes, before the bars, which would hide anything behind them
            ax.fill_between(
                np.repeat(limits, 2)[1:-1], 0, 0.05, where=np.repeat(inside, 2), color=_TRUTH, linewidth=0,
                transform=ax.get_xaxis_transform(), label="truth" if first else "_", zorder=3,
            )  # fmt: skip
        for name, instant in events.items():
            ax.axvline(instant, color="black", linestyle="--", linewidth=1, label=name if first else "_")
