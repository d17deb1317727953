"""The published models of the clinical GRF study, their outputs and their relevances, fold by fold.

All of Slijepcevic et al. (2021), doi:10.1145/3474121; free for academic use only.
"""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from .data import clinical_grf, read_npz

LinearModel = Literal["MlpLinear", "SvmLinearL2C1em1"]
AnyModel = Literal["MlpLinear", "SvmLinearL2C1em1", "Mlp3Layer768Unit"]
Floats = npt.NDArray[np.floating]


class PublishedCnn(NamedTuple):
    """Weights of a published CNN by name ("conv0.weight" ... "linear.bias"), and its three strides."""

    state: dict[str, torch.Tensor]
    strides: tuple[int, int, int]


def published_input(path: str | os.PathLike[str]) -> xr.DataArray:
    """Input of the published models: every channel scaled to 0..1 over ALL trials, as the study did.

    Returns
    -------
    xarray.DataArray, shape (970, 6, 101)
        As `clinical_grf`, in its order. The CNN takes it flattened (channel, time), linear models and
        multi-layer perceptrons flattened (time, channel).
    """
    signal = clinical_grf(path)
    low, high = signal.min(("trial", "time")), signal.max(("trial", "time"))
    return ((signal - low) / (high - low)).assign_attrs(signal.attrs | {"units": "1"})


def published_split(path: str | os.PathLike[str], fold: int) -> npt.NDArray[np.int64]:
    """Test trials of a fold, as positions in `clinical_grf`, in the order of the published outputs."""
    table = read_npz(path, "gait_clinical_grf.npz", ["permutation", "split_index", "split_sizes"])
    edges = np.concatenate([[0], np.cumsum(table["split_sizes"])])
    _check_fold(fold, len(table["split_sizes"]))
    chosen = table["split_index"][edges[fold] : edges[fold + 1]]
    return np.asarray(table["permutation"][chosen], dtype=np.int64)


def published_cnn(path: str | os.PathLike[str], fold: int) -> PublishedCnn:
    """Weights of the published CNN (Cnn1DC8) of one fold: three convolutions and a linear layer, float64."""
    _check_fold(fold, 10)
    layers = ("conv0", "conv1", "conv2", "linear")
    names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    strides = [f"{layer}.stride" for layer in layers[:3]]
    table = read_npz(path, "published_cnn1dc8.npz", [f"fold{fold}/{name}" for name in names] + strides)
    first, second, third = (int(table[name][()]) for name in strides)
    return PublishedCnn({name: torch.from_numpy(table[f"fold{fold}/{name}"]) for name in names}, (first, second, third))


def published_linear(
    path: str | os.PathLike[str], fold: int, model: LinearModel = "MlpLinear"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (2, 606) and bias (2,) of a published linear model, float64, as torch.nn.Linear holds them."""
    _check_fold(fold, 10)
    keys = [f"{model}/fold{fold}/weight", f"{model}/fold{fold}/bias"]
    weight, bias = read_npz(path, "published_linear_models_and_lrp.npz", keys).values()
    return torch.from_numpy(weight.T.copy()), torch.from_numpy(bias)


def published_output(path: str | os.PathLike[str], fold: int, model: AnyModel = "MlpLinear") -> Floats:
    """Outputs (test trial, class) of a published model; class 0 is healthy, 1 is injured."""
    _check_fold(fold, 10)
    key = f"{model}/fold{fold}/y_pred"
    return read_npz(path, "published_linear_models_and_lrp.npz", [key])[key]


def published_relevance(
    path: str | os.PathLike[str],
    fold: int,
    model: AnyModel = "MlpLinear",
    rule: Literal["epsilon", "epsilon_zb"] = "epsilon",
) -> Floats:
    """Relevances (test trial, channel, time) of a published model for the ACTUAL class, float32.

    "epsilon": epsilon rule with 1e-5 throughout; "epsilon_zb": the same with the ZBox rule at the input.
    """
    _check_fold(fold, 10)
    key = f"{model}/fold{fold}/R_pred_act_{rule}"
    return read_npz(path, "published_linear_models_and_lrp.npz", [key])[key].transpose(0, 2, 1)


def _check_fold(fold: int, count: int) -> None:
    if not 0 <= fold < count:
        raise ValueError(f"The study has the folds 0 to {count - 1}, got {fold}.")
