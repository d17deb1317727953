from __future__ import annotations

import warnings

import hypothesis
import hypothesis.strategies as st
import mne
import numpy as np
import pytest
import xarray as xr
from reference.eeg_explanations import explanation

import signalrp
from signalrp.domains.eeg.bases import (
    ica_basis,
    relevance_by_band,
    relevance_by_component,
    time_frequency,
)
from signalrp.domains.eeg.data import info_of, to_epochs
from signalrp.domains.eeg.segments import BANDS
from signalrp.inspection import DFT, Chain

CHANNELS = ["Fp1", "Fp2", "Fz", "C3", "C4", "Pz", "O1", "O2"]


@pytest.fixture(scope="module")
def data():
    return explanation(CHANNELS)


def fitted(data, count, *, average=False, exclude=(), **settings):
    """An ICA of the signals; with an average reference they have one dimension less than electrodes."""
    with mne.use_log_level("error"):
        epochs = to_epochs(data["signal"].assign_coords(label=data["label"]))
        if average:
            epochs.set_eeg_reference("average", projection=average == "projection")
            epochs.apply_proj()
        epochs.drop_channels(exclude)
        return mne.preprocessing.ICA(count, random_state=0, max_iter=2000, **settings).fit(epochs), epochs


def rereferenced(data):
    """The same with signals in average reference, and the relevance that their weights then give."""
    signal = data["signal"] - data["signal"].mean("channel")
    return data.assign(signal=signal.assign_attrs(data["signal"].attrs), relevance=signal * data["per_unit"])


def total(data):
    return data["relevance"].sum(["channel", "time"]).values


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


# Bands


def test_bands_share_all_relevance(data):
    found = relevance_by_band(data)
    assert found.dims == ("trial", "band", "channel")
    assert found["band"].values.tolist() == [*BANDS, "other"]
    close(found.sum(["band", "channel"]).values, total(data))
    close(found.sum("band").values, data["relevance"].sum("time").values)
    # nothing but the mean of the epoch lies below 0.5 Hz
    mean = data["signal"].mean("time") * data["per_unit"].sum("time")
    close(found.sel(band="other").values, mean.values)
    np.testing.assert_array_equal(found["label"], data["label"])
    np.testing.assert_array_equal(found["subject"], data["subject"])


def test_a_band_has_the_relevance_of_its_frequencies(data):
    found = relevance_by_band(data, {"slow": (0, 10), "fast": (10, np.inf)})
    assert found["band"].values.tolist() == ["slow", "fast"]
    x, c = data["signal"].values, data["per_unit"].values
    frequency = np.fft.rfftfreq(90, 1 / 128)
    for name, mask in (("slow", frequency < 10), ("fast", frequency >= 10)):
        # what a filter lets through, times the weights
        passed = np.fft.irfft(np.fft.rfft(x) * mask, n=90)
        close(found.sel(band=name).values, (passed * c).sum(-1))


def test_relevance_on_silent_samples_is_told(data):
    given = data.assign(signal=data["signal"] * 0)
    given["relevance"] = given["signal"] * 0 + 1.0
    found = relevance_by_band(given)
    close(found.sum(["band", "channel"]).values + found["lost"].values, np.full(12, 8.0 * 90))


def test_bands_need_relevance_per_unit(data):
    with pytest.raises(ValueError, match="per_unit=True"):
        relevance_by_band(data.drop_vars("per_unit"))


# Time and frequency


@hypothesis.given(samples=st.integers(4, 90), hop=st.integers(1, 20), start=st.integers(-100, 10))
@hypothesis.settings(max_examples=25)
def test_time_and_frequency_share_all_relevance(samples, hop, start):
    data = explanation(CHANNELS[:2], trials=4, start=start / 128)
    hop = min(hop, max(1, samples // 2))
    found = time_frequency(data, samples / 128, hop / 128)
    assert found["relevance"].dims == ("trial", "channel", "frequency", "frame")
    close(found["relevance"].sum(["channel", "frequency", "frame"]).values, total(data))
    step = np.diff(found["frame"].values)
    np.testing.assert_allclose(step, hop / 128, atol=1e-9)
    np.testing.assert_allclose(found["frequency"].values[1], 128 / samples)
    assert np.isclose((found["frame"].values - start / 128) * 128 / hop, 0, atol=1e-6).any()


def test_relevance_of_a_burst_is_where_the_burst_is(data):
    time = data["time"].values
    burst = np.exp(-(((time - 0.2) / 0.06) ** 2)) * np.cos(2 * np.pi * 20 * time)
    shaped = data.assign(signal=data["signal"] * 0 + burst)
    shaped["signal"].attrs.update(data["signal"].attrs)
    shaped = shaped.assign(per_unit=shaped["signal"], relevance=shaped["signal"] ** 2)
    seen = time_frequency(shaped)["relevance"].sum(["trial", "channel"])
    peak = seen.isel(seen.argmax(["frequency", "frame"]))
    assert float(peak["frequency"]) == pytest.approx(20, abs=2)
    assert float(peak["frame"]) == pytest.approx(0.2, abs=0.02)


def test_windows_that_do_not_fit_are_refused(data):
    with pytest.raises(ValueError, match=r"0.02 s has 3 samples at 128 Hz; give at least 0.0312 s"):
        time_frequency(data, 0.02)
    with pytest.raises(ValueError, match="longer than the signal"):
        time_frequency(data, 1.0)


# Independent components


@pytest.mark.parametrize(("count", "average"), [(8, False), (4, False), (7, "data"), (5, "projection"), (0.9, "data")])
def test_components_and_the_rest_share_all_relevance(data, count, average):
    data = rereferenced(data) if average else data
    ica, epochs = fitted(data, count, average=average)
    basis = ica_basis(ica, epochs.info)
    found = relevance_by_component(data, basis)
    close(found.sum("component").values, data["relevance"].sum("channel").values)
    known = [f"ICA{number:03d}" for number in range(ica.n_components_)]
    assert found["component"].values.tolist() == known + ["rest"] * int(ica.n_components_ < 8)
    assert len(basis.names) == 8
    # the signal is had back exactly, and coefficients are MNE's sources but for what is constant
    seen = signalrp.inspect(data, basis)
    np.testing.assert_allclose(basis.inverse @ basis.matrix, np.eye(8), atol=1e-10)
    sources = ica.get_sources(epochs).get_data()
    mine = seen["signal"].values[:, : ica.n_components_]
    np.testing.assert_allclose(np.diff(mine), np.diff(sources), rtol=0, atol=1e-8)


def test_a_component_has_the_relevance_of_what_mne_puts_back_of_it(data):
    """The weights times the signal that ICA.apply makes of this component alone."""
    data = rereferenced(data)
    ica, epochs = fitted(data, 5, average="data")
    found = relevance_by_component(data, ica_basis(ica, epochs.info))
    with mne.use_log_level("error"):
        without = ica.apply(epochs.copy(), include=[], exclude=list(range(5))).get_data()
        for number in range(5):
            others = [k for k in range(5) if k != number]
            part = ica.apply(epochs.copy(), exclude=others).get_data() - without
            # ICA.apply puts the mean of the fit back as well, in both
            expected = (part * data["per_unit"].values).sum(1)
            offset = constant(expected - found.isel(component=number).values, data["per_unit"].values)
            np.testing.assert_allclose(offset, 0, atol=1e-8 * np.abs(expected).max())


def constant(difference, c):
    """What is left of a difference once the best constant pattern (channel,) times the weights is taken away."""
    weights = c.transpose(0, 2, 1).reshape(-1, c.shape[1])
    flat = difference.ravel()
    return flat - weights @ np.linalg.lstsq(weights, flat, rcond=None)[0]


def test_components_are_found_by_the_names_of_electrodes(data):
    ica, _ = fitted(data, 4)
    turned = data.isel(channel=[3, 1, 7, 0, 2, 6, 5, 4])
    basis = ica_basis(ica, info_of(turned["signal"]))
    by_names = ica_basis(ica, turned["channel"].values.tolist())
    np.testing.assert_array_equal(basis.matrix, by_names.matrix)
    found = relevance_by_component(turned, basis)
    expected = relevance_by_component(data, ica_basis(ica, CHANNELS))
    close(found.values, expected.values)


def test_electrodes_left_out_of_the_fit_are_of_the_rest(data):
    ica, _ = fitted(data, 4, exclude=["Fz", "O2"])
    found = relevance_by_component(data, ica_basis(ica, CHANNELS))
    inside = data.isel(channel=[n for n, name in enumerate(CHANNELS) if name not in ("Fz", "O2")])
    expected = relevance_by_component(inside, ica_basis(ica, inside["channel"].values.tolist()))
    close(found.values[:, :4], expected.values[:, :4])
    outside = data["relevance"].sel(channel=["Fz", "O2"]).sum("channel")
    close(found.sel(component="rest").values, (expected.sel(component="rest") + outside).values)


def test_a_scaled_signal_has_the_same_components(data):
    ica, _ = fitted(data, 5)
    scale = xr.DataArray(np.linspace(1e-6, 3e-5, 8), {"channel": CHANNELS}, ("channel",))
    scaled = data.assign(signal=data["signal"] / scale, per_unit=data["per_unit"] * scale)
    expected = relevance_by_component(data, ica_basis(ica, CHANNELS))
    for given in (scale, scale[::-1], scale.values):
        found = relevance_by_component(scaled, ica_basis(ica, CHANNELS, given))
        close(found.values, expected.values)


def test_whitening_by_a_noise_covariance(data):
    with mne.use_log_level("error"):
        epochs = to_epochs(data["signal"].assign_coords(label=data["label"]))
        noise = mne.compute_covariance(epochs, tmax=0)
        ica = mne.preprocessing.ICA(6, noise_cov=noise, random_state=0, max_iter=2000).fit(epochs)
    basis = ica_basis(ica, epochs.info)
    close(relevance_by_component(data, basis).sum("component").values, data["relevance"].sum("channel").values)
    sources = ica.get_sources(epochs).get_data()
    mine = signalrp.inspect(data, basis)["signal"].values[:, :6]
    np.testing.assert_allclose(np.diff(mine), np.diff(sources), rtol=0, atol=1e-8)


def test_frequencies_of_components(data):
    ica, _ = fitted(data, 4)
    seen = signalrp.inspect(data, Chain(ica_basis(ica, CHANNELS), DFT()))
    close(seen["relevance"].sum(["component", "frequency"]).values, total(data))


def test_icas_that_do_not_fit_are_refused(data):
    ica, epochs = fitted(data, 4)
    with pytest.raises(ValueError, match="fitted on O1, O2, which the signal lacks; fit it on the signal's"):
        ica_basis(ica, CHANNELS[:6])
    with pytest.raises(ValueError, match="The ICA was not fitted"):
        ica_basis(mne.preprocessing.ICA(4), epochs.info)
    with pytest.raises(ValueError, match="one positive number, or one for each of 8 electrodes"):
        ica_basis(ica, CHANNELS, np.ones(7))
    with pytest.raises(ValueError, match="one positive number"):
        ica_basis(ica, CHANNELS, 0.0)
    with pytest.raises(ValueError, match="The scale has no electrode 'O2'"):
        ica_basis(ica, CHANNELS, xr.DataArray(np.ones(7), {"channel": CHANNELS[:7]}, ("channel",)))


def test_more_components_than_dimensions_are_refused(data):
    """An average reference takes one of eight dimensions; MNE fits eight components all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ica, epochs = fitted(rereferenced(data), 8, average="data")
    with pytest.raises(ValueError, match="8 components, more than its data had dimensions"):
        ica_basis(ica, epochs.info)
