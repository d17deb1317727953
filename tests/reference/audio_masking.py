"""Masking and comparison of sounds written out element by element, and small explanations to try them on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from torch import nn


class Weighted(nn.Module):
    """Two classes, the weighted sum of a trial and its negative: relevance is known by heart."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        flat = torch.tensor(weights, dtype=torch.float64).reshape(1, -1)
        self.linear = nn.Linear(flat.shape[1], 2, bias=False, dtype=torch.float64)
        self.linear.weight.data = torch.cat([flat, -flat])

    def forward(self, x):
        return self.linear(x.flatten(1))


def explained(values: np.ndarray, weights: np.ndarray, coords: dict, dims: tuple[str, ...]) -> xr.Dataset:
    """The explanation of `Weighted`, of the class it predicts."""
    score = (values * weights).reshape(len(values), -1).sum(1)
    output = np.stack([score, -score], 1)
    target = output.argmax(1)
    sign = np.where(target == 0, 1.0, -1.0).reshape(-1, *[1] * (values.ndim - 1))
    variables = {
        "signal": (dims, values),
        "relevance": (dims, sign * weights * values),
        "per_unit": (dims, np.broadcast_to(sign * weights, values.shape).copy()),
        "output": (("trial", "class"), output),
        "target": ("trial", target),
    }
    subject = np.array([f"s{number % 4}" for number in range(len(values))])
    coords = coords | {"label": ("trial", target), "subject": ("trial", subject), "trial": np.arange(len(values))}
    return xr.Dataset(variables, coords)


def masked_outputs(values, weights, scores, floor, counts) -> np.ndarray:
    """Output (count, trial) of the predicted class once the samples with the highest scores are silent."""
    found = np.empty((len(counts), len(values)))
    for trial, (clip, score) in enumerate(zip(values, scores, strict=True)):
        sign = 1.0 if (clip * weights).sum() >= 0 else -1.0
        quiet = clip.min() if floor is None else floor
        order = [place for place in np.argsort(-score, axis=None, kind="stable") if clip.flat[place] != quiet]
        for number, count in enumerate(counts):
            changed = clip.copy()
            for place in order[:count]:
                changed.flat[place] = quiet
            found[number, trial] = sign * (changed * weights).sum()
    return found


def summed_in_cells(values, middles, limits) -> np.ndarray:
    """Values (bin,) in the cells of other limits, each bin spread over a thousand points."""
    cells = np.zeros(len(limits) - 1)
    between = [(a + b) / 2 for a, b in pairwise(middles)]
    edges = [2 * middles[0] - between[0], *between, 2 * middles[-1] - between[-1]]
    for value, (low, high) in zip(values, pairwise(edges), strict=True):
        points = low + (np.arange(1000) + 0.5) / 1000 * (high - low)
        inside = [p for p in points if limits[0] <= p <= limits[-1]] or [min(max(low, limits[0]), limits[-1])]
        for point in inside:
            place = max(number for number in range(len(cells)) if limits[number] <= point)
            cells[place] += value / len(inside)
    return cells
