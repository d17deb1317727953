import numpy as np
import pytest
import xarray as xr
from reference.audio_masking import Weighted, explained, masked_outputs

from signalrp.domains.audio import masking
from signalrp.domains.audio.masking import mask_clips, mask_pieces, mask_spectrogram, mask_waveform
from signalrp.domains.audio.silence import shuffled_among_equals
from signalrp.inspection import DFT

DIMS = ("trial", "channel", "time")


@pytest.fixture
def raw():
    """Eight clips of 400 samples at 1 kHz between zeros, and a net that sums them with weights."""
    rng = np.random.default_rng(0)
    values = np.zeros((8, 1, 400))
    for trial in range(8):
        values[trial, 0, 20 * trial : 20 * trial + 200] = rng.standard_normal(200)
    weights = rng.standard_normal((1, 400))
    time = ("time", np.arange(400) / 1000, {"units": "s"})
    return Weighted(weights).eval(), explained(values, weights, {"time": time, "channel": ["mono"]}, DIMS), weights


@pytest.fixture
def pictures():
    """Six pictures of 8 frequencies and 10 frames in dB below a maximum, with a floor in each."""
    rng = np.random.default_rng(1)
    values = np.maximum(rng.uniform(-60, 0, (6, 1, 8, 10)), -50.0 + np.arange(6)[:, None, None, None])
    weights = rng.standard_normal((1, 8, 10))
    coords = {
        "channel": ["mono"], "frequency": np.arange(8) * 500.0,
        "frame": ("frame", np.arange(10) * 0.04, {"units": "s"}),
    }  # fmt: skip
    dims = ("trial", "channel", "frequency", "frame")
    return Weighted(weights).eval(), explained(values, weights, coords, dims), weights


def test_samples_are_set_to_zero_in_the_order_of_relevance_and_of_amplitude(raw):
    net, explanation, weights = raw
    curves = mask_waveform(net, explanation, fractions=(0, 0.01, 0.1, 0.3, 0.9))
    assert curves["order"].values.tolist() == ["relevance", "equal amplitude", "amplitude", "random"]
    assert curves.attrs["removed"] == "samples"
    np.testing.assert_allclose(curves["step"], [0, 1, 10, 30, 90])
    values, counts = explanation["signal"].values, (0, 4, 40, 120, 360)
    for order, scores in {"relevance": explanation["relevance"].values, "amplitude": abs(values)}.items():
        expected = masked_outputs(values, weights, scores, 0.0, counts)
        np.testing.assert_allclose(curves["output"].sel(order=order).values[0], expected, atol=1e-10)


@pytest.mark.filterwarnings("ignore:All trials have the label")
def test_random_order_wastes_no_step_on_silence(raw):
    net, explanation, _ = raw
    curves = mask_waveform(net, explanation, fractions=(0.5,), repeats=3)
    np.testing.assert_allclose(curves["output"].isel(step=-1), 0, atol=1e-10)
    # and of a single clip, half of which is silent
    alone = mask_waveform(net, explanation.isel(trial=[3]), fractions=(0.001, 0.25, 0.6, 0.8))
    np.testing.assert_allclose(alone["step"], [0, 0.1, 25, 60, 80])
    np.testing.assert_allclose(alone["output"].isel(step=[3, 4]), 0, atol=1e-10)
    np.testing.assert_allclose(alone["output"].isel(step=1), alone["initial_output"].values[0])


def test_bins_are_set_to_the_floor_of_their_clip(pictures):
    net, explanation, weights = pictures
    values, counts = explanation["signal"].values, (0, 4, 24)
    for silence in (None, -70.0):
        curves = mask_spectrogram(net, explanation, silence=silence, fractions=(0.05, 0.3))
        floor = values.min((1, 2, 3), keepdims=True) if silence is None else silence
        for order, scores in {"relevance": explanation["relevance"].values, "amplitude": values - floor}.items():
            expected = masked_outputs(values, weights, scores, silence, counts)
            np.testing.assert_allclose(curves["output"].sel(order=order).values[0], expected, atol=1e-9)
    assert curves.attrs["fill"] == "silence"
    assert curves.attrs["removed"] == "bins"


def test_power_is_silent_at_zero(pictures):
    net, explanation, weights = pictures
    values = explanation["signal"].values + 60
    louder = explained(
        values, weights, dict(explanation.drop_vars(["label", "subject", "trial"]).coords), explanation["signal"].dims
    )
    curves = mask_spectrogram(net, louder, fractions=(0.05,))
    assert curves.attrs["fill"] == "zero"
    expected = masked_outputs(values, weights, louder["relevance"].values, 0.0, (0, 4))
    np.testing.assert_allclose(curves["output"].sel(order="relevance").values[0], expected, atol=1e-9)


@pytest.mark.filterwarnings("ignore:All trials have the label")
def test_many_trials_are_masked_in_parts(raw, monkeypatch):
    net, explanation, _ = raw
    whole = mask_waveform(net, explanation)
    monkeypatch.setattr(masking, "_VALUES", 4 * 400)
    parts = mask_waveform(net, explanation)
    for order in ("relevance", "amplitude"):
        np.testing.assert_array_equal(parts["output"].sel(order=order), whole["output"].sel(order=order))
    assert parts["subject"].values.tolist() == whole["subject"].values.tolist()
    assert parts.attrs == whole.attrs


def test_windows_of_sound_are_removed_one_by_one(raw):
    net, explanation, weights = raw
    curves = mask_pieces(net, explanation, ms=50)["windows"]
    np.testing.assert_array_equal(curves["step"], [0, 1, 2, 3, 4])
    few = mask_pieces(net, explanation.isel(trial=slice(0, 2)), ms=150)["windows"]
    np.testing.assert_array_equal(few["step"], [0, 1, 2])
    np.testing.assert_allclose(few["output"].isel(step=2), 0, atol=1e-10)
    assert curves["step"].attrs["units"] == "segments"
    values, relevance = explanation["signal"].values, explanation["relevance"].values
    for trial in range(8):
        left = values[trial, 0].copy()
        sums = [
            relevance[trial, 0, 50 * n : 50 * n + 50].sum() if left[50 * n : 50 * n + 50].any() else -np.inf
            for n in range(8)
        ]
        sign = 1 if explanation["target"].values[trial] == 0 else -1
        for step, window in enumerate([None, *np.argsort(sums)[::-1][:4]]):
            if window is not None:
                left[50 * window : 50 * window + 50] = 0
            found = curves["output"].sel(order="relevance").isel(step=step, trial=trial).item()
            assert found == pytest.approx(sign * (left * weights[0]).sum(), abs=1e-10)


def test_bands_of_waveforms_are_removed_from_their_spectrum(raw):
    net, explanation, weights = raw
    bands = {"low": (0.0, 100.0), "high": (100.0, np.inf), "none": (600.0, 700.0)}
    curves = mask_pieces(net, explanation, bands=bands)["bands"]
    assert curves.attrs["basis"] == repr(DFT(dim="time"))
    values = explanation["signal"].values[:, 0]
    spectrum = np.fft.rfft(values)
    low = np.fft.irfft(np.where(np.fft.rfftfreq(400, 1e-3) < 100, spectrum, 0), 400)
    sign = np.where(explanation["target"].values == 0, 1, -1)
    of_low, of_high = sign * (low @ weights[0]), sign * ((values - low) @ weights[0])
    found = curves["output"].sel(order="relevance").values[0, 1]
    np.testing.assert_allclose(found, np.minimum(of_low, of_high), atol=1e-9)


def test_harmonics_and_their_control_hold_as_many_bins(raw, pictures):
    net, explanation, weights = raw
    f0 = xr.DataArray(np.full(8, 50.0), dims="trial")
    curves = mask_pieces(net, explanation, f0=f0)["harmonics"]
    spectrum, frequency = np.fft.rfft(explanation["signal"].values[:, 0]), np.fft.rfftfreq(400, 1e-3)
    sign = np.where(explanation["target"].values == 0, 1, -1)
    for name, shift in {"harmonics": 0.0, "between": 25.0}.items():
        near = [any(abs(f - n * 50 - shift) <= 3.75 for n in range(1, 20)) for f in frequency]
        left = np.fft.irfft(np.where(near, 0, spectrum), 400)
        np.testing.assert_allclose(curves["output"].sel(order=name).values[0, 1], sign * (left @ weights[0]), atol=1e-9)
    tracked = xr.DataArray(np.full((8, 4), 100.0), {"frame": [0.05, 0.15, 0.25, 0.35]}, ("trial", "frame"))
    assert "STFT" in mask_pieces(net, explanation, f0=tracked)["harmonics"].attrs["basis"]


def test_pieces_of_pictures_are_silenced_where_they_lie(pictures):
    net, explanation, weights = pictures
    bands = {"low": (0.0, 1000.0), "high": (1000.0, np.inf)}
    curves = mask_pieces(net, explanation, bands=bands)["bands"]
    values, relevance = explanation["signal"].values, explanation["relevance"].values
    for trial in range(6):
        left = values[trial].copy()
        lower = relevance[trial, 0, :2].sum() > relevance[trial, 0, 2:].sum()
        left[0, slice(0, 2) if lower else slice(2, 8)] = left.min()
        sign = 1 if explanation["target"].values[trial] == 0 else -1
        found = curves["output"].sel(order="relevance").values[0, 1, trial]
        assert found == pytest.approx(sign * (left * weights).sum(), abs=1e-9)


def test_equal_amplitude_keeps_relevance_among_its_neighbours_in_loudness():
    rng = np.random.default_rng(0)
    level = rng.random((2, 1, 50))
    relevance = rng.random((2, 1, 50))
    found = shuffled_among_equals(relevance, level, rng)
    assert not np.array_equal(found, relevance)
    for trial in range(2):
        loudest = np.argsort(-level[trial, 0])
        for start in (0, 20, 40):
            group = loudest[start : start + 20]
            np.testing.assert_array_equal(np.sort(found[trial, 0, group]), np.sort(relevance[trial, 0, group]))


def test_everything_at_once_and_errors(raw, pictures):
    assert list(mask_clips(raw[0], raw[1])) == ["samples", "windows", "bands"]
    assert list(mask_clips(pictures[0], pictures[1])) == ["bins", "windows", "bands"]
    with pytest.raises(ValueError, match="one above 0"):
        mask_waveform(raw[0], raw[1], fractions=(0.0, 5.0))
    with pytest.raises(ValueError, match="use mask_spectrogram"):
        mask_waveform(pictures[0], pictures[1])
    with pytest.raises(ValueError, match="use mask_waveform"):
        mask_spectrogram(raw[0], raw[1])
    with pytest.raises(ValueError, match="per_unit=True"):
        mask_pieces(raw[0], raw[1].drop_vars("per_unit"))
