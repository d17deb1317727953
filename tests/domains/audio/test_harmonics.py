from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.harmonic import on_harmonic, shares
from torch import nn

import signalrp
from signalrp.domains.audio import harmonics

SFREQ = 8000.0


def clips(values, sfreq=SFREQ, **trial):
    values = np.atleast_2d(np.asarray(values, dtype=np.float32))[:, None]
    coords = {"channel": ["mono"], "time": ("time", np.arange(values.shape[2]) / sfreq, {"units": "s"})}
    coords |= {name: ("trial", value) for name, value in trial.items()}
    return xr.DataArray(values, coords, ("trial", "channel", "time"), attrs={"units": "1", "sfreq": sfreq})


def complex_tone(f0, seconds=0.4, sfreq=SFREQ, highest=3500.0):
    time = np.arange(int(seconds * sfreq)) / sfreq
    return 0.2 * sum(np.sin(2 * np.pi * h * f0 * time + h) / h for h in range(1, int(highest / f0) + 1))


def explained(rng, trials=3, channels=2, bins=40, frames=5, spacing=31.25):
    dims = ("trial", "channel", "frequency", "frame")
    shape = (trials, channels, bins, frames)
    coords = {
        "frequency": ("frequency", np.arange(bins) * spacing, {"units": "Hz"}),
        "frame": ("frame", np.arange(frames) * 0.01, {"units": "s"}),
        "subject": ("trial", [f"s{trial}" for trial in range(trials)]),
    }
    signal = dims, rng.random(shape)
    # What an inspected explanation has besides is not looked at.
    return xr.Dataset({"relevance": (dims, rng.normal(size=shape)), "signal": signal, "waveform": 0}, coords)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 1, 3]), st.sampled_from([None, 10.0, 60.0]))
def test_shares_are_those_counted_bin_by_bin(seed, count, tolerance):
    rng = np.random.default_rng(seed)
    explanation = explained(rng)
    f0 = xr.DataArray(rng.uniform(70, 300, (3, 5)), {"frame": np.arange(5) * 0.01}, ("trial", "frame"))
    f0[0, 1:3] = np.nan
    found = harmonics.harmonic_share(explanation, f0, tolerance=tolerance, harmonics=count, combs=1)
    mask = harmonics.harmonic_mask(explanation, f0, tolerance=tolerance, harmonics=count)
    width = 1.5 * 31.25 if tolerance is None else tolerance
    for trial in range(3):
        expected = shares(
            explanation.relevance.values[trial], explanation.signal.values[trial] ** 2, explanation.frequency.values,
            f0.values[trial], width, count,
        )  # fmt: skip
        row = found.isel(trial=trial)
        np.testing.assert_allclose([row["share"], row["bins"], row["power"]], expected, atol=1e-12)
        assert float(row["voiced"]) == np.isfinite(f0.values[trial]).sum()
        for k, hertz in enumerate(explanation.frequency.values):
            for frame in range(5):
                assert bool(mask[trial, k, frame]) == on_harmonic(hertz, f0.values[trial, frame], width, count)
    assert found.subject.values.tolist() == ["s0", "s1", "s2"]


def test_relevance_on_a_comb_has_a_share_of_one_and_evenly_spread_relevance_that_of_the_bins():
    rng = np.random.default_rng(0)
    explanation = explained(rng, frames=1, bins=400, spacing=10.0).isel(frame=0, drop=True)
    f0 = [100.0, 200.0, 155.0]
    mask = harmonics.harmonic_mask(explanation, f0)
    assert mask.dims == ("trial", "frequency")
    on = explanation.assign(
        relevance=explanation.relevance.copy(data=np.broadcast_to(mask.values[:, None], (3, 2, 400)))
    )
    found = harmonics.harmonic_share(on * 1.0, f0)
    np.testing.assert_allclose(found["share"], 1)
    assert (found["shifted"] < 0.5).all()
    even = harmonics.harmonic_share(xr.ones_like(explanation), f0, combs=400)
    np.testing.assert_allclose(even["share"], even["bins"])
    np.testing.assert_allclose(even["shifted"], even["bins"], rtol=0.1)
    between = harmonics.harmonic_mask(explanation, f0, shift=0.5)
    assert not (between & mask).any()
    np.testing.assert_allclose(between.sum("frequency"), mask.sum("frequency"), rtol=0.1)


def test_highest_leaves_out_what_lies_above():
    explanation = explained(np.random.default_rng(1), bins=80)
    f0 = [120.0, 90.0, 200.0]
    cut = explanation.isel(frequency=explanation.frequency <= 1000)
    xr.testing.assert_identical(
        harmonics.harmonic_share(explanation, f0, highest=1000.0), harmonics.harmonic_share(cut, f0)
    )


def test_unvoiced_trials_and_those_without_positive_relevance_are_left_out():
    explanation = explained(np.random.default_rng(1))
    explanation["relevance"][2] = -1.0
    found = harmonics.harmonic_share(explanation, [np.nan, 100.0, 100.0])
    assert found["subject"].values.tolist() == ["s1"]
    with pytest.raises(ValueError, match="no trial has a voiced frame"):
        harmonics.harmonic_share(explanation, [np.nan] * 3)


def test_spectrograms_have_no_power_to_compare_with():
    explanation = explained(np.random.default_rng(1)).drop_vars("waveform")
    found = harmonics.harmonic_share(explanation, [100.0] * 3)
    assert "power" not in found
    assert [row for row in harmonics.harmonic_table(found).index if "power" in row] == []


def test_table_tells_a_planted_comb_from_chance():
    rng = np.random.default_rng(3)
    explanation = explained(rng, trials=20, bins=128)
    f0 = rng.uniform(150, 300, 20)
    mask = harmonics.harmonic_mask(explanation, f0).values[:, None]
    planted = explanation.assign(relevance=explanation.relevance.clip(min=0) + 2.0 * mask)
    table = harmonics.harmonic_table(harmonics.harmonic_share(planted, f0))
    for name in ("bins", "on shifted combs", "signal's power"):
        (row,) = [row for row in table.index if row.startswith("share - ") and name in row]
        assert table.loc[row, "low"] > 0.2
        assert table.loc[row, "p"] < 0.01
    chance = harmonics.harmonic_table(harmonics.harmonic_share(explanation, f0))
    assert abs(chance.loc["share - share of the bins", "estimate"]) < 0.02


def test_fundamental_of_complex_tones_and_of_noise():
    pytest.importorskip("librosa")
    f0 = [95.0, 140.0, 220.0]
    sounds = np.stack([complex_tone(hertz) for hertz in f0] + [np.random.default_rng(0).normal(size=3200) * 0.1])
    found = harmonics.fundamental(clips(sounds, subject=list("abcd")))
    assert found.dims == ("trial", "frame")
    np.testing.assert_allclose(found["frame"], np.arange(41) * 0.01)
    middle = found.sel(frame=slice(0.1, 0.3))
    np.testing.assert_allclose(middle[:3], np.repeat(np.array(f0)[:, None], middle.shape[1], 1), rtol=0.02)
    assert np.isnan(middle[3]).mean() > 0.5
    assert found["subject"].values.tolist() == list("abcd")


def test_raw_net_that_hears_a_band_is_seen_on_the_harmonics_in_it():
    """A filter around the third harmonic of 200 Hz: of the signal's components, it alone can be relevant."""
    time = np.arange(257) / SFREQ
    net = nn.Sequential(nn.Conv1d(1, 2, 257, bias=False), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval()
    wave = np.sin(2 * np.pi * 600 * time) * np.hanning(257)
    net[0].weight.data = torch.tensor(np.stack([wave, np.zeros(257)])[:, None], dtype=torch.float32)
    rng = np.random.default_rng(0)
    sound = clips(complex_tone(200.0) + 0.02 * rng.normal(size=3200))
    explanation = signalrp.explain(net, sound, 0, "epsilon", per_unit=True)
    seen = signalrp.inspect(explanation, signalrp.DFT())
    found = harmonics.harmonic_share(seen, [200.0], tolerance=10.0)
    assert found["share"].item() > 0.95 > 0.2 > found["bins"].item()
    frames = signalrp.inspect(explanation, signalrp.STFT("hann", 512, 128))
    tracked = xr.DataArray(np.full((1, 41), 200.0), {"frame": np.arange(41) * 0.01}, ("trial", "frame"))
    assert harmonics.harmonic_share(frames, tracked)["share"].item() > 0.9


def test_nearest_f0_takes_the_frame_of_the_recording():
    f0 = xr.DataArray([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]], {"frame": [0.0, 0.1, 0.2]}, ("trial", "frame"))
    frames = xr.Dataset(coords={"recording": ("trial", [0, 1, 1]), "instant": ("trial", [0.09, 0.04, 0.3])})
    np.testing.assert_array_equal(harmonics.nearest_f0(f0, frames), [2.0, 4.0, np.nan])


def test_frames_of_padding_are_unvoiced():
    explanation = explained(np.random.default_rng(0), frames=5).assign_coords(frame=[-0.02, -0.01, 0.0, 0.01, 0.02])
    f0 = xr.DataArray(np.full((3, 2), 100.0), {"frame": [0.0, 0.01]}, ("trial", "frame"))
    mask = harmonics.harmonic_mask(explanation, f0)
    assert mask.any("frequency")[0].values.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        (lambda e: e.rename(frequency="bin"), {}, "no dimension 'frequency'"),
        (lambda e: e.drop_vars("relevance"), {}, "no relevance in frequency"),
        (lambda e: e, {"combs": 0}, "at least one shifted comb"),
        (lambda e: e, {"harmonics": 0}, "at least one harmonic"),
        (lambda e: e, {"tolerance": 0.0}, "above 0"),
        (lambda e: e.isel(trial=[0, 1]), {}, r"f0 has the shape \(3,\)"),
    ],
)
def test_bad_input_gets_one_sentence(change, choices, message):
    with pytest.raises(ValueError, match=message):
        harmonics.harmonic_share(change(explained(np.random.default_rng(0))), [100.0] * 3, **choices)


def test_f0_in_frames_needs_an_explanation_in_frames():
    explanation = explained(np.random.default_rng(0))
    f0 = xr.DataArray(np.full((3, 5), 100.0), {"frame": np.arange(5) * 0.01}, ("trial", "frame"))
    with pytest.raises(ValueError, match="the explanation has none"):
        harmonics.harmonic_share(explanation.isel(frame=0, drop=True), f0)
    with pytest.raises(ValueError, match="needs the coordinate 'frame'"):
        harmonics.harmonic_share(explanation, f0.values)


def test_fundamental_refuses_stereo_and_frames_too_short():
    pytest.importorskip("librosa")
    sound = clips(complex_tone(100.0))
    with pytest.raises(ValueError, match="one channel"):
        harmonics.fundamental(xr.concat([sound, sound], "channel"))
    with pytest.raises(ValueError, match="two periods of 65 Hz"):
        harmonics.fundamental(sound, length=0.02)
