"""The published clinical-gait network under removal, against figures known for it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import signalrp
from signalrp.validation import aopc, paired_difference, perturbation_curves

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1)
KNOWN = {
    "relevance": [0.861, 0.485, 0.290, 0.141, 0.139],
    "amplitude": [0.861, 0.792, 0.729, 0.630, 0.597],
    "random": [0.861, 0.855, 0.852, 0.823, 0.802],
}


class Cnn1DC8(torch.nn.Module):
    """Slijepcevic et al. (2021), doi:10.1145/3474121: channels one after the other as one long signal."""

    def __init__(self, weights: dict[str, np.ndarray], fold: int) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for number in range(3):
            weight = weights[f"fold{fold}/conv{number}.weight"]
            stride = int(weights[f"conv{number}.stride"])
            conv = torch.nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], stride)
            self.fill(conv, weights, f"fold{fold}/conv{number}")
            layers += [conv, torch.nn.ReLU()]
        linear = torch.nn.Linear(weights[f"fold{fold}/linear.weight"].shape[1], 2)
        self.fill(linear, weights, f"fold{fold}/linear")
        self.layers = torch.nn.Sequential(*layers, torch.nn.Flatten(), linear).double()

    @staticmethod
    def fill(layer: torch.nn.Module, weights: dict[str, np.ndarray], name: str) -> None:
        layer.weight = torch.nn.Parameter(torch.tensor(weights[f"{name}.weight"]))
        layer.bias = torch.nn.Parameter(torch.tensor(weights[f"{name}.bias"]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs.flatten(1)[:, None])


def relevance(model: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return signalrp.attribute(model, inputs, composite=signalrp.Epsilon(1e-5)).relevance


@pytest.fixture(scope="module")
def curves() -> xr.Dataset:
    shared = os.environ.get("SIGNALRP_SHARED_DATA")
    folder = Path(shared or ".") / "gait_clinical_grf"
    if shared is None or not folder.is_dir():
        pytest.skip("gait_clinical_grf: SIGNALRP_SHARED_DATA names no folder that holds it")
    with np.load(folder / "published_cnn1dc8.npz") as file:
        weights = {name: file[name] for name in file.files}
    with np.load(folder / "gait_clinical_grf.npz") as file:
        force, permutation = file["grf"], file["permutation"]
        low, high = force.min((0, 2), keepdims=True), force.max((0, 2), keepdims=True)
        scaled = ((force - low) / (high - low))[permutation]
        label = (file["injury"][permutation] > 0).astype(int)
        subject = file["subject"][permutation]
        folds = np.split(file["split_index"].astype(int), np.cumsum(file["split_sizes"])[:-1])
    parts = []
    for fold, index in enumerate(folds):
        model = Cnn1DC8(weights, fold).eval()
        inputs = torch.tensor(scaled[index])
        with torch.no_grad():
            output = model(inputs).numpy()
        dims = ("trial", "channel", "time")
        explanation = xr.Dataset(
            {
                "signal": (dims, scaled[index]),
                "relevance": (dims, relevance(model, inputs).detach().numpy()),
                "output": (("trial", "class"), output),
                "target": ("trial", output.argmax(1)),
                "label": ("trial", label[index]),
            },
            {"subject": ("trial", subject[index]), "fold": ("trial", np.full(len(index), fold))},
        )
        parts.append(
            perturbation_curves(
                model, explanation, direction="morf", fill="zero", fractions=FRACTIONS, repeats=3, seed=fold
            )
        )
    return xr.concat(parts, "trial")


@pytest.mark.parametrize("order", ["relevance", "amplitude"])
def test_accuracy_over_the_folds(curves: xr.Dataset, order: str) -> None:
    correct = curves["correct"].sel(order=order, direction="morf")
    np.testing.assert_allclose(correct.mean("trial"), KNOWN[order], atol=0.003)
    # the known figures are rounded to three digits and average the folds, which are of unequal size
    np.testing.assert_allclose(correct.groupby("fold").mean().mean("fold"), KNOWN[order], atol=0.0006)


def test_random_order_is_near_the_known_draws(curves: xr.Dataset) -> None:
    found = curves["correct"].sel(order="random", direction="morf").mean("trial")
    np.testing.assert_allclose(found, KNOWN["random"], atol=0.02)


def test_relevance_beats_chance_and_amplitude(curves: xr.Dataset) -> None:
    area = aopc(curves).sel(direction="morf")
    for other in ("amplitude", "random"):
        result = paired_difference(area.sel(order="relevance"), area.sel(order=other), curves["subject"])
        assert result.low > 0
        assert result.p < 0.001
