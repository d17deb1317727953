"""Relevance over videos of any length: window by window, with overlap, a batch of windows in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from signalrp.explain import explain
from signalrp.propagation.composites import Composite
from signalrp.propagation.rules import Rule

from .frames import per_frame
from .readers import windows


def explain_file(
    model: nn.Module,
    file: str | os.PathLike[str],
    *,
    frames: int = 16,
    hop: int | None = None,
    target: int | None = None,
    composite: str | Composite | Rule = "epsilon-plus",
    classes: Sequence[str] | None = None,
    batch: int = 8,
    progress: Callable[[int, int], None] | None = None,
    **choices: Any,
) -> xr.Dataset:
    """Explain a video of any length by a net that takes short clips.

    Parameters
    ----------
    model : torch.nn.Module
        Takes clips (trial, rgb, frame, row, column), returns (trial, class); in evaluation mode.
    file : path
        A video.
    frames : int
        Of a clip.
    hop : int, optional
        Frames from one clip's beginning to the next; by default half a clip, so that every frame but the first and
        last is seen at two positions, which evens out what only the border of a clip does.
    target : int, optional
        Class to explain; by default the one that each clip is taken for.
    composite, classes
        See `signalrp.explain`.
    batch : int
        Clips in memory at once.
    progress : callable, optional
        Called as ``progress(done, total)`` with numbers of clips.
    **choices
        Of `signalrp.domains.video.readers.windows`: step, fps, size, crop, start, stop, damaged.

    Returns
    -------
    xarray.Dataset
        Along ``frame``, s from the beginning of the file: ``relevance``, ``positive`` and ``negative``, sums over
        colours and places, the mean of the clips that hold the frame, and ``clips``, how many do. Along ``window``,
        with the coordinate ``window_start`` in s: ``output`` (window, class) and ``target``.

    Raises
    ------
    FileNotFoundError, signalrp.manifests.DataError, ValueError
        As `signalrp.domains.video.readers.windows` and `signalrp.explain`.
    """
    hop = max(1, frames // 2) * int(choices.get("step", 1)) if hop is None else hop
    sums: dict[int, list[float]] = {}
    outputs, targets, starts = [], [], []
    for clips in windows(file, frames, hop, batch=batch, progress=progress, **choices):
        found = explain(model, clips, target, composite, classes=classes, batch_size=batch)
        parts = [per_frame(found, part).transpose("trial", "frame").values for part in ("net", "positive", "negative")]
        times = clips["start"].values[:, None] + clips["frame"].values
        # the same frame of the file has the same time in every clip, but for rounding
        keys = np.round(1e4 * times).astype(np.int64)
        for key, *values in zip(keys.flat, *(part.flat for part in parts), strict=True):
            total = sums.setdefault(int(key), [0.0, 0.0, 0.0, 0.0])
            for number, value in enumerate((*values, 1.0)):
                total[number] += float(value)
        outputs.append(found["output"].values)
        targets.append(found["target"].values)
        starts.append(clips["start"].values)
    known = sorted(sums)
    table = np.array([sums[key] for key in known])
    means = table[:, :3] / table[:, 3:]
    names = {} if classes is None else {"class": list(classes)}
    return xr.Dataset(
        {
            "relevance": ("frame", means[:, 0]), "positive": ("frame", means[:, 1]), "negative": ("frame", means[:, 2]),
            "clips": ("frame", table[:, 3].astype(np.int64)),
            "output": (("window", "class"), np.concatenate(outputs)), "target": ("window", np.concatenate(targets)),
        },
        {
            "frame": ("frame", np.array(known) / 1e4, {"units": "s", "long_name": "time"}),
            "window_start": ("window", np.concatenate(starts), {"units": "s"}), **names,
        },
    )  # fmt: skip
