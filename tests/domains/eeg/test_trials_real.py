"""The faces and presses of two people, a small net trained for seconds: what the examination of its errors says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from signalrp.domains.eeg.artefacts import find_artefacts
from signalrp.domains.eeg.misclassified import examine, explain_classes
from signalrp.domains.eeg.packed import packed_faces
from signalrp.domains.eeg.physiology import MOTOR, N170, lateralisation, place_share
from signalrp.domains.eeg.transfer import transfer
from signalrp.splits import Scaler, folds
from signalrp.training import fit_classifier

pytestmark = pytest.mark.slow


def trained(signal: xr.DataArray, seed: int) -> tuple[Scaler, nn.Module]:
    scaler = Scaler("z-score").fit(signal)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv1d(signal.sizes["channel"], 16, 1), nn.Conv1d(16, 24, 13, padding=6), nn.BatchNorm1d(24), nn.ReLU(),
        nn.AvgPool1d(6, 6), nn.Dropout(0.4), nn.Flatten(), nn.Linear(24 * 15, 2),
    )  # fmt: skip
    x = torch.from_numpy(scaler.transform(signal).values)
    return scaler, fit_classifier(net, x, torch.from_numpy(signal["label"].values), epochs=30, weight_decay=1e-2)


def explained(signal: xr.DataArray, models: dict[int, tuple[Scaler, nn.Module]], splits: list) -> xr.Dataset:
    parts = []
    for fold, (_, test) in enumerate(splits):
        scaler, net = models[fold]
        part = explain_classes(net, scaler.transform(signal[test]))
        parts.append(part.assign(signal=signal[test].variable))
    return xr.concat(parts, "trial").sortby("trial")


@pytest.fixture(scope="module")
def person(shared_data: Path):
    """First person, faces against houses, each trial explained by a net that has not seen it."""
    signal = packed_faces(shared_data / "eeg_faceO_pylossless", 1)
    signal = signal.assign_coords(trial=np.arange(signal.sizes["trial"]))
    splits = folds(signal, 4, seed=0)
    models = {fold: trained(signal[train], fold) for fold, (train, _) in enumerate(splits)}
    return signal, splits, models, explained(signal, models, splits)


def test_errors_of_the_first_person(person):
    signal, _, _, explanation = person
    found = examine(explanation, find_artefacts(signal))
    assert found.trials["correct"].mean() > 0.85
    summary = found.summary()
    # whatever else explains errors, they are nearer to the boundary
    assert summary.loc["boundary", "difference_low"] > 0
    assert summary.loc["artefact", "base"] < 0.1
    # the blink of 94 µV on this trial, which leaves a mark on most electrodes
    assert "blink" in found.trials.loc[389, "artefacts"]
    assert (found.trials["unusual"] > found.trials.loc[389, "unusual"]).sum() < 5


def test_a_real_blink_put_on_other_trials_is_named_where_it_flips_the_decision(person):
    signal, splits, models, explanation = person
    before = examine(explanation, find_artefacts(signal)).trials
    clean = before.index[before["correct"] & (before["artefacts"] == "")]
    chosen = np.random.default_rng(0).choice(clean, 40, replace=False)
    wave = signal.values[389] - np.median(signal.values[389, :, :30], axis=1, keepdims=True)
    wave[:, :30] = 0
    planted = signal.copy(deep=True)
    planted.values[chosen] += wave
    found = examine(explained(planted, models, splits), find_artefacts(planted)).trials.loc[chosen]
    flipped = found[~found["correct"]]
    assert found["artefacts"].str.contains("blink").all()
    assert len(flipped) >= 3
    assert flipped["coincides"].str.contains("blink").mean() > 0.9


def test_relevance_lies_where_the_n170_is(person):
    *_, explanation = person
    right = explanation.isel(trial=np.flatnonzero(explanation["target"].values == explanation["label"].values))
    found = place_share(right, N170, draws=300)
    assert found["estimate"][0] > 2 * found["chance"][0]
    assert found["p"][2] < 0.05


def test_presses_and_another_person(shared_data):
    folder = shared_data / "eeg_faceO_pylossless"
    first, second = (packed_faces(folder, subject, "presses") for subject in (1, 2))
    train, test = folds(first, 2, seed=0)[0]
    scaler, net = trained(first[train], 0)
    own, other = (explain_classes(net, scaler.transform(part)) for part in (first[test], second))
    accuracy, similarity = transfer(own, other, resamples=200)
    assert accuracy.loc["own", "low"] > 0.6
    assert accuracy.loc["own", "accuracy"] > accuracy.loc["other", "accuracy"]
    assert similarity["similarity"].between(-1.1, 1.1).all()
    sides = lateralisation(own.assign(signal=first[test].variable), MOTOR, {0: "right", 1: "left"}, draws=100)
    assert sides["estimate"].between(0.3, 0.7).all()
