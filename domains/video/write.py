"""Frames to MP4 and GIF, as files or as bytes for a report."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._av import av
from .decoding import PathLike, Picture

Format = Literal["mp4", "gif"]
# A player takes shorter delays of a GIF for a mistake and plays it slowly.
_GIF_UNIT = 100
_GIF_SHORTEST = 2
# Nearly free of visible loss, in the units of H.264 (0 to 51) and of MPEG-4 part 2 (1 to 31).
_QUALITY = {"libx264": {"crf": "18", "preset": "fast"}, "mpeg4": {"qmin": "2", "qmax": "4"}}


def write_video(path: PathLike, frames: npt.ArrayLike, fps: float, *, overwrite: bool = False) -> Path:
    """Write frames to a file, MP4 or GIF by its name.

    Parameters
    ----------
    path : path
        Name that ends with .mp4 or .gif.
    frames, fps
        See `video_bytes`.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileExistsError
        If the file exists and is not to be replaced.
    FileNotFoundError
        If its folder does not exist.
    ValueError
        If the name ends otherwise, or as `video_bytes`.
    """
    file = Path(path)
    ending = file.suffix.lower().removeprefix(".")
    if ending not in ("mp4", "gif"):
        raise ValueError(f"{file.name} ends with {file.suffix!r}; expected .mp4 or .gif.")
    if file.exists() and not overwrite:
        raise FileExistsError(f"{file} exists; choose another name or pass overwrite=True to replace it.")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {file.parent}; create it first.")
    # Encoded before the file is opened, so that frames that are refused leave an old file as it was.
    content = video_bytes(frames, fps, "gif" if ending == "gif" else "mp4")
    file.write_bytes(content)
    return file


def video_bytes(frames: npt.ArrayLike, fps: float, format: Format = "mp4") -> bytes:
    """Encode frames.

    Parameters
    ----------
    frames : array_like of uint8, shape (time, row, column, 3)
        Colours from 0 to 255.
    fps : float
        Frames per second. Those of a GIF last whole hundredths of a second, two at least.
    format : {"mp4", "gif"}
        MP4 is H.264 where the ffmpeg of PyAV has it (else MPEG-4), in 4:2:0 as browsers play it: colours have half the
        resolution of brightness, and of an odd number of rows or columns the last is repeated. GIF has one palette of
        256 colours for all frames and plays for ever.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    ValueError
        If frames are no bytes of that shape, or the frame rate or the format makes no sense.
    """
    images = np.asarray(frames)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
        raise ValueError(
            f"The frames are {images.dtype} of shape {images.shape}; expected uint8 (time, row, column, 3), 0 to 255."
        )
    if not 0 < fps < np.inf:
        raise ValueError(f"The frame rate is a positive number of frames per second, not {fps!r}.")
    if format not in ("mp4", "gif"):
        raise ValueError(f"The format {format!r} is unknown; choose 'mp4' or 'gif'.")
    images = np.ascontiguousarray(images)
    return _gif(images, fps) if format == "gif" else _mp4(images, fps)


def _mp4(images: Picture, fps: float) -> bytes:
    _, rows, columns, _ = images.shape
    images = np.pad(images, ((0, 0), (0, rows % 2), (0, columns % 2), (0, 0)), mode="edge")
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(65535), options=_QUALITY[codec])
        stream.height, stream.width, stream.pix_fmt = images.shape[1], images.shape[2], "yuv420p"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target.getvalue()


def _gif(images: Picture, fps: float) -> bytes:
    lasts = max(_GIF_SHORTEST, round(_GIF_UNIT / fps))
    _, rows, columns, _ = images.shape
    target = io.BytesIO()
    with av.open(target, "w", format="gif", options={"loop": "0"}) as container:
        stream: Any = container.add_stream("gif", rate=Fraction(_GIF_UNIT, lasts))
        stream.height, stream.width, stream.pix_fmt = rows, columns, "pal8"
        for number, frame in enumerate(_indexed(images)):
            frame.pts, frame.time_base = number, Fraction(lasts, _GIF_UNIT)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target.getvalue()


def _indexed(images: Picture) -> list[Any]:
    """Frames in one palette of 256 colours that fits them all."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=images.shape[2], height=images.shape[1], format=av.VideoFormat("rgb24"), time_base=Fraction(1, _GIF_UNIT)
    )
    split, palette, use, sink = (graph.add(name) for name in ("split", "palettegen", "paletteuse", "buffersink"))
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, _GIF_UNIT)
        source.push(frame)
    source.push(None)
    return [sink.pull() for _ in images]
