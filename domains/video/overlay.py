"""One clip as a film: the original beside its relevance on grey frames, and relevance in time with a cursor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signalrp.plotting import relevance_norm

from .drawing import STRONGEST, Array, Clip, add_bar, blended, draw_course, grey, one_clip
from .write import video_bytes

Frames = npt.NDArray[np.uint8]
_DPI = 100
# Sizes in pixels of the film.
_AIM = 240
_MARGIN = 12
_TITLE = 24
_BAR = 110
_COURSE = 96
_LEFT = 70
_TICKS = 54
_CURSOR = 2


def overlay(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    video: xr.DataArray | None = None,
    scale: int | None = None,
    norm: Normalize | None = None,
) -> Frames:
    """Frames of a film of one clip: the original at the left, beside it the same in grey with its relevance.

    All frames are on one scale, whose bar is at the right. Beneath is relevance per frame, positive and negative, with
    a cursor at the frame that is shown.

    Parameters
    ----------
    explanation, trial, video
        See `signalrp.domains.video.plots.plot_strip`.
    scale : int, optional
        Pixels of the film for each pixel of the clip and side, so that small clips can be seen and none is smoothed.
        By default such that the longer side has about 240.
    norm : matplotlib.colors.Normalize, optional
        Colour scale; by default that of the clip, saturated at its strongest 0.5 %.

    Returns
    -------
    numpy.ndarray, shape (frame, row, column, 3)
        Of uint8; rows and columns are even numbers, as H.264 needs them.

    Raises
    ------
    ValueError
        If there is no such clip, sizes do not fit, or the scale is no positive whole number.
    """
    clip = one_clip(explanation, trial, video)
    rows, columns = clip.relevance.shape[1:]
    if scale is None:
        scale = max(1, round(_AIM / max(rows, columns)))
    if scale != int(scale) or scale < 1:
        raise ValueError(f"Pixels are enlarged by a whole factor of at least 1; got scale={scale}.")
    norm = relevance_norm(clip.relevance, percentile=STRONGEST) if norm is None else norm
    over = blended(grey(clip.pictures), clip.relevance, norm)
    height, width = rows * scale, columns * scale
    page, cursor = _page(clip, norm, height, width)
    film = np.repeat(page[None], len(clip.time), 0)
    for left, pictures in ((_MARGIN, clip.pictures), (2 * _MARGIN + width, over)):
        large = _numbers(pictures).repeat(scale, 1).repeat(scale, 2)
        film[:, _TITLE : _TITLE + height, left : left + width] = large
    top = _TITLE + height + _MARGIN
    for frame, column in zip(film, cursor, strict=True):
        frame[top : top + _COURSE, column : column + _CURSOR] = 0
    return film


def overlay_mp4(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    speed: float = 1.0,
    video: xr.DataArray | None = None,
    scale: int | None = None,
    norm: Normalize | None = None,
) -> bytes:
    """Film of one clip as MP4 (H.264), which browsers play; see `overlay`.

    Parameters
    ----------
    explanation, trial, video, scale, norm
        See `overlay`.
    speed : float
        1 for the speed of the clip, 0.5 for half of it.

    Returns
    -------
    bytes
        Of the file.

    Raises
    ------
    ValueError
        As `overlay`; or if the speed is not positive, or the coordinate of frames is no time in s.
    """
    rate = _rate(explanation, speed)
    return video_bytes(overlay(explanation, trial, video=video, scale=scale, norm=norm), rate, "mp4")


def overlay_gif(
    explanation: xr.Dataset,
    trial: int = 0,
    *,
    speed: float = 1.0,
    video: xr.DataArray | None = None,
    scale: int | None = None,
    norm: Normalize | None = None,
) -> bytes:
    """Film of one clip as animated GIF; see `overlay_mp4`."""
    rate = _rate(explanation, speed)
    return video_bytes(overlay(explanation, trial, video=video, scale=scale, norm=norm), rate, "gif")


def _rate(explanation: xr.Dataset, speed: float) -> float:
    """Return the frames per second of the film."""
    if not 0 < speed < np.inf:
        raise ValueError(f"The speed is a positive number, 1 for that of the clip; got {speed}.")
    time = explanation["frame"]
    seconds = float(time[-1] - time[0])
    if time.attrs.get("units") != "s" or (len(time) > 1 and seconds <= 0):
        raise ValueError(
            "How fast to play is not known: the coordinate frame is no time in s (attrs units 's'); assign it."
        )
    return speed * (len(time) - 1) / seconds if len(time) > 1 else speed


def _numbers(pictures: Array) -> Frames:
    """Return pictures from 0 to 1 as uint8."""
    return (pictures.clip(0, 1) * 255).round().astype(np.uint8)


def _page(clip: Clip, norm: Normalize, height: int, width: int) -> tuple[Frames, npt.NDArray[np.int64]]:
    """Draw all that stays: titles, bar and time course; return it with the first column of the cursor in each frame."""
    right = 3 * _MARGIN + 2 * width
    top = _TITLE + height + _MARGIN
    full = right + _BAR, top + _COURSE + _TICKS
    full = full[0] + full[0] % 2, full[1] + full[1] % 2
    figure = Figure(figsize=(full[0] / _DPI, full[1] / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)

    def place(left: int, upper: int, wide: int, tall: int) -> tuple[float, float, float, float]:
        return left / full[0], 1 - (upper + tall) / full[1], wide / full[0], tall / full[1]

    for left, title in ((_MARGIN, "original"), (2 * _MARGIN + width, "relevance")):
        figure.text((left + width / 2) / full[0], 1 - _TITLE / 2 / full[1], title, ha="center", va="center", fontsize=8)
    bar = figure.add_axes(place(right, _TITLE, 14, height))
    add_bar(bar, norm, "relevance per pixel", cax=bar, extend="both")
    course = figure.add_axes(place(_LEFT, top, right - _MARGIN - _LEFT, _COURSE))
    draw_course(course, clip)
    course.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7)
    for ax in (bar, course):
        ax.tick_params(labelsize=7)
        ax.yaxis.label.set_fontsize(8)
        ax.yaxis.get_offset_text().set_fontsize(7)
    course.xaxis.label.set_fontsize(8)
    figure.text(_MARGIN / full[0], 2 / full[1], clip.data, va="bottom", fontsize=7, color="0.35")
    canvas.draw()
    page = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    where = course.transData.transform(np.stack([clip.time, np.zeros_like(clip.time)], 1))[:, 0]
    return page, (where - _CURSOR / 2).round().astype(np.int64)
