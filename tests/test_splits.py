from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from signalrp.signals import labelled_signal, units_of
from signalrp.splits import Scaler, folds


def signal_of(people=12, trials=10, channels=("Fz", "Fx"), units="BW", seed=0):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), trials)
    values = rng.normal(size=(len(person), len(channels), 20)) * np.arange(1, len(channels) + 1)[:, None] + 5
    coordinates = {"label": person, "subject": [f"S{p:02d}" for p in person], "injured": person % 2}
    return labelled_signal(values, list(channels), np.arange(20.0), "% stance", units, coordinates, name="force")


def test_identity_folds_hold_every_person_in_training_and_test():
    signal = signal_of()
    pairs = folds(signal, 5)
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(120))
    for train, test in pairs:
        assert not set(train) & set(test)
        assert np.bincount(signal.label.values[test]).tolist() == [2] * 12
        assert np.bincount(signal.label.values[train]).tolist() == [8] * 12


def test_grouped_folds_never_share_a_person():
    signal = signal_of()
    pairs = folds(signal, 3, by="injured", group="subject")
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(120))
    for train, test in pairs:
        assert not set(signal.subject.values[train]) & set(signal.subject.values[test])
        assert set(signal.injured.values[test]) == {0, 1}


def test_folds_depend_on_the_seed_only():
    signal = signal_of()
    first, again, other = (folds(signal, 5, seed=seed) for seed in (1, 1, 2))
    assert all((a[1] == b[1]).all() for a, b in zip(first, again, strict=True))
    assert any((a[1] != b[1]).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 11}, "10 trials, fewer than the 11 folds"),
        ({"k": 1}, "at least 2"),
        ({"k": 5, "group": "subject"}, "leave group out"),
        ({"k": 7, "by": "injured", "group": "subject"}, "6 of 'subject', fewer than the 7 folds"),
        ({"k": 5, "by": "speed"}, "no coordinate 'speed'"),
    ],
)
def test_folds_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        folds(signal_of(), **arguments)


def test_min_max_uses_the_training_trials_only():
    signal = signal_of()
    train, test = signal.isel(trial=slice(0, 60)), signal.isel(trial=slice(60, None))
    scaler = Scaler("min-max").fit(train)
    scaled = scaler.transform(train)
    np.testing.assert_allclose(scaled.min(("trial", "time")), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.max(("trial", "time")), 1, atol=1e-12)
    other = scaler.transform(test)
    low, high = train.values.min((0, 2)), train.values.max((0, 2))
    np.testing.assert_allclose(other.values, (test.values - low[:, None]) / (high - low)[:, None])
    assert units_of(other) == ["1", "1"]
    assert (other.label == test.label).all()


@pytest.mark.parametrize("kind", ["min-max", "z-score"])
@pytest.mark.parametrize("units", ["BW", ["BW", "deg"]])
def test_inverse_restores_values_and_units(kind, units):
    signal = signal_of(units=units)
    scaler = Scaler(kind).fit(signal)
    xr.testing.assert_allclose(scaler.inverse(scaler.transform(signal)), signal)
    assert units_of(scaler.inverse(scaler.transform(signal))) == units_of(signal)


def test_z_score_and_channel_order():
    signal = signal_of().astype("float32")
    scaler = Scaler("z-score").fit(signal)
    scaled = scaler.transform(signal.isel(channel=[1, 0]))
    assert scaled.dtype == np.float32
    assert scaled.channel.values.tolist() == ["Fx", "Fz"]
    np.testing.assert_allclose(scaled.mean(("trial", "time")), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(("trial", "time")), 1, atol=1e-5)


def test_constant_channel_becomes_zero():
    signal = signal_of() * 0 + 3
    assert (Scaler().fit(signal).transform(signal) == 0).all()


def test_scaler_refuses():
    signal = signal_of()
    with pytest.raises(ValueError, match="call fit first"):
        Scaler().transform(signal)
    with pytest.raises(ValueError, match=r"has not seen \['knee'\]"):
        Scaler().fit(signal).transform(signal_of(channels=("Fz", "knee")))
    with pytest.raises(ValueError, match="missing values"):
        Scaler().fit(signal.where(signal.time > 3))
    with pytest.raises(ValueError, match="'robust' is unknown"):
        Scaler("robust")


def test_scaling_of_tensors_is_that_of_arrays():
    signal = signal_of()
    scaler = Scaler("z-score").fit(signal[:4])
    with pytest.raises(ValueError, match="has not seen any training trials"):
        Scaler().on_tensors()
    found = scaler.on_tensors()(torch.tensor(signal.values))
    np.testing.assert_allclose(found, scaler.transform(signal), rtol=1e-12)
