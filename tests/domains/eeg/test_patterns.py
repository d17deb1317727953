from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import signalrp

mne = pytest.importorskip("mne")
pytest.importorskip("sklearn")

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

from signalrp.domains.eeg import classical, equivalents  # noqa: E402
from signalrp.domains.eeg.patterns import haufe_patterns, patterns_of, relative_to_average  # noqa: E402


@pytest.fixture(autouse=True)
def _quiet():
    with mne.use_log_level("error"):
        yield


def epochs(trials: int = 60, channels: int = 5, times: int = 32, classes: int = 2, evoked: float = 1e-6):
    """Mixed noise of mean 0 in every class, one source stronger in each, and an evoked potential."""
    rng = np.random.default_rng(0)
    y = np.arange(trials) % classes
    sources = rng.normal(size=(trials, channels, times))
    sources[np.arange(trials), y] *= 2
    x = 1e-5 * np.einsum("ck,nkt->nct", np.eye(channels) + 0.3 * rng.normal(size=(channels, channels)), sources)
    for k in range(classes):
        x[y == k] -= x[y == k].mean((0, 2), keepdims=True)
    x += evoked * y[:, None, None] * np.sin(np.linspace(0, np.pi, times))
    return xr.DataArray(
        x,
        dims=("trial", "channel", "time"),
        coords={
            "channel": [f"E{i}" for i in range(channels)],
            "x": ("channel", np.linspace(-0.1, 0.1, channels)),
            "time": np.arange(times) / 128,
            "label": ("trial", y),
        },
        attrs={"units": "V"},
    )


@given(st.integers(1, 3), st.integers(3, 6), st.integers(0, 1000))
def test_patterns_are_the_formula_of_the_paper(filters, features, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(50, features)) @ rng.normal(size=(features, features)) + rng.normal(size=features)
    w = rng.normal(size=(filters, features))
    found = haufe_patterns(w, x)
    sources = x @ w.T
    covariance = np.atleast_2d(np.cov(x.T))
    expected = covariance @ w.T @ np.linalg.inv(np.atleast_2d(np.cov(sources.T)))
    np.testing.assert_allclose(found, expected.T, rtol=1e-6, atol=1e-8 * abs(expected).max())
    # A filter finds its own pattern once, and those of the others not at all.
    np.testing.assert_allclose(w @ found.T, np.eye(filters), atol=1e-8)


def test_filters_that_cancel_noise_have_no_pattern_there():
    # The example of the paper: the second channel holds nothing but the noise of the first.
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(2, 5000))
    x = np.stack([signal + noise, noise], 1)
    np.testing.assert_allclose(haufe_patterns([1.0, -1.0], x), [[1, 0]], atol=0.05)


def test_sizes_of_outputs_do_not_matter():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(80, 4)), rng.normal(size=(2, 4))
    size = np.array([[1e-6], [1e6]])
    np.testing.assert_allclose(haufe_patterns(w * size, x), haufe_patterns(w, x) / size, rtol=1e-8)


def test_observations_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 3\) need two or more observations of shape \(observation, 3\)"):
        haufe_patterns([1.0, 2.0, 3.0], np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"found \(1, 3\)"):
        haufe_patterns([1.0, 2.0, 3.0], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        haufe_patterns([1.0, np.nan], np.zeros((5, 2)))


@pytest.mark.parametrize("components", [2, 5])
def test_patterns_of_csp_are_those_of_mne(components):
    signal = epochs(evoked=0)
    pipeline = classical.csp_lda(components, reg=None).fit(signal.values, signal["label"].values)
    model = equivalents.from_csp_lda(pipeline)
    found = patterns_of(model, signal)
    assert found.dims == ("component", "channel")
    assert list(found["channel"].values) == [f"E{i}" for i in range(5)]
    assert found.attrs["units"] == "V"
    assert "x" in found.coords
    # MNE's filters have another scale than those of relative power.
    scale = pipeline["csp"].filters_[:components, :1] / model.filters.weight[:, :1].detach().numpy()
    np.testing.assert_allclose(found / scale, pipeline["csp"].patterns_[:components], rtol=1e-6)


def test_patterns_of_csp_in_a_band_are_of_the_signal_in_the_band():
    signal = epochs(times=64)
    pipeline = classical.csp_lda(2, reg=None, band=(8, 30), sfreq=128).fit(signal.values, signal["label"].values)
    filtered = signal.copy(data=classical.band_pass(signal.values, 8, 30, 128))
    inner = equivalents.from_csp_lda(pipeline[1:])
    found = patterns_of(equivalents.from_csp_lda(pipeline), signal)
    np.testing.assert_allclose(found, patterns_of(inner, filtered))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("classifier", [LinearDiscriminantAnalysis(), LogisticRegression(max_iter=1000)])
def test_patterns_of_linear_classifiers_are_those_of_mne(classes, classifier):
    signal = 1e6 * epochs(times=4, classes=classes, trials=90).assign_attrs(units="µV")
    linear = mne.decoding.LinearModel(classifier)
    pipeline = make_pipeline(mne.decoding.Vectorizer(), linear).fit(signal.values, signal["label"].values)
    model = equivalents.from_linear(pipeline)
    found = patterns_of(model, signal)
    assert found.dims == ("class", "channel", "time")
    of_mne = mne.decoding.get_coef(pipeline, "patterns_").reshape(-1, 5, 4)
    # MNE leaves out the variance of the output.
    with torch.no_grad():
        variance = model(torch.tensor(signal.values)).var(0).numpy()
    times_variance = found.values * variance[:, None, None]
    if classes == 2:
        np.testing.assert_allclose(times_variance[0], -times_variance[1])
        times_variance = times_variance[1:]
    np.testing.assert_allclose(times_variance, of_mne, rtol=1e-6, atol=1e-8 * abs(of_mne).max())


def test_mean_relevance_of_a_power_is_filter_times_pattern():
    signal = epochs(evoked=0)
    pipeline = classical.csp_lda(1, log=False, reg=None).fit(signal.values, signal["label"].values)
    model = equivalents.from_csp_lda(pipeline)
    explanation = signalrp.explain(model, signal, target=1, composite=signalrp.composite("epsilon", epsilon=1e-12))
    mean = explanation["relevance"].mean("trial").sum("time")
    filters, weight = model.filters.weight.detach().numpy()[0], float(model.classifier.weight.detach()[1, 0])
    instants = np.moveaxis(signal.values, 1, 2).reshape(-1, 5)
    pattern = patterns_of(model, signal)[0].values
    np.testing.assert_allclose(mean, weight * filters * pattern * (instants @ filters).var(), rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_relevance_of_a_linear_classifier_relative_to_the_average_trial(classes):
    signal = epochs(classes=classes)
    pipeline = classical.erp_lda(128).fit(signal.values, signal["label"].values)
    model = equivalents.from_linear(pipeline)
    composite = signalrp.composite("epsilon", epsilon=1e-12)
    explanation = signalrp.explain(model, signal[:7], composite=composite, audit=True, per_unit=True)
    found = relative_to_average(model, explanation, signal)
    expected = explanation["per_unit"] * (signal[:7] - signal.mean("trial"))
    np.testing.assert_allclose(found["relevance"], expected, rtol=1e-8, atol=1e-12)
    total = found["relevance"].sum(("channel", "time")) + found["absorbed"]
    np.testing.assert_allclose(total, found["explained"], atol=1e-10)
    assert "per_unit" not in found
    assert found.attrs["reference"] == "average trial"
    assert found["relevance"].attrs == explanation["relevance"].attrs


def test_dimensions_may_stand_in_another_order():
    signal = epochs()
    model = equivalents.from_csp_lda(classical.csp_lda(2).fit(signal.values, signal["label"].values))
    explanation = signalrp.explain(model, signal, composite="epsilon")
    expected = relative_to_average(model, explanation, signal)["relevance"]
    turned = relative_to_average(model, explanation, signal.transpose("time", "trial", "channel"))["relevance"]
    xr.testing.assert_allclose(turned, expected)
    found = patterns_of(model, signal.transpose("time", "trial", "channel"))
    xr.testing.assert_allclose(found, patterns_of(model, signal))


def test_what_is_not_classical_is_refused():
    signal = epochs()
    net = nn.Sequential(nn.Flatten(), nn.Linear(160, 3), nn.Tanh(), nn.Linear(3, 2)).double().eval()
    explanation = signalrp.explain(net, signal)
    for call in (lambda: patterns_of(net, signal), lambda: relative_to_average(net, explanation, signal)):
        with pytest.raises(TypeError, match="Sequential is neither of from_csp_lda nor of from_linear"):
            call()
    model = equivalents.from_linear(classical.erp_lda(128).fit(signal.values, signal["label"].values))
    function = signalrp.explain(model, signal, lambda out: out[:, 0] - out[:, 1])
    with pytest.raises(ValueError, match="has no target; explain classes"):
        relative_to_average(model, function, signal)
    explanation = signalrp.explain(model, signal)
    with pytest.raises(ValueError, match="differ in channel"):
        relative_to_average(model, explanation, signal[:, ::-1])
    with pytest.raises(ValueError, match="differ in time"):
        relative_to_average(model, explanation, signal[..., :-1])
    with pytest.raises(ValueError, match="expected trial, channel and time"):
        patterns_of(model, signal[0])
