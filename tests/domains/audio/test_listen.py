from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.small_audio import RATE, deaf_but_to, explained, packed_clips, tones, vowels
from torch import nn

import signalrp
from signalrp.domains.audio.data import from_arrays
from signalrp.domains.audio.frontends import LogPower, MelSpectrogram
from signalrp.domains.audio.listen import (
    common_gain,
    heard,
    masked,
    player,
    relevance_mask,
    wav_bytes,
    write_wav,
)
from signalrp.domains.audio.time_frequency import decibels, short_time, time_frequency
from signalrp.inspection import DFT, STFT, inspect
from signalrp.plotting.data import edges

PARTS = ("positive", "negative", "rest")


def pictured(signal: xr.DataArray) -> xr.Dataset:
    """Explanation of a small net on mel spectrograms."""
    seen = LogPower(MelSpectrogram(RATE, 512, 128, 24), ref="silence").apply_to(signal)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2))
    return signalrp.explain(net.eval(), seen)


def level_at(signal: xr.DataArray, frequency: float) -> float:
    """Amplitude of a sine in the middle of a sound, where a mask has no ends."""
    part = signal.values.ravel()[500:1500]
    wave = np.exp(-2j * np.pi * frequency * np.arange(1000) / RATE)
    return float(2 * abs(part @ wave) / 1000)


@given(
    length=st.integers(40, 300), n_fft=st.integers(3, 40), part=st.floats(0.05, 0.5), channels=st.integers(1, 2)
)  # fmt: skip
def test_a_mask_of_ones_gives_the_sound_back(length, n_fft, part, channels):
    rng = np.random.default_rng(length)
    values = rng.uniform(-1, 1, (2, channels, length)).astype(np.float32)
    signal = from_arrays(values, RATE).astype(np.float64)
    hop = max(1, int(part * n_fft))
    bound = short_time(signal, n_fft, hop).bind(signal)
    ones = xr.DataArray(np.ones((2, *bound.shape)), dims=bound.dims, attrs={"n_fft": n_fft, "hop": hop})
    result = masked(signal, ones)
    np.testing.assert_allclose(result.values, signal.values, atol=1e-12)
    np.testing.assert_allclose(result["energy_kept"], 1, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: explained(vowels().astype(np.float64)), lambda: pictured(vowels())])
def test_positive_negative_and_rest_add_up_to_the_sound(make):
    signal, explanation = vowels().astype(np.float64), make()
    heard_parts = {part: heard(explanation, part, waveform=signal) for part in (*PARTS, "all")}
    np.testing.assert_allclose(sum(heard_parts[part].values for part in PARTS), signal.values, atol=1e-12)
    np.testing.assert_allclose(
        heard_parts["positive"].values + heard_parts["negative"].values, heard_parts["all"].values, atol=1e-12
    )
    masks = {part: relevance_mask(explanation, part, waveform=signal) for part in PARTS}
    assert all((mask >= 0).all() and (mask <= 1).all() for mask in masks.values())
    assert all(float(mask.max()) > 0.4 for mask in masks.values())
    energy = (heard_parts["rest"] ** 2).sum(("channel", "time")) / (signal**2).sum(("channel", "time"))
    np.testing.assert_allclose(heard_parts["rest"]["energy_kept"], energy, rtol=1e-9)
    assert heard_parts["all"].attrs["part"] == "all"
    assert heard_parts["all"]["file"].values.tolist() == signal["file"].values.tolist()


@pytest.mark.parametrize("sign", [1, -1])
def test_of_two_tones_the_one_that_the_net_hears_is_heard(sign):
    signal = tones([500, 2000])
    explanation = signalrp.explain(deaf_but_to(500, sign=sign), signal, 0, "epsilon", per_unit=True)
    parts = {part: heard(explanation, part) for part in PARTS}
    own, other = ("positive", "negative") if sign > 0 else ("negative", "positive")
    assert level_at(parts[own], 500) > 0.75 * 0.2
    assert level_at(parts[own], 2000) < 5e-3 * 0.2
    assert level_at(parts[other], 500) < 1e-3 * 0.2
    assert level_at(parts["rest"], 2000) == pytest.approx(0.2, rel=5e-3)


def test_the_mask_of_a_mel_net_is_that_of_loops_over_all_bins():
    signal = vowels(2)
    explanation = pictured(signal)
    share, smooth = 0.7, (60.0, 0.012)
    found = {
        part: relevance_mask(explanation, part, waveform=signal, n_fft=64, hop=32, share=share, smooth=smooth)
        for part in PARTS
    }
    grid = found["rest"]
    np.testing.assert_allclose(grid["frequency"], np.arange(33) * RATE / 64)
    source = explanation["frequency"].values, explanation["frame"].values
    wide = np.maximum(smooth[0], np.diff(edges(source[0]))), np.maximum(smooth[1], np.diff(edges(source[1])))
    values = explanation["relevance"].values[1, 0].astype(np.float64)
    density = {sign: np.zeros(grid.shape[2:]) for sign in (1, -1)}
    for i, frequency in enumerate(grid["frequency"].values):
        for j, frame in enumerate(grid["frame"].values):
            far = ((frequency - source[0]) / wide[0])[:, None] ** 2 + ((frame - source[1]) / wide[1]) ** 2
            weight = np.exp(-far / 2) / np.outer(wide[0], wide[1]) / (2 * np.pi)
            for sign in (1, -1):
                density[sign][i, j] = (weight * np.maximum(sign * values, 0)).sum()
    both = density[1] + density[-1]
    ranked = np.sort(both.ravel())[::-1]
    scale = ranked[np.flatnonzero(ranked.cumsum() >= share * ranked.sum())[0]]
    every = both**2 / (both**2 + scale**2)
    np.testing.assert_allclose(found["positive"].values[1, 0], every * density[1] / both, atol=1e-6)
    np.testing.assert_allclose(found["negative"].values[1, 0], every * density[-1] / both, atol=1e-6)
    np.testing.assert_allclose(found["rest"].values[1, 0], 1 - every, atol=1e-6)
    assert both[every >= 0.5].sum() >= share * both.sum()


def test_more_is_heard_of_a_larger_share():
    kept = [float(heard(explained(), "all", share=share)["energy_kept"].mean()) for share in (0.2, 0.5, 0.9)]
    assert kept == sorted(kept)
    assert kept[2] > 1.5 * kept[0]


def test_without_relevance_everything_is_rest():
    explanation = explained()
    explanation["relevance"], explanation["per_unit"] = 0 * explanation["relevance"], 0 * explanation["per_unit"]
    assert not heard(explanation, "all").values.any()
    np.testing.assert_allclose(heard(explanation, "rest"), explanation["signal"], atol=1e-7)


def test_what_was_inspected_before_is_heard_as_what_was_not():
    explanation = explained()
    seen = inspect(explanation, STFT("hann", 256, 64))
    np.testing.assert_allclose(heard(seen), heard(explanation), atol=1e-7)


def test_real_speech_comes_apart_and_together_again(shared_data):
    clips = packed_clips(shared_data, (0, 1500))
    signal = from_arrays(clips, RATE, [0, 1], classes=["one", "two"], length=8000, shorter="random")
    explanation = explained(signal)
    parts = [heard(explanation, part) for part in PARTS]
    np.testing.assert_allclose(sum(part.values for part in parts), signal.values, atol=2e-7)
    gain = common_gain(signal[0], *(part[0] for part in parts))
    data = wav_bytes(parts[0][0], gain=gain)
    assert data[:4] == b"RIFF"
    assert len(data) == 44 + 2 * 8000


def test_what_cannot_be_heard_is_refused():
    signal, explanation = vowels(), pictured(vowels())
    with pytest.raises(ValueError, match="no part 'loud'"):
        heard(explanation, "loud", waveform=signal)
    with pytest.raises(ValueError, match="between 0 and 1"):
        heard(explanation, share=1.0, waveform=signal)
    with pytest.raises(ValueError, match="smoothing is positive"):
        heard(explanation, smooth=(0.0, 0.01), waveform=signal)
    with pytest.raises(ValueError, match="give the clips as waveform="):
        heard(explanation)
    with pytest.raises(ValueError, match="not of the same clips"):
        heard(explanation, waveform=signal[:2])
    with pytest.raises(ValueError, match="not of the same clips"):
        heard(explanation, waveform=signal[::-1])
    with pytest.raises(ValueError, match="per_unit"):
        heard(explained().drop_vars("per_unit"))
    with pytest.raises(ValueError, match="frequency and frame, is needed"):
        heard(inspect(explained(), DFT()))
    mask = relevance_mask(explanation, waveform=signal)
    with pytest.raises(ValueError, match="is expected"):
        masked(signal[:2], mask)
    with pytest.raises(ValueError, match="does not say its"):
        masked(signal, mask.drop_attrs())


def test_decibels_are_those_of_power_whatever_the_signal_is():
    seen = time_frequency(explained(), 128, 64)
    power = decibels(seen, below=1000)
    magnitude = seen["signal"].astype(np.float64)
    some = magnitude > 0
    np.testing.assert_allclose(power.where(some), 20 * np.log10(magnitude.where(some)), rtol=1e-12)
    squared = seen.assign(signal=(seen["signal"] ** 2).assign_attrs(long_name="power"))
    inside = decibels(seen, 40) > decibels(seen, 40).min(("frequency", "frame"))
    np.testing.assert_allclose(decibels(squared, 40).where(inside), decibels(seen, 40).where(inside), atol=1e-4)
    span = decibels(seen, 40).max(("frequency", "frame")) - decibels(seen, 40).min(("frequency", "frame"))
    np.testing.assert_allclose(span, 40)
    already = pictured(vowels())
    np.testing.assert_allclose(decibels(already, 500), already["signal"])


def test_a_file_holds_the_clip_to_16_bits(tmp_path):
    numbers = np.random.default_rng(0).integers(-32768, 32768, (1, 1, 500))
    clip = from_arrays((numbers / 32768).astype(np.float32), RATE)
    path = write_wav(tmp_path / "clip.wav", clip)
    found, rate = soundfile.read(path, dtype="int16")
    assert rate == RATE
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_array_equal(found, numbers[0, 0])
    assert wav_bytes(clip[0, 0]) == wav_bytes(clip[0]) == path.read_bytes()


def test_stereo_stays_stereo(tmp_path):
    clip = from_arrays(np.stack([np.full((1, 50), 0.5), np.full((1, 50), -0.25)], 1).astype(np.float32), RATE)
    found, _ = soundfile.read(write_wav(tmp_path / "clip.wav", clip))
    np.testing.assert_array_equal(found, np.tile([0.5, -0.25], (50, 1)))


def test_loud_clips_are_brought_down_and_never_clipped(tmp_path):
    clip = tones([100]) * 10
    with pytest.warns(UserWarning, match="reaches 2 of full scale and was brought down by 0.5"):
        path = write_wav(tmp_path / "clip.wav", clip)
    found, _ = soundfile.read(path)
    np.testing.assert_allclose(found, clip.values.ravel() / 2, atol=1 / 32768)
    with pytest.raises(ValueError, match="to 2 of full scale"):
        wav_bytes(clip, gain=1.0)
    with pytest.raises(ValueError, match="above 0"):
        wav_bytes(clip, gain=0.0)
    assert common_gain(clip, clip / 3) == pytest.approx(0.45)
    with pytest.raises(ValueError, match="can be heard"):
        common_gain(0 * clip)


def test_files_are_replaced_only_if_asked(tmp_path):
    path = write_wav(tmp_path / "clip.wav", tones([100]))
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_wav(path, tones([200]))
    assert path.read_bytes() == before
    write_wav(path, tones([200]), overwrite=True)
    assert path.read_bytes() != before


def test_only_one_clip_of_finite_values_makes_a_file():
    with pytest.raises(ValueError, match="one clip"):
        wav_bytes(vowels())
    with pytest.raises(ValueError, match="one clip"):
        wav_bytes(xr.DataArray(np.zeros(3), dims="frame"))
    clip = tones([100])
    clip[0, 0, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        wav_bytes(clip)


def test_notebooks_have_a_player(monkeypatch):
    audio = pytest.importorskip("IPython.display").Audio
    found = player(tones([100]))
    assert isinstance(found, audio)
    assert found.data == wav_bytes(tones([100]))
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match=r"write_wav\(\.\.\.\)"):
        player(tones([100]))
