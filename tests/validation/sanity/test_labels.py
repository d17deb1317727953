from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference import likeness as slow
from reference.planted import mlp, planted, train, trained
from torch import nn

import signalrp
from signalrp.validation.sanity.labels import label_randomisation


@pytest.fixture(scope="module")
def signal() -> xr.DataArray:
    return planted(30, 1)


@pytest.fixture(scope="module")
def training() -> xr.DataArray:
    return planted(300, 0)


class Trainer:
    """Trains with another seed than the model, and keeps what it made."""

    def __init__(self) -> None:
        self.labels: list[np.ndarray] = []
        self.models: list[nn.Module] = []

    def __call__(self, signal: xr.DataArray, labels: np.ndarray) -> nn.Module:
        self.labels.append(labels)
        self.models.append(train(mlp, signal, labels, seed=5, epochs=30))
        return self.models[-1]


def test_maps_of_learnt_labels_pass_and_amplitude_fails(signal, training):
    trainer = Trainer()
    model = trained(mlp)
    check = label_randomisation(model, signal, trainer, training, "epsilon", seed=2)
    assert check, check
    true, permuted = trainer.labels
    np.testing.assert_array_equal(true, training["label"])
    assert sorted(permuted) == sorted(true)
    assert (permuted != true).mean() > 0.5
    target = signalrp.explain(model, signal)["target"].values
    maps = [signalrp.explain(each, signal, target, "epsilon")["relevance"].values for each in (model, *trainer.models)]
    expected = [np.mean([abs(slow.spearman(a, b)) for a, b in zip(maps[0], other, strict=True)]) for other in maps[1:]]
    table = check.table.set_index("labels")
    np.testing.assert_allclose(table["similarity"], [*expected, expected[0] - expected[1]])
    with torch.no_grad():
        chosen = [each(torch.tensor(training.values)).argmax(1).numpy() for each in trainer.models]
    fit = [(one == labels).mean() for one, labels in zip(chosen, trainer.labels, strict=True)]
    np.testing.assert_allclose(table["accuracy"][:2], fit)
    assert "learnt to 100%" in check.statement
    assert "hardly" not in check.statement

    blind = label_randomisation(model, signal, Trainer(), training, "amplitude")
    assert not blind
    np.testing.assert_allclose(blind.table["similarity"], [1, 1, 0])


def test_labels_that_were_not_learnt_weaken_the_test(signal, training):
    def brief(signal: xr.DataArray, labels: np.ndarray) -> nn.Module:
        return train(mlp, signal, labels, seed=5, epochs=1)

    check = label_randomisation(trained(mlp), signal, brief, training, "epsilon")
    assert check.table["accuracy"][1] < 0.8
    assert "The permuted labels were hardly learnt" in check.statement


def test_maps_of_chance_fail_for_want_of_a_difference(signal, training):
    """They resemble nothing, those of true labels included."""
    draws = np.random.default_rng(0)
    shared = (trained(mlp), train(mlp, training, training["label"].values, seed=1, epochs=1))

    def chance(model: nn.Module, signal: xr.DataArray, target: object) -> np.ndarray:
        return draws.normal(size=signal.shape)

    check = label_randomisation(shared[0], signal, lambda signal, labels: shared[1], training, chance, repeats=4)
    assert not check
    assert check.table["similarity"][1] < 0.2


def test_bad_input_is_refused(signal, training):
    model = trained(mlp)
    with pytest.raises(ValueError, match="no coordinate 'label' along trial"):
        label_randomisation(model, signal, Trainer(), training.drop_vars("label"))
    with pytest.raises(ValueError, match="labels are of one class only"):
        label_randomisation(model, signal, Trainer(), training.isel(trial=training["label"] == 1))
    with pytest.raises(ValueError, match="labels are <U21; expected integers"):
        label_randomisation(model, signal, Trainer(), training.assign_coords(label=training["label"].astype(str)))
    with pytest.raises(ValueError, match="train returned the model to compare with"):
        label_randomisation(model, signal, lambda signal, labels: model, training)
    with pytest.raises(ValueError, match="training mode"):
        label_randomisation(model, signal, lambda signal, labels: mlp(), training)
    with pytest.raises(ValueError, match="repeats is 0"):
        label_randomisation(model, signal, Trainer(), training, repeats=0)
