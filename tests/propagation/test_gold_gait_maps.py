"""The published relevance maps of the linear clinical gait models (Slijepcevic et al. 2021, doi:10.1145/3474121)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import signalrp
from signalrp import Epsilon, Rule, ZBox

MODELS = ["MlpLinear", "SvmLinearL2C1em1"]


@pytest.fixture(scope="module")
def study(shared_data: Path) -> dict[str, np.ndarray]:
    """Arrays of the study, by name."""
    folder = shared_data / "gait_clinical_grf"
    if not folder.is_dir():
        pytest.skip("SIGNALRP_SHARED_DATA has no gait_clinical_grf")
    arrays: dict[str, np.ndarray] = {}
    for name in ("gait_clinical_grf.npz", "published_linear_models_and_lrp.npz"):
        with np.load(folder / name) as table:
            arrays |= {key: table[key] for key in table.files}
    return arrays


class LinearModel(nn.Module):
    """A published model: all instants of one channel after the other's, in the order (time, channel)."""

    def __init__(self, study: dict[str, np.ndarray], name: str, fold: int) -> None:
        super().__init__()
        self.dense = nn.Linear(606, 2, dtype=torch.float64)
        self.dense.weight.data = torch.from_numpy(study[f"{name}/fold{fold}/weight"].T.copy())
        self.dense.bias.data = torch.from_numpy(study[f"{name}/fold{fold}/bias"])

    def forward(self, signal: Tensor) -> Tensor:
        return self.dense(signal.transpose(1, 2).flatten(1))


def parts(study: dict[str, np.ndarray], fold: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the test signals of a fold (trial, channel, time), their classes, and the signals trained on."""
    grf = study["grf"]
    low, high = grf.min((0, 2), keepdims=True), grf.max((0, 2), keepdims=True)
    order = study["permutation"]
    signals = torch.from_numpy((grf - low) / (high - low))[order]
    classes = torch.from_numpy((study["injury"] > 0).astype(np.int64))[order]
    folds = np.split(study["split_index"].astype(np.int64), np.cumsum(study["split_sizes"])[:-1])
    # The fold after the tested one served for validation and was not trained on.
    kept = np.concatenate([f for i, f in enumerate(folds) if i not in (fold, (fold + 1) % len(folds))])
    return signals[folds[fold]], classes[folds[fold]], signals[kept]


@pytest.mark.parametrize("fold", range(10))
@pytest.mark.parametrize("name", MODELS)
def test_published_maps(study: dict[str, np.ndarray], name: str, fold: int) -> None:
    # Seed: output of the true class. Epsilon: the bias is in the denominator and keeps its share. ZBox: no bias, no
    # stabiliser, bounds from the training part by time and channel. The maps are stored in float32.
    signals, classes, trained = parts(study, fold)
    model = LinearModel(study, name, fold).eval()
    flat = trained.transpose(1, 2).flatten(1)
    rules: dict[str, Rule] = {
        "epsilon": Epsilon(1e-5),
        "epsilon_zb": ZBox(flat.min(0).values, flat.max(0).values, epsilon=0.0),
    }
    for key, rule in rules.items():
        found = signalrp.attribute(model, signals, classes, rule)
        outputs = torch.from_numpy(study[f"{name}/fold{fold}/y_pred"])
        torch.testing.assert_close(found.output, outputs, rtol=0, atol=1e-11)
        published = torch.from_numpy(study[f"{name}/fold{fold}/R_pred_act_{key}"]).double().transpose(1, 2)
        difference = float((found.relevance - published).abs().max())
        assert difference <= 1e-6, f"{key}: {difference:.3g} from the published map"
