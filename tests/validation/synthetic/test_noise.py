from __future__ import annotations

import numpy as np
import pytest

from signalrp.validation.synthetic.noise import BACKGROUNDS, DRIFT, LINE, autoregressive, background, pink


def slope(noise):
    """Slope of the power against frequency between 2 and 40 Hz, both in logarithms, at 128 samples a second."""
    window = np.hanning(noise.shape[-1])
    energy = (np.abs(np.fft.rfft(noise * window)) ** 2).mean(0)
    frequency = np.fft.rfftfreq(noise.shape[-1], 1 / 128)
    inside = (frequency >= 2) & (frequency <= 40)
    return np.polyfit(np.log(frequency[inside]), np.log(energy[inside]), 1)[0]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("samples", [256, 301])
def test_power_of_pink_noise_falls_as_asked(exponent, samples):
    noise = pink(np.random.default_rng(0), (2000, samples), exponent)
    assert slope(noise) == pytest.approx(-exponent, abs=0.05)
    assert noise.var() == pytest.approx(1, abs=0.05)
    assert abs(noise.mean()) < 0.05


def test_pink_noise_does_not_come_round():
    noise = pink(np.random.default_rng(0), (4000, 256))
    ends = (noise[:, 0] * noise[:, -1]).mean() / noise.var()
    neighbours = (noise[:, 0] * noise[:, 1]).mean() / noise.var()
    assert ends < 0.1 < neighbours


def test_autoregressive_noise_has_the_variance_and_memory_asked_for():
    noise = autoregressive(np.random.default_rng(0), (4000, 128), 0.7)
    np.testing.assert_allclose(noise.var(0), 1, atol=0.12)
    for lag in (1, 2, 5):
        assert (noise[:, lag:] * noise[:, :-lag]).mean() == pytest.approx(0.7**lag, abs=0.02)


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_background_has_variance_1_line_noise_and_a_mixing_of_each_subject(kind):
    subject = np.repeat(np.arange(40), 60)
    noise = background(np.random.default_rng(0), subject, 6, 256, 128.0, kind)
    assert noise.var() == pytest.approx(1, abs=0.03)
    energy = (np.abs(np.fft.rfft(noise)) ** 2).mean((0, 1))
    assert energy[100] > 10 * energy[90]  # 50 and 45 Hz, half a Hertz a step
    # Between drift and line noise, which have strengths of their own.
    inside = np.fft.rfft(noise)
    inside[..., :10] = inside[..., 90:] = 0
    middle = np.fft.irfft(inside, 256)
    correlations = np.array([np.corrcoef(middle[subject == s].transpose(1, 0, 2).reshape(6, -1)) for s in (0, 1)])
    apart = correlations[:, *np.triu_indices(6, 1)]
    assert np.abs(apart).max() > 0.3
    assert np.abs(apart[0] - apart[1]).max() > 0.3


def test_drift_is_slower_than_the_trial():
    subject = np.zeros(3000, dtype=int)
    noise = background(np.random.default_rng(0), subject, 1, 256, 128.0, "ar")
    spectrum = (np.abs(np.fft.rfft(noise * np.hanning(256))) ** 2).mean((0, 1))
    without = (np.abs(np.fft.rfft(autoregressive(np.random.default_rng(0), (3000, 256)) * np.hanning(256))) ** 2).mean(
        0
    )
    share = 1 - LINE - DRIFT
    assert spectrum[0] > 1.2 * share * without[0]
    np.testing.assert_allclose(spectrum[4:60], share * without[4:60], rtol=0.15)
