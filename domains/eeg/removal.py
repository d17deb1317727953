"""What the model still says when electrodes, windows, frequency bands or artefacts are taken out of the trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import xarray as xr
from torch import nn

from signalrp.inspection import DFT, inspect
from signalrp.validation import perturbation_curves

from .artefacts import artefact_masks
from .segments import BANDS, band_segments, electrode_segments, window_segments

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
WINDOW = 50.0
"""Length of the windows, ms."""
_CONTROLS = 10


def remove_pieces(
    model: nn.Module, explanation: xr.Dataset, reference: xr.DataArray, scale: xr.DataArray, seed: int = 0
) -> dict[str, xr.Dataset]:
    """Remove electrodes, windows and frequency bands in the order of their relevance, and at random.

    Parameters
    ----------
    model : torch.nn.Module
        Takes signals divided by `scale`.
    explanation : xarray.Dataset
        Of held-out trials (trial, channel, time) with ``per_unit``.
    reference : xarray.DataArray, shape (trial, channel, time)
        Training trials, in the unit of the explained signal; their mean is what stands in place of what is removed.
    scale : xarray.DataArray, shape (channel,)
        What the model's input is divided by.
    seed : int
        Of random orders.

    Returns
    -------
    dict of str to xarray.Dataset
        Of `signalrp.validation.perturbation_curves`, by what was removed. Bands are left out where the epochs are too
        short to hold more than one.
    """
    signal = explanation["signal"]
    options: dict[str, Any] = {
        "reference": reference.transpose(*signal.dims).values, "transform": _scaled_by(scale), "seed": seed,
        "repeats": 3,
    }  # fmt: skip
    first: dict[str, Any] = {"orders": ("relevance", "random"), "direction": "morf"}
    fractions = FRACTIONS if signal.sizes["channel"] * FRACTIONS[1] > 1 else None
    electrodes, windows = electrode_segments(signal), window_segments(signal, WINDOW)
    found = {
        "electrodes": perturbation_curves(model, explanation, segments=electrodes, fractions=fractions, **options),
        "windows": perturbation_curves(model, explanation, segments=windows, **options, **first),
    }
    frequency = np.asarray(DFT().bind(signal).coords["frequency"].values)
    bands = {
        name: (low, high) for name, (low, high) in BANDS.items() if ((frequency >= low) & (frequency < high)).any()
    }
    if len(bands) > 1:
        seen, labels = inspect(explanation, DFT()), band_segments(signal, bands)
        found["bands"] = perturbation_curves(model, seen, segments=labels, basis=DFT(), **options, **first)
    return {what: curves.assign_attrs(removed=what) for what, curves in found.items()}


def remove_artefacts(
    model: nn.Module,
    explanation: xr.Dataset,
    artefacts: xr.Dataset,
    reference: xr.DataArray,
    scale: xr.DataArray,
    seed: int = 0,
) -> pd.DataFrame:
    """Take the artefacts out of the trials that have some, and as much elsewhere, and ask the model again.

    An artefact is taken out at the electrodes and in the windows where it is (`artefact_masks`), and the mean of the
    training trials put in its place. The control takes out as many places of the same shape elsewhere: the mask is
    moved in time, around the end of the epoch, and its electrodes are exchanged for others, ten times at random.

    Parameters
    ----------
    model, explanation, reference, scale, seed
        See `remove_pieces`.
    artefacts : xarray.Dataset
        From `find_artefacts`, of the same trials.

    Returns
    -------
    pandas.DataFrame
        A row for each trial with artefacts: ``trial``, ``artefacts`` (names), ``samples`` (share that they take),
        ``relevance`` (share of the absolute relevance they hold), ``correct``, ``correct_without`` and
        ``correct_control`` (share of the controls that are).
    """
    signal = explanation["signal"].transpose("trial", "channel", "time")
    masks = artefact_masks(artefacts, signal["time"])
    where = np.logical_or.reduce(list(masks.values())) if masks else np.zeros(signal.shape, dtype=bool)
    rows = np.flatnonzero(where.any((1, 2)))
    values, mean = signal.values, reference.transpose("trial", "channel", "time").values.mean(0)
    maps = np.abs(explanation["relevance"].transpose("trial", "channel", "time").values)
    label, rng, scaled = explanation["label"].values, np.random.default_rng(seed), _scaled_by(scale)
    parameter = next(model.parameters())

    def correct(masked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which of the trials are classified correctly without what is masked, (trial,)."""
        x = torch.as_tensor(np.where(masked, mean, values[rows])).to(parameter)
        with torch.no_grad():
            chosen: npt.NDArray[np.int64] = model(scaled(x)).argmax(1).cpu().numpy()
        return chosen == label[rows]

    if not len(rows):
        return pd.DataFrame()
    control = np.mean([correct(_elsewhere(where[rows], rng)) for _ in range(_CONTROLS)], axis=0)
    names = [" and ".join(name for name, mask in masks.items() if mask[row].any()) for row in rows]
    return pd.DataFrame(
        {
            "trial": explanation["trial"].values[rows] if "trial" in explanation.coords else rows,
            "artefacts": names,
            "samples": where[rows].mean((1, 2)),
            "relevance": (maps * where)[rows].sum((1, 2)) / np.maximum(maps[rows].sum((1, 2)), np.finfo(float).tiny),
            "correct": correct(np.zeros_like(where[rows])),
            "correct_without": correct(where[rows]),
            "correct_control": control,
        }
    )


def _elsewhere(masks: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The masks (trial, channel, time) with other electrodes and at other times, in each trial anew."""
    moved = np.empty_like(masks)
    for row, mask in enumerate(masks):
        moved[row] = np.roll(mask[rng.permutation(mask.shape[0])], rng.integers(mask.shape[1]), axis=1)
    return moved


def _scaled_by(scale: xr.DataArray) -> Any:
    """Return the scaling as a function of tensors (trial, channel, time)."""
    divisor = torch.as_tensor(scale.values)[:, None]
    return lambda x: x / divisor.to(x)
