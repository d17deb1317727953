from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import detectors

from signalrp.validation import synthetic
from signalrp.validation.synthetic.generators import CAUSES, ELECTRODES, potential

NAMES = list(CAUSES)
TRIALS = 480
each_cause = pytest.mark.parametrize("cause", NAMES)


@pytest.fixture(scope="module")
def made():
    return {name: synthetic.make(name, TRIALS, seed=1) for name in NAMES}


@pytest.fixture(scope="module")
def undistracted():
    return {name: synthetic.make(name, TRIALS, seed=1, distractors=False) for name in NAMES}


def power(values):
    """Mean square of the strongest channel over trials (trial, channel, time), where anything lasts."""
    lasts = (values != 0).any(1)
    first, last = lasts.argmax(1), lasts.shape[1] - lasts[:, ::-1].argmax(1)
    squares = [(values[t, :, a:b] ** 2).mean(1) for t, (a, b) in enumerate(zip(first, last, strict=True))]
    return np.max(squares, axis=1)


def alike(first, second):
    """Whether the means of two samples (trial, …) lie as close as their scatter lets expect."""
    error = np.sqrt(first.var(0) / len(first) + second.var(0) / len(second))
    return np.abs(first.mean(0) - second.mean(0)) < 4.5 * error + 1e-12


def accuracy(score, label):
    return np.mean((score > np.median(score)) == label)


def test_table_says_what_is_known_of_every_cause():
    table = synthetic.causes()
    assert table.index.tolist() == NAMES
    assert table.columns.tolist() == ["classes", "known", "otherwise", "distractor", "snr"]
    for name, row in table.iterrows():
        data = synthetic.make(name, 24)
        for dim in set(data["truth"].dims) - {"trial"}:
            assert dim in row["known"]
        assert ("frequency" in row["known"]) == ("truth_frequency" in data)
        assert data.attrs["snr"] == row["snr"]


@each_cause
def test_trials_are_labelled_and_balanced(made, cause):
    data = made[cause]
    assert data["signal"].dims == ("trial", "channel", "time")
    assert data["signal"].shape == data["cause"].shape == (TRIALS, data.sizes["channel"], 256)
    assert data["time"].attrs["units"] == "s"
    assert float(data["time"][128]) == 1.0
    for name in np.unique(data["subject"]):
        assert data["label"].values[data["subject"].values == name].mean() == 0.5
    assert len(np.unique(data["subject"])) == 12
    assert np.isfinite(data["signal"]).all()


@each_cause
def test_seed_repeats_and_leaves_everybody_elses_random_numbers_alone(cause):
    torch_state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    data = synthetic.make(cause, 48, seed=3)
    assert data.identical(synthetic.make(cause, 48, seed=3))
    assert not np.allclose(data["signal"], synthetic.make(cause, 48, seed=4)["signal"])
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@each_cause
@pytest.mark.parametrize("snr", [None, 4.0])
def test_strength_is_the_one_stated(cause, snr):
    data = synthetic.make(cause, 48, seed=2, snr=snr)
    bare = synthetic.make(cause, 48, seed=2, snr=snr, distractors=False)
    stated = 10 ** (data.attrs["snr"] / 10)
    np.testing.assert_allclose(power(data["cause"].values.astype(float)), stated, rtol=1e-3)
    distractor = (data["signal"] - bare["signal"]).values.astype(float)
    distractor[np.abs(distractor) < 1e-5] = 0  # what single precision leaves
    np.testing.assert_allclose(power(distractor), stated * 10**0.6, rtol=0.06)
    assert data.attrs["distractor"] == CAUSES[cause].distractor
    assert bare.attrs["distractor"] == "none"


@each_cause
def test_snr_scales_the_cause_and_nothing_else(cause):
    weak, strong = (synthetic.make(cause, 48, snr=snr, distractors=False) for snr in (0.0, 20.0))
    np.testing.assert_allclose(strong["cause"], 10 * weak["cause"], rtol=1e-5)
    np.testing.assert_allclose(strong["signal"] - strong["cause"], weak["signal"] - weak["cause"], atol=1e-4)


@pytest.mark.parametrize("cause", ["transients", "frequencies"])
def test_truth_is_where_the_cause_is_not_zero(made, cause):
    np.testing.assert_array_equal(made[cause]["truth"], made[cause]["cause"] != 0)


@pytest.mark.parametrize("cause", ["delays", "coupling"])
def test_truth_names_the_channels_that_hold_the_cause(made, cause):
    assert made[cause]["truth"].dims == ("channel",)
    np.testing.assert_array_equal(made[cause]["truth"], (made[cause]["cause"] != 0).any(("trial", "time")))
    assert int(made[cause]["truth"].sum()) == 2


def test_truth_of_sources_holds_most_of_what_was_planted(made):
    data = made["sources"]
    cause = data["cause"].values.astype(float)
    peak = np.abs(cause).max((1, 2))
    strong = np.abs(cause).max(2) >= 0.25 * peak[:, None]
    lasts = (cause != 0).any(1)
    np.testing.assert_array_equal(data["truth"], strong[:, :, None] & lasts[:, None])
    assert ((cause**2 * data["truth"].values).sum((1, 2)) / (cause**2).sum((1, 2))).min() > 0.9
    assert data["truth"].isel(trial=data["label"].values == 0).any(("trial", "time")).sum() == 5
    c3, c4 = (data["truth"].sel(channel=name).any("time").values for name in ("C3", "C4"))
    np.testing.assert_array_equal(c3, data["label"] == 0)
    np.testing.assert_array_equal(c4, data["label"] == 1)


@pytest.mark.parametrize(("cause", "outside"), [("frequencies", 1e-3), ("coupling", 1e-10)])
def test_truth_in_frequency_holds_the_energy_of_the_cause(made, cause, outside):
    data = made[cause]
    frequency = data["frequency"]
    np.testing.assert_allclose(frequency, np.fft.rfftfreq(256, 1 / 128))
    assert frequency.attrs["units"] == "Hz"
    energy = np.abs(np.fft.rfft(data["cause"].values.astype(float))) ** 2
    truth = (
        data["truth_frequency"]
        .broadcast_like(data["cause"].isel(time=0, drop=True))
        .transpose("trial", "channel", "frequency")
    )
    missed = (energy * ~truth.values).sum((1, 2)) / energy.sum((1, 2))
    assert missed.max() < outside


def test_frequencies_are_10_and_20_hz_with_equal_energy(made):
    data = made["frequencies"]
    centre = (data["truth_frequency"] * data["frequency"]).sum(("channel", "frequency")) / data["truth_frequency"].sum(
        ("channel", "frequency")
    )
    np.testing.assert_allclose(centre, np.where(data["label"] == 1, 20, 10), atol=1e-9)
    energy = (data["cause"].astype(float) ** 2).sum(("channel", "time"))
    np.testing.assert_allclose(energy, energy[0], rtol=1e-5)


def test_bumps_of_both_classes_have_the_same_spectrum_amplitudes_and_latency(made):
    data = made["transients"]
    bump, label = data["cause"].sel(channel="c2").values.astype(float), data["label"].values
    spectrum = np.abs(np.fft.rfft(bump))
    np.testing.assert_allclose(spectrum, np.broadcast_to(spectrum[0], spectrum.shape), atol=1e-4)
    amplitudes = np.sort(bump, axis=1)
    np.testing.assert_allclose(amplitudes, np.broadcast_to(amplitudes[0], amplitudes.shape), atol=1e-5)
    centre = (bump * np.arange(256)).sum(1) / bump.sum(1)
    assert alike(centre[label == 0], centre[label == 1])
    for number in (0, 1):
        assert abs(centre[label == number].min() - centre.min()) < 6
        assert abs(centre[label == number].max() - centre.max()) < 6
    # The classes differ in nothing but the direction of time.
    one, other = (bump[label == number][0] for number in (0, 1))
    np.testing.assert_allclose(one[one != 0], other[other != 0][::-1], atol=1e-6)


@pytest.mark.parametrize("cause", ["delays", "coupling"])
def test_each_channel_alone_and_each_instant_alone_tell_nothing(made, cause):
    data = made[cause]
    values, label = data["cause"].values.astype(float), data["label"].values
    spectrum = np.abs(np.fft.rfft(values)) ** 2
    assert alike(spectrum[label == 0], spectrum[label == 1]).all()
    products = np.einsum("tis,tjs->tij", values, values)
    assert alike(products[label == 0], products[label == 1]).all()
    assert alike(values[label == 0], values[label == 1]).all()


def test_delay_is_that_of_one_course_behind_the_other(made):
    data = made["delays"]
    first, second = (data["cause"].sel(channel=name).values for name in ("c2", "c5"))
    lag = 4
    for trial, label in enumerate(data["label"].values):
        ahead, behind = (first, second) if label == 0 else (second, first)
        # Each is scaled to a mean square of 1 over its own stretch of the source.
        correlation = np.corrcoef(ahead[trial, :-lag], behind[trial, lag:])[0, 1]
        assert correlation > 1 - 1e-6


def test_either_channel_of_the_distractor_comes_first_in_both_classes(made, undistracted):
    other = (made["delays"]["signal"] - undistracted["delays"]["signal"]).astype(float)
    first, second = (other.sel(channel=name).values for name in ("c4", "c7"))
    ahead = (first[:, :-4] * second[:, 4:]).mean(1) > (second[:, :-4] * first[:, 4:]).mean(1)
    for number in (0, 1):
        assert 0.4 < ahead[made["delays"]["label"].values == number].mean() < 0.6


def test_fast_rhythm_is_strong_at_peaks_or_in_troughs_of_the_slow_one(made, undistracted):
    data = made["coupling"]
    slow, fast = (data["cause"].sel(channel=name).values.astype(float) for name in ("c3", "c6"))
    together = (slow * fast**2).mean(1)
    label = data["label"].values
    assert together[label == 0].min() > 0
    assert together[label == 1].max() < 0
    # In the distractor there is no such rule.
    other = (data["signal"] - undistracted["coupling"]["signal"]).values.astype(float)
    together = (other[:, 0] * other[:, 7] ** 2).mean(1)
    assert alike(together[label == 0], together[label == 1])


def test_potentials_mirror_each_other_and_fall_with_distance():
    places = np.array(list(ELECTRODES.values()))
    names = list(ELECTRODES)
    assert len(names) == 19
    left, right = potential((-0.4, 0.0)), potential((0.4, 0.0))
    mirrored = [int(np.linalg.norm(places * [-1, 1] - place, axis=1).argmin()) for place in places]
    np.testing.assert_allclose(left, right[mirrored], atol=1e-12)
    assert names[left.argmax()] == "C3"
    assert left.max() == 1
    distance = np.linalg.norm(places - [-0.4, 0.0], axis=1)
    assert (np.diff(left[np.argsort(distance)]) <= 1e-12).all()
    assert places[names.index("Fp1")][0] < 0 < places[names.index("Fp1")][1]
    assert places[names.index("T8")] == pytest.approx([0.8, 0])


def test_polarity_of_sources_is_either_in_both_classes(made):
    data = made["sources"]
    mean = data["cause"].values.astype(float)
    # The first half wave at the strongest electrode.
    sign = np.sign([trial[np.abs(trial).max(1).argmax()][lasts][:8].sum() for trial, lasts in _waves(mean)])
    for number in (0, 1):
        assert 0.35 < (sign[data["label"].values == number] > 0).mean() < 0.65


def _waves(values):
    return [(trial, (trial != 0).any(0)) for trial in values]


@each_cause
@pytest.mark.parametrize("noise", ["pink", "ar"])
def test_classical_detector_finds_the_cause_and_nothing_without_it(cause, noise):
    data = synthetic.make(cause, 1200, seed=5, noise=noise)
    detect = getattr(detectors, cause)
    label = data["label"].values
    assert accuracy(detect(data, data["signal"].values.astype(float)), label) > 0.75
    assert abs(accuracy(detect(data, (data["signal"] - data["cause"]).values.astype(float)), label) - 0.5) < 0.05


@each_cause
def test_other_lengths_and_rates_hold_the_same_cause(cause):
    data = synthetic.make(cause, 240, samples=501, rate=250.0, subjects=3, seed=2)
    assert data.sizes["time"] == 501
    assert len(np.unique(data["subject"])) == 3
    score = getattr(detectors, cause)(data, data["signal"].values.astype(float))
    assert accuracy(score, data["label"].values) > 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cause": "harmonics"}, "Cause 'harmonics' is unknown; choose one of transients, .*sources"),
        ({"noise": "white"}, "Noise 'white' is unknown; choose one of pink, ar"),
        ({"trials": 20}, "Found 20 trials of 12 subjects; expected"),
        ({"subjects": 1}, "Found 2400 trials of 1 subjects; expected two"),
        ({"rate": 100.0}, "Found 256 samples at 100 per second; expected a second at least and more than 120"),
        ({"samples": 100}, "Found 100 samples at 128 per second"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic.make(**{"cause": "delays", **arguments})


def test_net_that_has_not_learnt_is_refused():
    data = synthetic.make("coupling", 120)
    with pytest.raises(ValueError, match=r"classes of coupling with accuracy \d+%, less than the 90% asked for"):
        synthetic.learn(data, epochs=1)


def test_held_out_subjects_are_others_and_randomness_is_left_alone():
    data = synthetic.make("delays", 120, snr=10.0)
    state = torch.random.get_rng_state()
    learned = synthetic.learn(data, epochs=2, minimum=0.0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not set(learned.train["subject"].values) & set(learned.test["subject"].values)
    assert learned.train.sizes["trial"] + learned.test.sizes["trial"] == 120
    assert len(np.unique(learned.test["subject"])) == 4
    assert not learned.model.training
    with torch.no_grad():
        output = learned.model(torch.as_tensor(learned.test["signal"].values))
    torch.testing.assert_close(output[:, 0], -output[:, 1], rtol=1e-4, atol=1e-4)
    again = synthetic.learn(data, epochs=2, minimum=0.0)
    other = synthetic.learn(data, epochs=2, minimum=0.0, seed=1)
    weights = [next(iter(found.model.parameters())) for found in (learned, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_accuracy_is_that_of_the_held_out_trials_and_another_net_may_be_given():
    data = synthetic.make("sources", 120)
    given = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(19 * 256, 2))
    learned = synthetic.learn(data, model=given, epochs=1, minimum=0.0)
    assert learned.model is given
    for signal, expected in (
        (learned.test["signal"], learned.accuracy),
        (learned.test["signal"] - learned.test["cause"], learned.without),
    ):
        with torch.no_grad():
            said = given(torch.as_tensor(signal.values)).argmax(1).numpy()
        assert np.mean(said == learned.test["label"].values) == expected


@pytest.mark.slow
@each_cause
def test_net_learns_the_cause_and_nothing_else(cause):
    data = synthetic.make(cause, seed=11)
    learned = synthetic.learn(data, seed=11)
    assert learned.accuracy >= 0.9
    assert abs(learned.without - 0.5) < 0.1
    removed = data.assign(signal=data["signal"] - data["cause"]).isel(trial=slice(1200))
    assert abs(synthetic.learn(removed, seed=11, minimum=0.0).accuracy - 0.5) < 0.1
