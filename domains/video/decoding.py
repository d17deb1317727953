"""One video file: when its frames are shown, and chosen frames as pictures, upright and at the size that is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from signalrp.manifests import DataError

from ._av import av

Crop = Literal["centre"] | None
Damaged = Literal["raise", "keep"]
Picture = npt.NDArray[np.uint8]
PathLike = str | os.PathLike[str]
# Of a file that was cut short this share of the stated duration, or at least one second, is missing.
_MISSING = 0.1
# Times are rounded in many formats: a rate that is counted and one that is stated may be the same.
_ROUNDING = 1e-3
# Numbers in a display matrix are fixed-point with 16 bits behind the point.
_ONE = 65536


@dataclass(frozen=True)
class Video:
    """What a file holds, found without decoding it.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    times : numpy.ndarray, shape (frame,)
        When frames are shown, in s from the first.
    rate : float
        Frames per second on average.
    stamps : numpy.ndarray or None
        The same instants as the file numbers them; None where it does not, and frames can only be counted.
    aspect : float
        Width of a stored pixel over its height.
    """

    path: Path
    times: npt.NDArray[np.float64]
    rate: float
    stamps: npt.NDArray[np.int64] | None
    aspect: float = 1.0


def look(path: PathLike, damaged: Damaged = "raise") -> Video:
    """Find the frames of a video file.

    Parameters
    ----------
    path : path
        Whatever ffmpeg reads.
    damaged : {"raise", "keep"}
        Refuse files that were cut short, or take what is left of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    signalrp.manifests.DataError
        If it is empty, no video, or cut short.
    ValueError
        If the choice is unknown.
    """
    if damaged not in ("raise", "keep"):
        raise ValueError(f"damaged={damaged!r} is unknown; choose 'raise' or 'keep'.")
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"There is no file {file}.")
    if file.is_dir():
        raise DataError(f"{file} is a folder; give its files, or use signalrp.domains.video.lists.read_folder.")
    if file.stat().st_size == 0:
        raise DataError(f"{file.name} is empty (0 bytes); copy it again.")
    try:
        with av.open(str(file)) as container:
            stream = _stream(container, file.name)
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            stamps = [packet.pts for packet in packets]
            unit = float(stream.time_base or 0)
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            stated = stream.duration * unit if stream.duration else (container.duration or 0) / av.time_base
            aspect = float(stream.sample_aspect_ratio or 1)
            beyond = any(entry.pos + entry.size > container.size for entry in list(stream.index_entries)[-1:])
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(_unreadable(file, error)) from error
    if not stamps:
        raise DataError(f"{file.name} holds no frames; it was cut short or is no video, copy it again.")
    ordered = None if None in stamps else np.unique(np.array(stamps, dtype=np.int64))
    if ordered is None or len(ordered) < len(stamps):
        video = Video(file, np.arange(len(stamps)) / rate, rate, None, aspect)
    else:
        times = (ordered - ordered[0]) * unit
        counted = (len(times) - 1) / float(times[-1]) if len(times) > 1 else rate
        rate = rate if abs(counted - rate) < _ROUNDING * rate else counted
        video = Video(file, times, rate, ordered, aspect)
    missing = stated - float(video.times[-1]) - 1 / video.rate
    if damaged == "raise" and (beyond or missing > max(1.0, _MISSING * stated)):
        raise DataError(
            f"{file.name} ends before its last frame; it was cut short, copy it again or pass damaged='keep' to take "
            "what is left."
        )
    return video


def pictures(
    video: Video,
    numbers: Sequence[int] | npt.NDArray[np.int64],
    size: tuple[int, int] | None = None,
    crop: Crop = "centre",
    damaged: Damaged = "raise",
) -> Iterator[tuple[int, Picture]]:
    """Decode chosen frames one by one; nothing but the frame at hand is kept in memory.

    Parameters
    ----------
    video : Video
        As `look` found it.
    numbers : sequence of int
        Numbers of the frames, rising.
    size, crop
        See `signalrp.domains.video.readers.read`.
    damaged : {"raise", "keep"}
        Refuse frames that are damaged or missing, or take them as the decoder gives them; for a missing one the frame
        before.

    Yields
    ------
    number : int
    picture : numpy.ndarray of uint8, shape (row, column, 3)
        Upright as a player shows it; laid over black where it is transparent.

    Raises
    ------
    signalrp.manifests.DataError
        If a frame cannot be decoded.
    """
    stamps = np.asarray(numbers) if video.stamps is None else video.stamps[numbers]
    seeking = video.stamps is not None and len(numbers) > 0 and video.times[numbers[0]] > 1
    done = 0
    held: Any = None
    for stamp, frame in _decoded(video, int(stamps[0]) if seeking else None, damaged):
        while done < len(stamps) and stamps[done] <= stamp:
            exact = stamps[done] == stamp
            if held is None and not exact and damaged == "raise":
                raise DataError(_missing(video, int(numbers[done])))
            shown = frame if exact or held is None else held
            yield int(numbers[done]), _picture(shown, video, int(numbers[done]), size, crop, damaged)
            done += 1
        if done == len(stamps):
            return
        held = frame
    if damaged == "raise" or held is None:
        raise DataError(_missing(video, int(numbers[done])))
    for number in numbers[done:]:
        yield int(number), _picture(held, video, int(number), size, crop, damaged)


def _decoded(video: Video, seek: int | None, damaged: Damaged) -> Iterator[tuple[int, Any]]:
    """Frames with their stamps, from the start or from before the stamp that is sought."""
    try:
        with av.open(str(video.path)) as container:
            stream = _stream(container, video.path.name)
            if seek is not None:
                container.seek(seek, stream=stream)
            fresh, counted = True, 0
            for packet in container.demux(stream):
                for frame in _decode(packet, damaged):
                    stamp = counted if video.stamps is None or frame.pts is None else frame.pts
                    if fresh and seek is not None and stamp > seek:
                        # Some indices lead behind the frame that was sought.
                        yield from _decoded(video, None, damaged)
                        return
                    yield stamp, frame
                    fresh, counted = False, counted + 1
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(_unreadable(video.path, error)) from error


def _decode(packet: Any, damaged: Damaged) -> list[Any]:
    try:
        return packet.decode()
    except av.error.FFmpegError:
        if damaged == "raise":
            raise
        return []


def _stream(container: Any, name: str) -> Any:
    """The first stream of moving pictures; the cover of a song is none."""
    for stream in container.streams.video:
        if av.stream.Disposition.attached_pic not in stream.disposition:
            return stream
    others = ", ".join(str(stream.type) for stream in container.streams)
    raise DataError(
        f"{name} holds no video but {others}; give a video file."
        if others
        else f"{name} holds nothing; it is damaged or no video, copy it again."
    )


def _picture(
    frame: Any, video: Video, number: int, size: tuple[int, int] | None, crop: Crop, damaged: Damaged
) -> Picture:
    if frame.is_corrupt and damaged == "raise":
        raise DataError(_missing(video, number))
    if frame.format.has_palette or any(component.is_alpha for component in frame.format.components):
        values = frame.to_ndarray(format="rgba")
        picture = (values[..., :3].astype(np.uint16) * values[..., 3:] // 255).astype(np.uint8)
    else:
        picture = frame.to_ndarray(format="rgb24")
    picture, turned = _upright(picture, frame, video.path.name)
    if size is None:
        return np.ascontiguousarray(picture)
    return resized(picture, size, crop, 1 / video.aspect if turned else video.aspect)


def _upright(picture: Picture, frame: Any, name: str) -> tuple[Picture, bool]:
    """Apply the display matrix by which phones say how they were held; and whether rows and columns changed places."""
    found = [bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"]
    if not found:
        return picture, False
    a, b, _, c, d = np.frombuffer(found[0], dtype=np.int32)[:5] / _ONE
    along, swapped = min(abs(a), abs(d)), min(abs(b), abs(c))
    turned = swapped > along
    if (max(abs(a), abs(d)) > 0.01 and max(abs(b), abs(c)) > 0.01) or max(along, swapped) == 0:
        raise DataError(
            f"{name} is to be shown at a slant; turn it by quarters, or write it upright by another program."
        )
    across, down = (c, b) if turned else (a, d)
    if turned:
        picture = picture.transpose(1, 0, 2)
    return picture[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1], turned


def resized(picture: Picture, size: tuple[int, int], crop: Crop = "centre", aspect: float = 1.0) -> Picture:
    """A picture (row, column, 3) at another size.

    Parameters
    ----------
    picture : numpy.ndarray of uint8, shape (row, column, 3)
    size : tuple of int
        Rows and columns.
    crop : {"centre", None}
        Cut to the proportions of `size` about its centre, or squeeze it.
    aspect : float
        Width of a pixel over its height.
    """
    height, width = picture.shape[:2]
    if crop == "centre":
        scale = min(height / size[0], width * aspect / size[1])
        rows, columns = max(1, round(scale * size[0])), max(1, round(scale * size[1] / aspect))
        top, left = (height - rows) // 2, (width - columns) // 2
        picture = picture[top : top + rows, left : left + columns]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    values: Any = frame.reformat(width=size[1], height=size[0], interpolation="BILINEAR").to_ndarray()
    return values


def _unreadable(file: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"{file.name} cannot be read ({reason}); it is damaged or no video, copy it again."


def _missing(video: Video, number: int) -> str:
    return (
        f"Frame {number} of {video.path.name} ({video.times[number]:.2f} s) is damaged or missing; copy the file "
        "again, or pass damaged='keep' to take it as it is."
    )
