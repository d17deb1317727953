"""What a net still says when frames stand still, are dropped, blurred or out of place, and when tubes are removed.

The pieces go in the order of their relevance, in the order of how much moves in them (what moves catches the eye and
needs no explanation to be found), and at random. A net meets clips that it was not trained on, in all orders alike;
``distance`` of the curves tells how far each step takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from signalrp.places import same_places
from signalrp.validation import perturbation_curves
from signalrp.validation.checks import labelled_array

from .frames import over_colours
from .motion import motion_magnitude
from .segments import frame_segments, tube_segments

__all__ = ["HOW", "TUBES_HOW", "blurred", "close_up", "frozen", "remove_frames", "remove_tubes", "swapped"]

Fill = Callable[[Tensor, Tensor], Tensor]

HOW = ("frozen", "dropped", "blurred", "swapped")
TUBES_HOW = ("frozen", "blurred")
_FRAMES = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2)
_TUBES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)


def frozen(dims: Sequence[str]) -> Fill:
    """Return a fill for `signalrp.validation.perturbation_curves`: what is removed stands still.

    Every place holds what was there in the last frame before that is left, or, at the beginning, in the next one that
    is; in the first frame, where none is left.

    Parameters
    ----------
    dims : sequence of str
        The dimensions of the clips, trial first, in their order; frame among them.
    """
    axis = list(dims).index("frame")

    def fill(clips: Tensor, removed: Tensor) -> Tensor:
        gone = _once(removed).movedim(axis, -1)
        place = torch.arange(gone.shape[-1], device=gone.device)
        last = torch.where(gone, -1, place).cummax(-1).values
        later = torch.where(gone, len(place), place).flip(-1).cummin(-1).values.flip(-1)
        source = torch.where(last >= 0, last, later % len(place)).movedim(-1, axis)
        return clips.gather(axis, source.expand(clips.shape))

    fill.__name__ = "frozen"
    return fill


def blurred(signal: xr.DataArray, sigma: float = 4.0) -> Fill:
    """Return a fill: what is removed holds the frame out of focus, each colour by itself.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips in the order of dimensions that the fill will meet, trial first.
    sigma : float
        Standard deviation of the Gaussian, pixels; the frame is mirrored at its edges.

    Raises
    ------
    ValueError
        If sigma is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma:g} pixels; a blur needs a positive one.")
    matrices = {
        signal.dims.index(dim): gaussian_filter1d(np.eye(signal.sizes[dim]), sigma, axis=0, mode="reflect")
        for dim in ("row", "column")
    }

    def fill(clips: Tensor, removed: Tensor) -> Tensor:
        for axis, matrix in matrices.items():
            clips = (clips.movedim(axis, -1) @ torch.as_tensor(matrix.T).to(clips)).movedim(-1, axis)
        return clips

    fill.__name__ = f"blurred, {sigma:g} pixels"
    return fill


def swapped(dims: Sequence[str]) -> Fill:
    """Return a fill: what is removed holds what was there half a clip away, around the end.

    The content is the clip's own and as far from its time for all frames alike. Two frames half a clip apart that are
    both removed change places.

    Parameters
    ----------
    dims
        See `frozen`.
    """
    axis = list(dims).index("frame")

    def fill(clips: Tensor, removed: Tensor) -> Tensor:
        return clips.roll(-(clips.shape[axis] // 2), axis)

    fill.__name__ = "swapped"
    return fill


def close_up(clips: Tensor, axis: int) -> Tensor:
    """Leave out the frames that are NaN; the others move up, and the last of them is repeated to the end.

    Parameters
    ----------
    clips : torch.Tensor
        (batch, …); a frame is NaN throughout or not at all, and one frame at least is not.
    axis : int
        Of the frames.
    """
    gone = clips.movedim(axis, 1).flatten(2)[:, :, 0].isnan()
    # a stable sort by whether they are gone keeps the order of those that are not
    order = gone.int().argsort(dim=1, stable=True)
    place = torch.arange(gone.shape[1], device=clips.device).minimum((~gone).sum(1, keepdim=True) - 1)
    shape = [1] * clips.ndim
    shape[0], shape[axis] = gone.shape
    return clips.gather(axis, order.gather(1, place).view(shape).expand(clips.shape))


def remove_frames(
    model: nn.Module,
    explanation: xr.Dataset,
    *,
    how: Sequence[str] = HOW,
    frames: int = 1,
    fractions: Sequence[float] | None = None,
    motion: xr.DataArray | None = None,
    sigma: float = 4.0,
    direction: str = "morf",
    repeats: int = 3,
    transform: Callable[[Tensor], Tensor] | None = None,
    reference: npt.ArrayLike | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """Remove frames in the order of their relevance, of the motion in them, and at random.

    Parameters
    ----------
    model : torch.nn.Module
        Takes clips in the dimensions of the explanation.
    explanation : xarray.Dataset
        Of clips over trial, frame, row, column and perhaps rgb, best held out, with ``label``.
    how : sequence of {"frozen", "dropped", "blurred", "swapped"}
        What happens to the frames: they repeat the frame before (`frozen`), are left out, so that the clip closes up
        and its last frame is repeated (`close_up`), lose their detail (`blurred`), or show another time (`swapped`).
    frames : int
        Frames that go together.
    fractions : sequence of float, optional
        Shares of the frames that are removed; by default up to half, at least one frame at each step.
    motion : xarray.DataArray, shape (trial, frame, row, column), optional
        By default `signalrp.domains.video.motion.motion_magnitude` of the signal.
    sigma : float
        Of the blur, pixels.
    direction, repeats, transform, reference, batch_size, seed
        See `signalrp.validation.perturbation_curves`.

    Returns
    -------
    dict of str to xarray.Dataset
        Curves of `signalrp.validation.perturbation_curves`, by `how`, of the orders "relevance", "motion" and "random".

    Raises
    ------
    ValueError
        If there is no such way to remove frames, all frames would be dropped, or as in `perturbation_curves`.
    """
    _check_how(how, HOW)
    signal = _signal(explanation)
    segments = frame_segments(signal, frames)
    shares = _shares(fractions, _FRAMES, segments)
    if "dropped" in how and max(shares) >= 1:
        raise ValueError("All frames would be dropped, and no clip be left; give fractions below 1.")
    options: dict[str, Any] = {
        "orders": _orders(signal, motion), "segments": segments, "fractions": shares, "direction": direction,
        "repeats": repeats, "reference": reference, "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    found = {}
    for name in how:
        fill, then = _filled(name, signal, sigma), transform
        if name == "dropped":
            then = _closed_up(signal.dims.index("frame"), transform)
        curves = perturbation_curves(model, explanation, fill=fill, transform=then, **options)
        found[name] = curves.assign_attrs(removed=f"frames {name}")
    return found


def remove_tubes(
    model: nn.Module,
    explanation: xr.Dataset,
    *,
    how: Sequence[str] = TUBES_HOW,
    frames: int = 4,
    size: int | tuple[int, int] = 8,
    fractions: Sequence[float] | None = None,
    motion: xr.DataArray | None = None,
    sigma: float = 4.0,
    direction: str = "morf",
    repeats: int = 3,
    transform: Callable[[Tensor], Tensor] | None = None,
    reference: npt.ArrayLike | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """Remove space-time tubes in the order of their relevance, of the motion in them, and at random.

    Parameters
    ----------
    how : sequence of {"frozen", "blurred", "swapped"}
        See `remove_frames`; tubes cannot be dropped.
    frames, size
        Of a tube, see `signalrp.domains.video.segments.tube_segments`.
    model, explanation, fractions, motion, sigma, direction, repeats, transform, reference, batch_size, seed
        See `remove_frames`.

    Returns
    -------
    dict of str to xarray.Dataset
        As from `remove_frames`.

    Raises
    ------
    ValueError
        If there is no such way to remove tubes, tubes do not fit, or as in `perturbation_curves`.
    """
    _check_how(how, tuple(name for name in HOW if name != "dropped"))
    signal = _signal(explanation)
    segments = tube_segments(signal, frames, size)
    options: dict[str, Any] = {
        "orders": _orders(signal, motion), "segments": segments, "fractions": _shares(fractions, _TUBES, segments),
        "direction": direction, "repeats": repeats, "transform": transform, "reference": reference,
        "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    return {
        name: perturbation_curves(model, explanation, fill=_filled(name, signal, sigma), **options).assign_attrs(
            removed=f"tubes {name}"
        )
        for name in how
    }


def _filled(how: str, signal: xr.DataArray, sigma: float) -> Fill:
    dims = list(map(str, signal.dims))
    makers: Mapping[str, Callable[[], Fill]] = {
        "frozen": lambda: frozen(dims),
        "dropped": lambda: _dropped,
        "blurred": lambda: blurred(signal, sigma),
        "swapped": lambda: swapped(dims),
    }
    return makers[how]()


def _dropped(clips: Tensor, removed: Tensor) -> Tensor:
    """Mark what is dropped on its way to `close_up`."""
    return torch.full_like(clips, torch.nan)


_dropped.__name__ = "dropped"


def _closed_up(axis: int, transform: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    def closed(clips: Tensor) -> Tensor:
        whole = close_up(clips, axis)
        return whole if transform is None else transform(whole)

    return closed


def _once(mask: Tensor) -> Tensor:
    """The mask with one entry along dimensions that it was expanded to, which spares most of the work on frames."""
    for axis, step in enumerate(mask.stride()):
        if axis and step == 0:
            mask = mask.narrow(axis, 0, 1)
    return mask


def _signal(explanation: xr.Dataset) -> xr.DataArray:
    signal = labelled_array(explanation, "signal")
    # refuses what has no frames, rows and columns
    over_colours(signal[:1])
    return signal


def _orders(signal: xr.DataArray, motion: xr.DataArray | None) -> dict[str, Any]:
    motion = motion_magnitude(signal) if motion is None else over_colours(motion)
    same_places(motion, signal, "Motion")
    spread = motion.variable.set_dims(dict(signal.sizes)).transpose(*signal.dims)
    return {"relevance": "relevance", "motion": spread.values, "random": "random"}


def _shares(fractions: Sequence[float] | None, usual: Sequence[float], segments: xr.DataArray) -> list[float]:
    """Shares that are whole numbers of segments, where they are not given."""
    if fractions is not None:
        return list(fractions)
    count = int(segments.max()) + 1
    return [float(number) / count for number in np.unique(np.ceil(np.multiply(usual, count)))]


def _check_how(how: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(how, str) or not how or not set(how) <= set(known):
        raise ValueError(f"how is {how!r}; give a list of some of {', '.join(known)}.")
