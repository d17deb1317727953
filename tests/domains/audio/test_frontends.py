from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.stft_dense import decibels, hann, stft_power, stft_relevance
from torch import nn

import signalrp
from signalrp.domains.audio.becker import BeckerSpectrogram
from signalrp.domains.audio.data import from_arrays
from signalrp.domains.audio.datasets import digits
from signalrp.domains.audio.frontends import LogPower, MelSpectrogram, Spectrogram

RATE = 8000


def noise(trials=2, channels=1, samples=700, seed=0, scale=0.1):
    return np.random.default_rng(seed).normal(scale=scale, size=(trials, channels, samples))


def heard(front_end, values):
    return front_end(torch.from_numpy(values)).numpy()


def labelled(values):
    return from_arrays(values.astype(np.float32), RATE, [0, 1] * (len(values) // 2), ["a"] * len(values))


def net_of(classes=3, seed=0):
    """A small net for pictures, float64."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)
    ).double().eval()  # fmt: skip


# Equal to librosa, scipy and loops


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize(("n_fft", "win_length", "window"), [(64, 64, "hann"), (91, 60, "hamming"), (100, 77, "hann")])
def test_spectrograms_are_those_of_librosa(n_fft, win_length, window, power, center):
    x = noise(channels=2)
    front_end = Spectrogram(RATE, n_fft, 17, win_length=win_length, window=window, center=center, power=power)
    spectrum = librosa.stft(x, n_fft=n_fft, hop_length=17, win_length=win_length, window=window, center=center)
    np.testing.assert_allclose(heard(front_end, x), np.abs(spectrum) ** power, rtol=1e-12, atol=1e-14)


@given(
    n_fft=st.integers(2, 70),
    hop=st.integers(1, 90),
    extra=st.integers(0, 200),
    center=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=60)
def test_shapes_and_powers_are_those_of_the_loop(n_fft, hop, extra, center, seed):
    x = noise(1, 1, n_fft + extra, seed)
    front_end = Spectrogram(RATE, n_fft, hop, center=center)
    expected = stft_power(x[0, 0], n_fft, hop, hann(n_fft), center)
    found = heard(front_end, x)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-9, atol=1e-14)
    assert found.shape[2:] == (len(front_end.frequencies()), len(front_end.instants(n_fft + extra)))


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("edges", [{}, {"fmin": 120.0, "fmax": 3500.0}])
def test_mel_bands_are_those_of_librosa(edges, power):
    x = noise()
    front_end = MelSpectrogram(RATE, 256, 50, 20, power=power, **edges)
    expected = librosa.feature.melspectrogram(
        y=x, sr=RATE, n_fft=256, hop_length=50, n_mels=20, power=power, dtype=np.float64, **edges
    )
    np.testing.assert_allclose(heard(front_end, x), expected, rtol=1e-12, atol=1e-16)
    filters = librosa.filters.mel(sr=RATE, n_fft=256, n_mels=20, dtype=np.float64, **edges)
    # The centre that is named lies between the two frequencies around the top of its filter.
    assert (abs(filters.argmax(1) * RATE / 256 - front_end.frequencies()) <= RATE / 256).all()


@pytest.mark.parametrize("ref", [1.0, 1e-3, "max"])
@pytest.mark.parametrize("top_db", [80.0, 25.0, None])
@pytest.mark.parametrize("amin", [1e-10, 1e-4])
def test_decibels_are_those_of_librosa_trial_by_trial(ref, top_db, amin):
    x = noise(3, 2, scale=1.0) * np.array([1.0, 1e-3, 0.0])[:, None, None]
    power = heard(Spectrogram(RATE, 64, 16), x)
    found = heard(LogPower(Spectrogram(RATE, 64, 16), ref=ref, amin=amin, top_db=top_db), x)
    for trial in range(3):
        reference = np.max if ref == "max" else ref
        expected = librosa.power_to_db(power[trial], ref=reference, amin=amin, top_db=top_db)
        np.testing.assert_allclose(found[trial], expected, rtol=0, atol=1e-11)
        np.testing.assert_allclose(found[trial], decibels(power[trial], ref, amin, top_db), rtol=0, atol=1e-11)


def test_silence_as_reference_is_zero_and_only_shifts():
    x = noise(2) * np.array([1.0, 0.0])[:, None, None]
    inner = MelSpectrogram(RATE, 256, 50, 20)
    found = heard(LogPower(inner, ref="silence"), x)
    assert found.min() == 0
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_allclose(found[0], heard(LogPower(inner, ref="max"), x)[0] + 80, atol=1e-11)


def paper(samples):
    """The spectrogram of the paper, step by step with scipy and librosa, from 16-bit numbers."""
    _, _, spectrum = scipy.signal.stft(samples * 32768.0, RATE, nperseg=455, noverlap=420, window="hann")
    assert spectrum.shape == (228, 230)
    return librosa.amplitude_to_db(np.abs(spectrum[0:227, 2:-1]), ref=np.max)


def test_the_spectrogram_of_the_paper_element_by_element():
    x = noise(4, 1, 8000) * np.array([1.0, 1e-4, 1e-7, 0.0])[:, None, None]
    x[0, 0, 3000:] = 0
    found = heard(BeckerSpectrogram(), x)
    assert found.shape == (4, 1, 227, 227)
    for trial in range(4):
        np.testing.assert_allclose(found[trial, 0], paper(x[trial, 0]), rtol=0, atol=1e-9)
    np.testing.assert_allclose(heard(BeckerSpectrogram("silence"), x)[0], found[0] + 80, atol=1e-9)


def test_the_spectrogram_of_the_paper_on_real_speech(shared_data):
    signal = digits().isel(trial=[0, 1234, 2908])
    picture = BeckerSpectrogram().apply_to(signal.astype(np.float64))
    for trial in range(3):
        expected = paper(signal.values[trial, 0].astype(np.float64))
        np.testing.assert_allclose(picture.values[trial, 0], expected, rtol=0, atol=1e-9)
    assert picture["file"].values.tolist() == signal["file"].values.tolist()
    np.testing.assert_allclose(picture["frequency"].values[[0, -1]], [0, 226 * RATE / 455])
    # In single precision the same to a thousandth of a dB, but where next to nothing is left of the signal.
    single = BeckerSpectrogram().apply_to(signal)
    loud = picture.values > -60
    assert abs(single.values - picture.values)[loud].max() < 1e-3


# Labels


def test_pictures_know_frequency_and_time():
    time = np.arange(4000) / RATE
    tone = np.zeros((2, 1, 4000))
    tone[:, 0, 2000:2400] = np.sin(2 * np.pi * 1000 * time[2000:2400]) * np.hanning(400)
    signal = labelled(tone)
    for center in (True, False):
        picture = Spectrogram(RATE, 256, 20, center=center).apply_to(signal)
        assert picture.dims == ("trial", "channel", "frequency", "frame")
        loudest = picture[0, 0].where(picture[0, 0] == picture[0, 0].max(), drop=True)
        assert loudest["frequency"].item() == 1000
        # The middle of the tone, to half a hop.
        assert abs(loudest["frame"].item() - 2199.5 / RATE) <= 10.5 / RATE
        assert (picture["frequency"].attrs["units"], picture["frame"].attrs["units"]) == ("Hz", "s")
    assert picture["label"].values.tolist() == [0, 1]
    assert picture.attrs["classes"] == "0 | 1"
    assert LogPower(Spectrogram(RATE, 256, 20)).apply_to(signal).attrs["units"] == "dB"


def test_pictures_begin_when_the_signal_does_and_do_not_depend_on_batches():
    signal = labelled(noise(4))
    later = signal.assign_coords(time=signal["time"] + 2.0)
    later["time"].attrs["units"] = "s"
    front_end = MelSpectrogram(RATE, 256, 50, 20)
    assert front_end.apply_to(later)["frame"].values[0] == 2.0
    np.testing.assert_array_equal(front_end.apply_to(signal, batch_size=3).values, front_end.apply_to(signal).values)
    mixed = front_end.apply_to(signal.transpose("time", "trial", "channel"))
    np.testing.assert_array_equal(mixed.values, front_end.apply_to(signal).values)


def test_front_ends_have_nothing_to_save_and_stay_exact_in_a_model_of_single_precision():
    model = nn.Sequential(MelSpectrogram(RATE, 256, 50, 20), nn.Flatten()).float().double()
    assert not model.state_dict()
    expected = librosa.feature.melspectrogram(y=noise(), sr=RATE, n_fft=256, hop_length=50, n_mels=20, dtype=np.float64)
    np.testing.assert_allclose(heard(model, noise()), expected.reshape(2, -1), rtol=1e-12)


# Relevance


FRONT_ENDS = {
    "power": Spectrogram(RATE, 64, 16),
    "magnitude": Spectrogram(RATE, 64, 16, power=1.0, center=False),
    "mel": MelSpectrogram(RATE, 64, 16, 8),
    "dB below the loudest": LogPower(Spectrogram(RATE, 64, 16), ref="max"),
    "dB above silence": LogPower(MelSpectrogram(RATE, 64, 16, 8), ref="silence"),
    "dB, few": LogPower(Spectrogram(RATE, 64, 16), ref=1.0, top_db=20.0),
}


@pytest.mark.parametrize("composite", ["epsilon-plus", "epsilon", "epsilon-plus-flat", "epsilon-alpha2-beta1"])
@pytest.mark.parametrize("name", FRONT_ENDS)
def test_relevance_is_conserved_down_to_the_waveform(name, composite):
    front_end = FRONT_ENDS[name]
    model = nn.Sequential(front_end, net_of()).eval()
    result = signalrp.attribute(model, torch.from_numpy(noise()), composite=composite, audit=True)
    explained = result.output.gather(1, result.target[:, None])[:, 0]
    torch.testing.assert_close(explained, result.relevance.sum((1, 2)) + result.absorbed, rtol=1e-9, atol=1e-10)
    # No rule for layers of a model is used for a front end.
    assert set(result.ledger.loc[result.ledger["module"].str.startswith("0"), "rule"]) == {""}


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_powers_hand_relevance_to_samples_as_the_loop_does(scale):
    x = noise(1, 1, 300, scale=scale)
    front_end = Spectrogram(RATE, 32, 12)
    net = net_of()
    at_picture = signalrp.attribute(net, front_end(torch.from_numpy(x)), 1)
    at_samples = signalrp.attribute(nn.Sequential(front_end, net).eval(), torch.from_numpy(x), 1)
    expected = stft_relevance(x[0, 0], 32, 12, hann(32), at_picture.relevance.numpy()[0, 0])
    np.testing.assert_allclose(at_samples.relevance.numpy()[0, 0], expected, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_mel_bands_share_by_power_however_quiet(scale):
    x = torch.from_numpy(noise(1, 1, 300, scale=scale))
    mel, plain = MelSpectrogram(RATE, 64, 16, 8), Spectrogram(RATE, 64, 16)
    power, filters = plain(x), mel.filters
    net = net_of()
    at_bands = signalrp.attribute(net, filters @ power, 0).relevance
    shares = filters[:, :, None] * power[0, 0] / (filters @ power[0, 0])[:, None]
    expected = (shares * at_bands[0, 0][:, None]).sum(0)
    seen = signalrp.attribute(nn.Sequential(mel, net).eval(), x, 0).relevance
    by_loop = stft_relevance(x[0, 0].numpy(), 64, 16, hann(64), expected.numpy())
    np.testing.assert_allclose(seen[0, 0], by_loop, rtol=1e-8, atol=1e-16)


@pytest.mark.parametrize("ref", ["max", "silence", 1.0])
def test_decibels_hand_on_what_is_above_silence_and_nothing_to_silence(ref):
    x = torch.from_numpy(noise(1, 1, 300))
    plain, logarithm = Spectrogram(RATE, 32, 12), LogPower(Spectrogram(RATE, 32, 12), ref=ref, top_db=15.0)
    net = net_of()
    at_picture = signalrp.attribute(net, logarithm(x), 2)
    power = plain(x)
    above = (10 * torch.log10(power / (power.max() * 10**-1.5))).clamp_min(0)
    relevance = at_picture.relevance / logarithm(x) * above
    if ref == "silence":
        torch.testing.assert_close(relevance.nan_to_num(0), at_picture.relevance, rtol=1e-9, atol=1e-12)
    quiet = above[0, 0] == 0
    assert 0.05 < quiet.double().mean() < 0.95
    # 0 dB has no relevance in the picture, wherefore the quotient is not to be had for the loudest bin.
    known = relevance[0, 0].nan_to_num(0)
    known[quiet] = 0
    found = signalrp.attribute(nn.Sequential(logarithm, net).eval(), x, 2).relevance
    if ref == "max":
        at = torch.unravel_index(power[0, 0].argmax(), power.shape[2:])
        one = signalrp.attribute(net, logarithm(x) + 1e-9, 2).relevance / (logarithm(x) + 1e-9)
        known[at] = (one * above)[0, 0][at]
    expected = stft_relevance(x[0, 0].numpy(), 32, 12, hann(32), known.numpy())
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_derivatives_are_those_of_differences(name):
    front_end = FRONT_ENDS[name]
    x = torch.from_numpy(noise(1, 1, 200)).requires_grad_()
    picture = front_end(x)
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=tuple(picture.shape)))
    if name == "dB, few":
        # Where a fixed reference meets a floor that follows the loudest bin, the floor counts as constant.
        weights = weights * (picture.detach() > picture.detach().min())
    (gradient,) = torch.autograd.grad((picture * weights).sum(), x)
    step = 1e-6 * torch.from_numpy(np.random.default_rng(4).normal(size=tuple(x.shape)))
    with torch.no_grad():
        difference = ((front_end(x + step) - front_end(x - step)) * weights).sum() / 2
    torch.testing.assert_close((gradient * step).sum(), difference, rtol=1e-5, atol=1e-10)


def test_explanations_reach_the_waveform_or_stop_at_the_picture(shared_data):
    signal = digits().isel(trial=slice(0, 3000, 600))
    front_end = BeckerSpectrogram("silence")
    net = net_of(10).float()
    stopped = signalrp.explain(net, front_end.apply_to(signal), audit=True)
    reached = signalrp.explain(nn.Sequential(front_end, net).eval(), signal, audit=True)
    np.testing.assert_allclose(stopped["output"], reached["output"], rtol=1e-4)
    assert stopped["relevance"].dims == ("trial", "channel", "frequency", "frame")
    assert stopped["relevance"]["frequency"].attrs["units"] == "Hz"
    sums = [
        one["relevance"].sum([dim for dim in one["relevance"].dims if dim != "trial"]) for one in (stopped, reached)
    ]
    # dB above silence lose nothing on the way to the waveform.
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-3)
    np.testing.assert_allclose(sums[1] + reached["absorbed"], reached["explained"], rtol=1e-4)
    # Zeros around a recording have no relevance.
    for trial in range(signal.sizes["trial"]):
        outside = np.ones(8000, dtype=bool)
        first = int(signal["offset"][trial])
        outside[first : first + int(signal["samples"][trial])] = False
        assert not reached["relevance"].values[trial, 0, outside].any()


# Errors


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Spectrogram(RATE, 64, 0), "hop=0"),
        (lambda: Spectrogram(RATE, 64, 16, win_length=65), "win_length=65, n_fft=64"),
        (lambda: Spectrogram(RATE, 64, 16, power=3.0), "not 3.0"),
        (lambda: MelSpectrogram(RATE, 64, 16, 40), "bands lie between two frequencies"),
        (lambda: MelSpectrogram(RATE, 64, 16, 8, fmax=5000.0), "fmax <= 4000 Hz; got 8, 0 and 5000"),
        (lambda: LogPower(Spectrogram(RATE, 64, 16, power=1.0)), "power=2.0"),
        (lambda: LogPower(LogPower(Spectrogram(RATE, 64, 16))), "power=2.0"),
        (lambda: LogPower(Spectrogram(RATE, 64, 16), ref="loudest"), "'loudest' is unknown"),
        (lambda: LogPower(Spectrogram(RATE, 64, 16), amin=0.0), "must be positive"),
        (lambda: heard(Spectrogram(RATE, 64, 16), noise()[0]), r"found the shape \(1, 700\)"),
        (
            lambda: heard(Spectrogram(RATE, 64, 16, center=False), noise(samples=63)),
            "63 samples is shorter than a frame",
        ),
        (lambda: Spectrogram(RATE, 64, 16, center=False).instants(63), "63 samples is shorter than a frame"),
        (lambda: heard(BeckerSpectrogram(), noise(samples=7999)), "that of 8000 samples, found 7999"),
        (lambda: Spectrogram(16000, 64, 16).apply_to(labelled(noise())), "8000 Hz where 16000 Hz are expected"),
    ],
)
def test_what_does_not_fit_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()
