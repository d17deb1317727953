"""Region perturbation: rectangular patches of a signal, replaced by random content one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor

from signalrp.inspection import Basis
from signalrp.validation.perturbation.curves import perturbation_curves
from signalrp.validation.perturbation.fills import UserFill
from signalrp.validation.perturbation.machine import Model


def patches(signal: xr.DataArray, sizes: Mapping[str, int]) -> xr.DataArray:
    """Rectangular patches side by side from the first sample on; those at the far edges may be smaller.

    Parameters
    ----------
    signal
        Any dimensions.
    sizes
        Samples of a patch along each dimension: ``{"channel": 2, "time": 9}``, ``{"frequency": 4, "time": 16}``,
        ``{"row": 8, "column": 8, "frame": 4}``. Along dimensions that are not named a patch goes throughout.

    Returns
    -------
    xarray.DataArray
        Labels over the dimensions named, in the signal's order, counted along the last dimension first.

    Raises
    ------
    ValueError
        If there is no size, a dimension is none of the signal's or is trial, or a size is not between 1 and the
        number of samples.
    """
    if not sizes:
        raise ValueError('sizes is empty; give samples along at least one dimension, e.g. {"channel": 2, "time": 9}.')
    dims = [dim for dim in signal.dims if dim != "trial"]
    strange = [dim for dim in sizes if dim not in dims]
    if strange:
        raise ValueError(
            f"Patches along {strange[0]!r} do not fit the signal; choose from {', '.join(map(str, dims))}."
        )
    labels = xr.DataArray(0)
    for dim in dims:
        if dim not in sizes:
            continue
        size, length = sizes[str(dim)], signal.sizes[dim]
        if not isinstance(size, Integral) or not 1 <= size <= length:
            raise ValueError(
                f"A patch of {size!r} samples along {dim} does not fit the signal; expected a whole number from 1 to "
                f"{length}."
            )
        count = -(-length // int(size))
        coordinate = {dim: signal[dim]} if dim in signal.indexes else None
        labels = labels * count + xr.DataArray(np.arange(length) // size, coordinate, dim)
    labels = labels.transpose(*(dim for dim in dims if dim in sizes))
    return labels.rename("segment")


def region_perturbation(
    model: Model,
    explanation: xr.Dataset,
    sizes: Mapping[str, int],
    *,
    steps: int = 100,
    orders: str | Sequence[str] | Mapping[str, ArrayLike | str] = ("relevance", "random"),
    direction: str = "both",
    fill: str | UserFill = "uniform",
    repeats: int = 10,
    basis: Basis | None = None,
    reference: ArrayLike | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Replace patches by random content, the most (or least) relevant first, and average over the content.

    Samek et al. (2017), doi:10.1109/TNNLS.2016.2599820: the relevance of a patch is the sum over its samples;
    content uniform between each channel's smallest and largest value, drawn anew in every repeat.

    Parameters
    ----------
    model, explanation, orders, direction, basis, reference, transform, batch_size, device
        See `perturbation_curves`.
    sizes
        Samples of a patch along each dimension of the signal (or of its coefficients), see `patches`.
    steps
        Number of patches replaced, one after the other; all, where there are fewer.
    fill
        See `perturbation_curves`.
    repeats
        Number of times that the content and the random order are drawn.
    seed
        Seed of all repeats.

    Returns
    -------
    xarray.Dataset
        As from `perturbation_curves`, each value the mean over the repeats; step counts patches. The attribute
        ``regions`` holds the sizes.

    Raises
    ------
    ValueError
        If patches do not fit the signal, steps or repeats are no positive number, or as in `perturbation_curves`.
    """
    if steps < 1 or repeats < 1:
        raise ValueError(f"steps is {steps} and repeats {repeats}; both must be at least 1.")
    if "signal" not in explanation:
        raise ValueError("The explanation has no variable 'signal', of which patches are cut.")
    labels = patches(explanation["signal"], sizes)
    count = int(labels.max()) + 1
    taken = min(steps, count)
    runs = [
        perturbation_curves(
            model,
            explanation,
            orders=orders,
            direction=direction,
            fill=fill,
            fractions=[number / count for number in range(1, taken + 1)],
            segments=labels,
            repeats=1,
            basis=basis,
            reference=reference,
            transform=transform,
            batch_size=batch_size,
            device=device,
            seed=int(drawn),
        )
        for drawn in np.random.SeedSequence(seed).generate_state(repeats)
    ]
    several = [name for name in runs[0].data_vars if str(name).startswith("random_")]
    curves = runs[0].drop_vars(several)
    for name in [name for name, values in curves.items() if "step" in values.dims]:
        curves[name] = curves[name].copy(data=np.mean([run[name].values for run in runs], axis=0))
    curves = curves.assign({name: xr.concat([run[name] for run in runs], "repeat") for name in several})
    curves = curves.assign_coords(step=("step", np.arange(taken + 1.0), {"long_name": "removed", "units": "segments"}))
    named = " × ".join(f"{size} {dim}" for dim, size in sizes.items())
    usual = [run.attrs["distance_95"] for run in runs if "distance_95" in run.attrs]
    known = {"distance_95": float(np.mean(usual))} if usual else {}
    return curves.assign_attrs(removed="segments", regions=named, seed=seed, **known)
