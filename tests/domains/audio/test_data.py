from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from signalrp.domains.audio.checks import (
    clipped,
    require_length,
    require_mono,
    require_rate,
    require_values,
    sampling_rate,
)
from signalrp.domains.audio.data import classes_of, fitted, from_arrays


def clips(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, length).astype(np.float32) for length in lengths]


def test_arrays_become_a_labelled_signal(tmp_path):
    values = np.stack(clips(50, 50, 50))
    signal = from_arrays(values, 100, ["b", "a", "b"], ["x", "y", "x"], trial={"take": [1, 2, 3]}, title="toy")
    np.testing.assert_array_equal(signal.values[:, 0], values)
    assert signal.dtype == np.float32
    assert signal["label"].values.tolist() == [1, 0, 1]
    assert classes_of(signal) == ["a", "b"]
    assert signal["channel"].values.tolist() == ["mono"]
    np.testing.assert_allclose(signal["time"], np.arange(50) / 100)
    assert signal["time"].attrs["units"] == "s"
    assert signal["subject"].values.tolist() == signal["speaker"].values.tolist() == ["x", "y", "x"]
    assert signal["take"].values.tolist() == [1, 2, 3]
    assert (signal.attrs["units"], signal.attrs["sfreq"], signal.attrs["title"]) == ("1", 100.0, "toy")
    signal.to_netcdf(tmp_path / "toy.nc")
    xr.testing.assert_identical(xr.load_dataarray(tmp_path / "toy.nc").astype(signal.dtype), signal)


def test_labels_may_be_numbers_and_names_may_come_in_any_order():
    assert classes_of(from_arrays(clips(9, 9), 10, [0, 2])) == ["0", "1", "2"]
    signal = from_arrays(clips(9, 9), 10, ["up", "down"], classes=["up", "down", "left"])
    assert signal["label"].values.tolist() == [0, 1]
    plain = from_arrays(clips(9, 9), 10)
    assert "label" not in plain.coords
    assert plain["speaker"].values.tolist() == ["clip 0", "clip 1"]
    del signal.attrs["classes"]
    assert classes_of(signal) == ["0", "1"]


def test_stereo_keeps_both_channels():
    signal = from_arrays(np.stack(clips(20, 20)).reshape(1, 2, 20), 10)
    assert signal["channel"].values.tolist() == ["left", "right"]
    assert from_arrays(np.zeros((1, 3, 5)), 10)["channel"].values.tolist() == ["ch0", "ch1", "ch2"]


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), length=st.integers(1, 60), seed=st.integers(0, 99))
def test_every_clip_is_found_again_where_offset_and_samples_say(lengths, length, seed):
    given_clips = clips(*lengths, seed=seed)
    signal = from_arrays(given_clips, 10, length=length, shorter="random", longer="loudest", seed=seed)
    assert signal.shape == (len(lengths), 1, length)
    for row, clip, samples, offset in zip(
        signal.values[:, 0], given_clips, signal["samples"].values, signal["offset"].values, strict=True
    ):
        assert samples == len(clip)
        expected = np.zeros(length, dtype=np.float32)
        if offset >= 0 and samples <= length:
            expected[offset : offset + samples] = clip
        else:
            expected = clip[-offset : -offset + length]
        np.testing.assert_array_equal(row, expected)


@given(length=st.integers(1, 40), extra=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_loudest_stretch_is_that_of_the_loop(length, extra, seed):
    clip = np.random.default_rng(seed).normal(size=(2, length + extra)).astype(np.float32)
    kept, offset = fitted(clip, length, "raise", "loudest", np.random.default_rng(0))
    energies = [(clip[:, at : at + length].astype(float) ** 2).sum() for at in range(extra + 1)]
    assert energies[-offset] == pytest.approx(max(energies), rel=1e-12)
    np.testing.assert_array_equal(kept, clip[:, -offset : -offset + length])


def test_random_instants_come_from_the_seed_and_reach_both_ends():
    short = clips(*[7] * 200)
    first, again, other = (
        from_arrays(short, 10, length=10, shorter="random", seed=seed)["offset"].values for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert set(first) == {0, 1, 2, 3}
    ended = from_arrays(short, 10, length=10, shorter="end")
    assert not ended["offset"].values.any()
    assert not ended.values[:, 0, 7:].any()
    np.testing.assert_array_equal(from_arrays(clips(7), 10, length=5, longer="start").values[0, 0], short[0][:5])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: from_arrays([], 10), "no clips"),
        (lambda: from_arrays(clips(5, 6), 10), r"5 \(clip 0\) to 6 \(clip 1\) samples; pass length"),
        (lambda: from_arrays(clips(5, 9), 10, length=9), "clip 0 has 5 samples where 9 were asked; it is too short"),
        (lambda: from_arrays(clips(5, 9), 10, length=5), "clip 1 has 9 samples where 5 were asked; it is too long"),
        (lambda: from_arrays(clips(5), 10, length=0), "at least 1, not 0"),
        (lambda: from_arrays(clips(5), 0), "positive number in Hz, not 0"),
        (lambda: from_arrays(clips(5), 10, shorter="middle"), "shorter='middle'"),
        (lambda: from_arrays([np.zeros(0)], 10), "clip 0 holds no samples"),
        (lambda: from_arrays([np.array([0.1, np.nan])], 10), "clip 0 holds 1 values that are NaN"),
        (lambda: from_arrays([np.array([0.1, -np.inf])], 10), "clip 0 holds 1 values that are NaN or infinite"),
        (lambda: from_arrays([np.arange(5)], 10), "Clip 0 holds int64; expected floating point"),
        (lambda: from_arrays([np.arange(5.0)], 10), "clip 0 reaches 4 where full scale is 1"),
        (lambda: from_arrays([np.zeros((1, 1, 5))], 10), r"the shape \(1, 1, 5\)"),
        (lambda: from_arrays([np.zeros(5), np.zeros((2, 5))], 10), "Some clips have 1 and some 2 channels"),
        (lambda: from_arrays(clips(5, 5), 10, [0]), "1 values of label for 2 clips"),
        (lambda: from_arrays(clips(5, 5), 10, [0, 1], ["a"]), "1 values of speaker for 2 clips"),
        (lambda: from_arrays(clips(5), 10, channel=["a", "b"]), "2 channel names for 1 channels"),
        (lambda: from_arrays(clips(5, 5), 10, [0, 2], classes=["a", "b"]), "from 0 to 2; expected 0 to 1"),
        (
            lambda: from_arrays(clips(5, 5), 10, ["a", "c"], classes=["a", "b"]),
            "labels c are not among the classes a, b",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# Checks


def toy(values=None, rate=100.0):
    values = np.stack(clips(30, 30))[:, None] if values is None else values
    return from_arrays(values, rate, trial={"file": [f"{n}.wav" for n in range(len(values))]})


def test_a_sound_signal_passes():
    signal = toy()
    assert sampling_rate(signal) == 100
    require_rate(signal, 100)
    require_mono(signal)
    require_length(signal, 30)
    require_values(signal, clipping="raise")


def broken(at, value):
    signal = toy()
    signal.values[at] = value
    return signal


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: require_rate(toy(), 80), "100 Hz where 80 Hz are expected"),
        (lambda: require_mono(toy(np.zeros((2, 2, 9)))), "2 channels where mono is expected"),
        (lambda: require_length(toy(), 40), "30 samples where 40 are expected; read them with length=40, and shorter"),
        (lambda: require_length(toy(), 20), "and longer to say"),
        (lambda: require_values(broken((1, 0, 3), np.nan)), "1.wav holds 1 values that are NaN"),
        (lambda: require_values(broken((1, 0, 3), 900)), "1.wav reaches 900 where full scale is 1"),
        (lambda: require_values(broken(1, 5e-5)), r"1 of 2 clips hold nothing but silence.*\(1.wav\)"),
        (
            lambda: require_values(broken((0, 0, slice(3, 6)), -1), clipping="raise"),
            r"1 of 2 clips are clipped.*\(0.wav\)",
        ),
        (lambda: require_values(toy(), silence="warn"), "silence='warn'"),
        (lambda: sampling_rate(toy().assign_attrs(sfreq=90.0)), "states 90 Hz but its time axis has 100 Hz"),
        (lambda: sampling_rate(toy().isel(time=[0, 1, 5])), "not evenly spaced"),
        (lambda: sampling_rate(toy().isel(time=[0])), "1 instants is not evenly spaced"),
        (lambda: sampling_rate(toy().assign_coords(time=("time", np.arange(30.0), {"units": "ms"}))), "is in 'ms'"),
    ],
)
def test_what_a_model_could_not_hear_is_said(check, said):
    with pytest.raises(ValueError, match=said):
        check()


def test_clipping_warns_unless_told_otherwise():
    signal = broken((0, 0, slice(3, 6)), 1)
    with pytest.warns(UserWarning, match="1 of 2 clips are clipped"):
        require_values(signal)
    require_values(signal, clipping="keep")
    require_values(broken(1, 0), silence="keep")


def test_a_peak_that_reaches_full_scale_is_not_clipped():
    for flat, expected in (
        ([0.5, 1.0, 1.0, 0.5], False),
        ([1.0, 1.0, 1.0, 0.5], True),
        ([1.0, 1.0, -1.0, -1.0], False),
        ([0.5, -1.0, -1.0, -1.0], True),
        ([1.0, 1.0], False),
    ):
        assert clipped(np.array([flat])) is expected
        assert clipped(np.array([[0.1] * len(flat), flat])) is expected
