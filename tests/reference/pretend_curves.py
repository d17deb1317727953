"""Manipulation curves without a model, whose accuracies are exactly those asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

STEPS = (0.0, 5.0, 50.0)
USUAL = {"relevance": (9, 4, 2), "amplitude": (9, 7, 4), "random": (9, 8, 6)}


def pretend(
    morf: Mapping[str, Sequence[int]] | None = USUAL,
    lerf: Mapping[str, Sequence[int]] | None = None,
    *,
    steps: Sequence[float] = STEPS,
    units: str = "%",
    subjects: int = 10,
    trials: int = 10,
    classes: int = 2,
    outside: Mapping[str, Sequence[float]] | None = None,
    **attrs: object,
) -> xr.Dataset:
    """Curves in which so many of each subject's trials are right, give or take one from subject to subject.

    Parameters
    ----------
    morf, lerf
        Order -> trials of a subject that are right, at each step; the two directions.
    outside
        Order -> share of the trials that lie outside the data at each step, the same in both directions.
    """
    directions = {name: counts for name, counts in (("morf", morf), ("lerf", lerf)) if counts is not None}
    orders = list(next(iter(directions.values())))
    correct = np.zeros((len(orders), len(directions), len(steps), subjects, trials))
    for i, order in enumerate(orders):
        for j, counts in enumerate(directions.values()):
            for k, count in enumerate(counts[order]):
                for subject in range(subjects):
                    # the first step is the same for all orders, and odd numbers of subjects have one at the mean
                    wobble = 0 if subject == subjects - 1 and subjects % 2 else (-1) ** (subject + k)
                    right = count + wobble if 0 < count < trials else count
                    correct[i, j, k, subject, :right] = 1
    correct = correct.reshape(*correct.shape[:3], -1)
    label = np.arange(subjects * trials) % classes
    output = 1 + 3 * correct
    curves = xr.Dataset(
        {
            "correct": (("order", "direction", "step", "trial"), correct),
            "output": (("order", "direction", "step", "trial"), output),
            "initial_output": ("trial", output[0, 0, 0]),
            "predicted": ("trial", np.where(correct[0, 0, 0] > 0, label, (label + 1) % classes)),
            "label": ("trial", label),
        },
        {
            "order": orders,
            "direction": list(directions),
            "step": ("step", np.asarray(steps, dtype=float), {"units": units}),
            "subject": ("trial", np.repeat([f"S{number:02d}" for number in range(subjects)], trials)),
        },
        {"fill": "mean", "removed": "samples", "classes": classes, "basis": "", **attrs},
    )
    if outside is not None:
        shares = np.array([outside[order] for order in orders])[:, None, :, None]
        places = (np.arange(subjects * trials) + 0.5) / (subjects * trials)
        distance = np.where(places < shares, 3.0, 1.0) * np.ones((1, len(directions), 1, 1))
        curves["distance"] = (curves["correct"].dims, distance)
        curves.attrs["distance_95"] = 2.0
    return curves
