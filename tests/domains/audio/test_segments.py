import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from signalrp.domains.audio.segments import (
    BANDS,
    band_segments,
    harmonic_segments,
    part_segments,
    sounding,
    voicing_segments,
    window_segments,
)


def clips(values, sfreq=1000.0):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    time = ("time", np.arange(values.shape[1]) / sfreq, {"units": "s"})
    return xr.DataArray(values[:, None], {"time": time, "channel": ["mono"]}, ("trial", "channel", "time"))


def seen(frequency, frames=3, trials=2):
    coords = {"frequency": np.asarray(frequency, float), "frame": ("frame", np.arange(frames) * 0.1, {"units": "s"})}
    dims = ("trial", "frequency", "frame")
    values = np.ones((trials, len(frequency), frames))
    return xr.Dataset({"signal": (dims, values), "relevance": (dims, values)}, coords)


@given(samples=st.integers(2, 300), ms=st.floats(1.5, 400))
def test_windows_follow_each_other_and_the_rest_belongs_to_the_last(samples, ms):
    labels = window_segments(clips(np.ones(samples)), ms).values
    expected = [int(n / ms + 1e-6) for n in range(samples)]
    expected = [sorted(set(expected)).index(n) for n in expected]
    last = max(expected)
    if last and expected.count(last) < expected.count(0) / 2:
        expected = [min(n, last - 1) for n in expected]
    np.testing.assert_array_equal(labels, expected)


def test_windows_of_a_spectrogram_are_over_frames():
    labels = window_segments(seen([0.0, 1.0], frames=6)["signal"], 200)
    assert labels.dims == ("frame",)
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 2, 2])
    assert labels.attrs["names"] == ["0 to 100 ms", "200 to 300 ms", "400 to 500 ms"]


def test_bands_hold_their_lower_limit_and_the_names_of_formants():
    labels = band_segments(clips(np.ones(8000), 8000.0))
    frequency = np.arange(4001.0)
    expected = [next(i for i, (a, b) in enumerate(BANDS.values()) if a <= f < b) for f in frequency]
    np.testing.assert_array_equal(labels, expected)
    assert labels.attrs["names"] == list(BANDS)
    np.testing.assert_array_equal(
        band_segments(seen([100, 300, 899, 3600])["signal"], {"F1": BANDS["F1"]}), [-1, 0, 0, -1]
    )


def test_harmonics_and_the_comb_between_them():
    frequency = np.arange(0.0, 1001.0, 10.0)
    f0 = xr.DataArray([[100.0, np.nan, 200.0], [np.nan, 130.0, 250.0]], {"frame": [0.0, 0.1, 0.2]}, ("trial", "frame"))
    labels = harmonic_segments(seen(frequency), f0, tolerance=14.0)
    assert labels.attrs["names"] == ["harmonics", "between"]
    for trial in range(2):
        for k, f in enumerate(frequency):
            for frame in range(3):
                pitch, expected = f0.values[trial, frame], -1
                if any(abs(f - n * pitch) <= 14 for n in range(1, 30)):
                    expected = 0
                elif any(abs(f - (n + 0.5) * pitch) <= 14 for n in range(1, 30)):
                    expected = 1
                assert labels.values[trial, k, frame] == expected


def test_what_the_spectrum_does_not_resolve_stays():
    labels = harmonic_segments(seen(np.arange(0.0, 1001.0, 10.0), trials=1), np.array([100.0]), tolerance=30.0)
    line = dict(zip(labels["frequency"].values, labels.values[0][:, 0], strict=True))
    assert [line[f] for f in (200.0, 220.0, 230.0, 250.0)] == [0, -1, -1, 1]
    with pytest.raises(ValueError, match="take longer frames"):
        harmonic_segments(seen(np.arange(0.0, 1001.0, 10.0), trials=1), np.array([100.0]), tolerance=60.0)


def test_sound_is_what_is_at_most_so_much_quieter():
    rng = np.random.default_rng(0)
    values = np.stack([np.repeat([0, 1, 0.1, 0.001, 0], 60) * rng.standard_normal(300), np.zeros(300)])
    found = sounding(clips(values), quiet=30.0).values
    for trial in range(2):
        mean = [sum(values[trial, max(0, n - 10) : n + 10] ** 2) / 20 for n in range(300)]
        for n in range(300):
            assert found[trial, n] == (max(mean) > 0 and mean[n] >= max(mean) * 1e-3)
    assert found[0, 60:170].all()
    assert not found[0, 200:].any()


def test_parts_of_the_sound():
    values = np.zeros(1000)
    values[300:700] = 1.0
    labels = part_segments(clips(values), onset=80, offset=50)
    assert labels.attrs["names"] == ["onset", "steady", "offset", "silence"]
    found = labels.values[0]
    (start, *_), (*_, end) = (np.flatnonzero(sounding(clips(values)).values[0]),) * 2
    expected = [3] * start + [0] * 80 + [1] * (end + 1 - start - 130) + [2] * 50 + [3] * (999 - end)
    np.testing.assert_array_equal(found, expected)
    short = np.zeros(1000)
    short[500] = 1.0
    assert set(part_segments(clips(short)).values[0]) == {0, 3}


def test_voiced_unvoiced_and_silence():
    values = np.zeros(1000)
    values[200:800] = 1.0
    f0 = xr.DataArray([[np.nan, 100.0, np.nan]], {"frame": [0.1, 0.4, 0.7]}, ("trial", "frame"))
    found = voicing_segments(clips(values), f0).values[0]
    sound = sounding(clips(values)).values[0]
    for n in range(1000):
        if n not in (250, 550):
            assert found[n] == (2 if not sound[n] else 0 if 250 < n < 550 else 1)


def test_errors():
    with pytest.raises(ValueError, match="give a positive one"):
        window_segments(clips(np.ones(10)), 0)
    with pytest.raises(ValueError, match="time or frame in s"):
        window_segments(clips(np.ones(10)).rename(time="sample"))
    with pytest.raises(ValueError, match="holds none of the frequencies"):
        band_segments(clips(np.ones(100)), {"high": (2000, 3000)})
    with pytest.raises(ValueError, match="positive number of dB"):
        sounding(clips(np.ones(100)), 0)
    with pytest.raises(ValueError, match="neither can be negative"):
        part_segments(clips(np.ones(100)), onset=-1)
    with pytest.raises(ValueError, match="give what fundamental"):
        voicing_segments(clips(np.ones(100)), xr.DataArray([100.0], dims="trial"))


def test_real_digits_hold_sound_where_they_were_placed(shared_data, monkeypatch):
    from signalrp.domains.audio.datasets import digits

    monkeypatch.setenv("SIGNALRP_SHARED_DATA", str(shared_data))
    signal = digits().isel(trial=slice(0, 60))
    found, beyond = sounding(signal).values, []
    for sound, start, length in zip(found, signal["offset"].values, signal["samples"].values, strict=True):
        beyond.append(sound.sum() - sound[max(0, start - 80) : start + length + 80].sum())
        assert 0.05 < sound.mean() < 1
    assert not any(beyond)
