from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalrp.domains.gait import preprocessing as pp
from signalrp.domains.gait.labelled import labelled
from signalrp.signals import units_of

SHARED = os.environ.get("SIGNALRP_SHARED_DATA", "")
TREADMILL = Path(SHARED) / "gait_fukuchi_treadmill" / "processed.npz"
needs_treadmill = pytest.mark.skipif(not SHARED or not TREADMILL.is_file(), reason="SIGNALRP_SHARED_DATA is not set")
RATE = 300.0


def recording(values, rate=RATE, units="N", channels=None, **trial):
    values = np.atleast_3d(np.asarray(values, dtype=float)) if np.ndim(values) == 3 else np.atleast_2d(values)[None]
    channels = channels or [f"c{number}" for number in range(values.shape[1])]
    return labelled(values, channels, np.arange(values.shape[2]) / rate, "s", units, trial)


def treadmill(speed):
    table = np.load(TREADMILL)
    return recording(table["y"][speed].T, channels=["fore-aft", "vertical", "medio-lateral"]), table["c"][speed]


@needs_treadmill
@pytest.mark.parametrize(("speed", "cycles"), [(0, 28), (1, 31), (2, 33), (3, 33)])
def test_stances_of_a_treadmill_recording_agree_with_its_cycle_numbers(speed, cycles):
    signal, numbers = treadmill(speed)
    stances = pp.detect_stance(signal.sel(channel="vertical"), RATE)
    on_ground = np.diff(np.concatenate([[0], (numbers > 0).astype(int), [0]]))
    expected = np.stack([np.flatnonzero(on_ground == 1), np.flatnonzero(on_ground == -1)], axis=1)
    assert len(expected) == cycles
    assert len(stances) - len(expected) in (0, 1)
    assert np.abs(stances[: len(expected)] - expected).max() <= 2


@needs_treadmill
def test_treadmill_stances_become_plausible_trials():
    signal, _ = treadmill(1)
    stances = pp.detect_stance(signal.sel(channel="vertical"), RATE)
    trials = pp.stance_trials(signal, stances, RATE)
    assert trials.shape == (len(stances), 3, 101)
    assert trials.time.attrs["units"] == "% stance"
    assert trials.attrs["units"] == "N"
    assert 0.4 < float(trials.duration.min()) <= float(trials.duration.max()) < 0.9
    vertical = trials.sel(channel="vertical")
    first, last = stances[0]
    assert vertical.values[0, 0] == signal.sel(channel="vertical").values[0, first]
    assert vertical.values[0, -1] == signal.sel(channel="vertical").values[0, last - 1]
    # Two humps with a valley between them, braking before pushing.
    mean = trials.mean("trial")
    hump, fore_aft = mean.sel(channel="vertical"), mean.sel(channel="fore-aft")
    assert 15 < float(hump.sel(time=slice(0, 50)).idxmax("time")) < 40
    assert 65 < float(hump.sel(time=slice(50, 100)).idxmax("time")) < 90
    assert float(fore_aft.idxmin("time")) < 40 < float(fore_aft.idxmax("time"))
    # Both feet carry the body: mean force in stance times its share of the stride is half the weight.
    stride = np.diff(trials.start.values).mean()
    half_weight = float(hump.mean()) * float(trials.duration.mean()) / stride
    in_bw = pp.body_weight(trials, 2 * half_weight / pp.GRAVITY)
    assert in_bw.attrs["units"] == "BW"
    assert 1.0 < float(in_bw.sel(channel="vertical").max("time").mean()) < 1.3


def test_stance_at_the_border_and_noise_are_left_out():
    force = np.zeros(1000)
    force[:100] = force[900:] = 500
    force[300:500] = 500
    force[600:605] = 500
    assert pp.detect_stance(force, 1000).tolist() == [[300, 500]]
    assert pp.detect_stance(force, 1000, minimum_duration=0).tolist() == [[300, 500], [600, 605]]
    assert pp.detect_stance(np.zeros(10), 1000).shape == (0, 2)
    assert pp.detect_stance(np.full(10, 500.0), 1000).shape == (0, 2)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=8), st.booleans(), st.booleans())
def test_stance_finds_exactly_the_complete_runs(runs, starts_on, ends_on):
    pieces, expected, position = [np.full(3, 100.0 * starts_on)], [], 3
    for off, on in runs:
        pieces += [np.zeros(off), np.full(on, 100.0)]
        expected.append([position + off, position + off + on])
        position += off + on
    pieces += [np.zeros(2), np.full(2, 100.0 * ends_on)]
    assert pp.detect_stance(np.concatenate(pieces), 1.0, minimum_duration=0).tolist() == expected


@pytest.mark.parametrize(
    ("force", "rate", "message"),
    [
        (recording([1.0, 2.0], units="BW"), 100, "threshold is in newton"),
        (np.zeros((2, 5)), 100, "one trace"),
        (np.array([0, np.nan]), 100, "missing values"),
        (np.zeros(5), 0, "rate must be positive"),
    ],
)
def test_stance_refuses(force, rate, message):
    with pytest.raises(ValueError, match=message):
        pp.detect_stance(force, rate)


@pytest.mark.parametrize(("kind", "degree"), [("linear", 1), ("cubic", 3)])
def test_time_normalisation_is_exact_for_its_polynomials(kind, degree):
    old, new = np.linspace(0, 1, 37), np.linspace(0, 1, 101)
    signal = recording(np.stack([old**degree, 1 - old**degree]))
    result = pp.time_normalise(signal, kind=kind)
    np.testing.assert_allclose(result.values[0], [new**degree, 1 - new**degree], atol=1e-12)
    np.testing.assert_array_equal(result.time, np.arange(101))
    assert result.attrs["units"] == "N"
    assert result.dims == signal.dims


def test_trials_of_different_length_are_each_stretched():
    values = np.full((2, 1, 50), np.nan)
    values[0, 0] = np.linspace(0, 1, 50)
    values[1, 0, :20] = np.linspace(0, 1, 20)
    result = pp.time_normalise(recording(values, subject=["a", "b"]))
    np.testing.assert_allclose(result.values[:, 0], np.tile(np.linspace(0, 1, 101), (2, 1)), atol=1e-12)
    assert result.subject.values.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([0.0, np.nan, 1.0, 2.0], "linear", "between samples"),
        ([1.0, np.nan], "linear", "1 samples, too few"),
        ([1.0, 2.0, 3.0], "cubic", "3 samples, too few"),
        ([1.0, 2.0], "quintic", "'quintic' is unknown"),
    ],
)
def test_time_normalisation_refuses(values, kind, message):
    with pytest.raises(ValueError, match=message):
        pp.time_normalise(recording(values), kind=kind)


def test_body_weight_converts_forces_only():
    forces = recording(np.full((2, 1, 3), 70 * 9.80665))
    np.testing.assert_allclose(pp.body_weight(forces, [70, 35]).values[:, 0, 0], [1, 2])
    mixed = labelled(np.full((1, 2, 3), 9.80665), ["Fz", "knee"], [0, 1, 2], "s", ["N", "deg"])
    result = pp.body_weight(mixed, 1.0)
    assert units_of(result) == ["BW", "deg"]
    np.testing.assert_allclose(result.values[0, :, 0], [1, 9.80665])
    for signal, mass, message in [
        (pp.body_weight(forces, 70), 70, "needs forces in N"),
        (forces, [70], "one per trial"),
        (forces, [70, np.nan], "positive number"),
    ]:
        with pytest.raises(ValueError, match=message):
            pp.body_weight(signal, mass)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([2, 4, 6, 8]), st.floats(0.02, 0.4))
def test_low_pass_lets_half_the_power_through_at_the_cutoff(order, fraction):
    rate = 1000.0
    cutoff = fraction * rate
    time = np.arange(20000) / rate
    wave = np.sin(2 * np.pi * cutoff * time)
    middle = slice(5000, 15000)
    result = pp.low_pass(recording(wave, rate), cutoff, rate, order).values[0, 0, middle]
    # The amplitude in phase with the input is 1/sqrt(2), the one in quadrature zero: no lag.
    quadrature = np.cos(2 * np.pi * cutoff * time)[middle]
    power = np.mean(wave[middle] ** 2)
    assert np.mean(result * wave[middle]) / power == pytest.approx(1 / np.sqrt(2), abs=2e-3)
    assert np.mean(result * quadrature) == pytest.approx(0, abs=2e-3)


def test_low_pass_correction_is_the_one_of_winter():
    """For a slow cutoff, each second-order pass has the cutoff divided by 0.802."""
    from scipy.signal import butter, sosfiltfilt

    noise = np.random.default_rng(0).normal(size=3000)
    expected = sosfiltfilt(butter(2, 5 / 0.802, fs=1000, output="sos"), noise)
    np.testing.assert_allclose(pp.low_pass(recording(noise, 1000), 5, 1000).values[0, 0], expected, atol=5e-4)


@pytest.mark.parametrize(
    ("values", "cutoff", "order", "message"),
    [
        (np.zeros(100), 10, 3, "must be even"),
        (np.zeros(3), 10, 4, "3 samples are too few"),
        (np.zeros(100), 600, 4, "between 0 and half the rate, 500 Hz"),
        (np.full(100, np.nan), 10, 4, "missing values"),
    ],
)
def test_low_pass_refuses(values, cutoff, order, message):
    with pytest.raises(ValueError, match=message):
        pp.low_pass(recording(values), cutoff, 1000, order)


def test_joint_angles_beside_forces():
    time = np.arange(101.0)
    force = labelled(np.ones((2, 1, 101)), ["Fz"], time, "% stance", "BW", {"subject": ["a", "b"], "label": [0, 1]})
    knee = labelled(np.zeros((2, 1, 101)), ["knee"], time, "% stance", "deg", {"subject": ["a", "b"]})
    both = pp.concatenate_channels(force, knee)
    assert both.channel.values.tolist() == ["Fz", "knee"]
    assert both.unit.values.tolist() == ["BW", "deg"]
    assert "units" not in both.attrs
    assert both.label.values.tolist() == [0, 1]
    assert both.time.attrs["units"] == "% stance"
    assert pp.concatenate_channels(force, force.assign_coords(channel=["Fx"])).attrs["units"] == "BW"
    for other, message in [
        (knee.isel(trial=[0]), "2 and 1 trials"),
        (knee.isel(time=slice(0, 50)), "different instants"),
        (knee.isel(trial=[1, 0]), "disagree on the subject"),
        (force, "same name"),
    ]:
        with pytest.raises(ValueError, match=message):
            pp.concatenate_channels(force, other)


def test_stances_are_cut_from_slower_recordings_too():
    force_time, angle_time = np.arange(3000) / 1000, np.arange(300) / 100
    force = recording(700 * ((force_time % 1) > 0.4), 1000)
    stances = pp.detect_stance(force, 1000)
    angle = recording(angle_time, 100, units="deg")
    trials = pp.stance_trials(angle, stances, 1000)
    np.testing.assert_allclose(trials.values[:, 0, 0], trials.start, atol=0.011)
    np.testing.assert_allclose(trials.values[:, 0, -1], trials.start + trials.duration, atol=0.011)
    with pytest.raises(ValueError, match="no stance phase"):
        pp.stance_trials(angle, stances[:0], 1000)
    with pytest.raises(ValueError, match="continuous recording"):
        pp.stance_trials(trials, stances, 1000)
