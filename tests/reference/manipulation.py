"""Manipulation of trials by loops, one trial, step and sample at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

Filled = Callable[[int, NDArray[np.generic], NDArray[np.bool_]], NDArray[np.generic]]


def removed_first(scores: NDArray[np.floating], lerf: bool) -> list[int]:
    """Piece numbers in the order of removal, by Python's own stable sort."""
    order = sorted(range(len(scores)), key=lambda piece: -scores[piece])
    return order[::-1] if lerf else order


def slow_curve(
    model: Callable[[torch.Tensor], torch.Tensor],
    signal: NDArray[np.generic],
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    counts: list[int],
    filled: Filled,
    *,
    lerf: bool = False,
    insertion: bool = False,
    score: str = "sum",
    inverse: Callable[[NDArray[np.generic]], NDArray[np.floating]] = lambda content: content,
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Output of the initial class and class chosen, (step, trial), for scores and labels (trial, …)."""
    outputs, chosen = np.empty((len(counts), len(signal))), np.empty((len(counts), len(signal)), int)
    for trial, values in enumerate(signal):
        pieces = [piece for piece in np.unique(labels[trial]) if piece >= 0]
        found = [getattr(scores[trial][labels[trial] == piece], score)() for piece in pieces]
        order = [pieces[i] for i in removed_first(np.array(found), lerf)]
        before = model(torch.tensor(inverse(values)[None]))[0].argmax()
        for step, count in enumerate(counts):
            gone = order[count:] if insertion else order[:count]
            mask = np.isin(labels[trial], gone)
            output = model(torch.tensor(inverse(filled(trial, values, mask))[None]))[0]
            outputs[step, trial] = output[before].item()
            chosen[step, trial] = output.argmax().item()
    return outputs, chosen


def samples(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Labels (trial, …) by which every sample is a piece of its own."""
    return np.broadcast_to(np.arange(np.prod(shape[1:])).reshape(shape[1:]), shape)


def constant(content: NDArray[np.generic]) -> Filled:
    """Fill with content (trial, …) or (…), sample by sample."""

    def filled(trial: int, values: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.generic]:
        own = content[trial] if content.ndim > values.ndim else content
        result = values.copy()
        for index in np.ndindex(values.shape):
            if mask[index]:
                result[index] = own[index]
        return result

    return filled


def bridged(reference: NDArray[np.floating], axis: int, row: Callable[..., NDArray[np.floating]]) -> Filled:
    """Fill each row along an axis of the trial by what `row` makes of it, the reference's mean where all is gone."""
    mean = reference.mean(0)

    def filled(trial: int, values: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.generic]:
        result = values.copy()
        shape = [1 if place == axis else size for place, size in enumerate(values.shape)]
        for index in np.ndindex(*shape):
            at = tuple(slice(None) if place == axis else i for place, i in enumerate(index))
            gone = mask[at]
            if gone.all():
                result[at] = mean[at]
            elif gone.any():
                result[at] = np.where(gone, row(values[at], gone), values[at])
        return result

    return filled


def straight(values: NDArray[np.floating], gone: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Linear interpolation, edges extended."""
    kept = np.flatnonzero(~gone)
    return np.interp(np.arange(len(values)), kept, values[kept])


def fill_by_loops(fill: str, signal: xr.DataArray) -> Filled:
    """The fills ``mean``, ``zero`` and ``interpolate``."""
    if fill == "interpolate":
        return bridged(signal.values, signal.dims.index("time") - 1, straight)
    return constant(signal.values.mean(0) if fill == "mean" else np.zeros(signal.shape[1:]))


def solved(values: NDArray[np.floating], gone: NDArray[np.bool_]) -> NDArray[np.floating]:
    """ROAD along one dimension by a dense system: neighbours one away weigh 2, two away 1."""
    length = len(values)
    system, right = np.eye(length), np.where(gone, 0.0, values)
    for t in np.flatnonzero(gone):
        weights = {t + j: w for j, w in ((-2, 1.0), (-1, 2.0), (1, 2.0), (2, 1.0)) if 0 <= t + j < length}
        for other, weight in weights.items():
            system[t, other] = -weight / sum(weights.values())
    return np.linalg.solve(system, right)


def surrogate(values: NDArray[np.floating], phases: NDArray[np.floating]) -> NDArray[np.floating]:
    """A row as the sum of its cosines, each turned by its phase; Nyquist turned by 0 or pi."""
    length = len(values)
    time = np.arange(length)
    result = np.full(length, values.mean())
    for k in range(1, length // 2 + 1):
        cosine = 2 / length * (values * np.cos(2 * np.pi * k * time / length)).sum()
        sine = 2 / length * (values * np.sin(2 * np.pi * k * time / length)).sum()
        amplitude, angle = np.hypot(cosine, sine), np.arctan2(-sine, cosine)
        if 2 * k == length:
            result += values @ (-1.0) ** time / length * (-1.0) ** time * (1 if phases[k] < np.pi else -1)
        else:
            result += amplitude * np.cos(2 * np.pi * k * time / length + angle + phases[k])
    return result


def nearest(features: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """Euclidean distance to the nearest of others (trial, feature)."""
    return min(float(np.sqrt(((features - other) ** 2).sum())) for other in others)
