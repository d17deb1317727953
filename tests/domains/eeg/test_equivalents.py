from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.csp import csp_relevance

import signalrp

mne = pytest.importorskip("mne")
pytest.importorskip("sklearn")

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer, StandardScaler  # noqa: E402
from sklearn.svm import SVC, LinearSVC  # noqa: E402

from signalrp.domains.eeg import classical, equivalents  # noqa: E402
from signalrp.domains.eeg.patterns import relative_to_average  # noqa: E402


@pytest.fixture(autouse=True)
def _quiet():
    with mne.use_log_level("error"):
        yield


def rhythms(classes: int = 2, trials: int = 90, channels: int = 6, times: int = 64, seed: int = 0):
    """Mixed noise in volt; the source of channel ``1 + class`` is twice as strong in its class."""
    rng = np.random.default_rng(seed)
    y = np.arange(trials) % classes
    sources = rng.normal(size=(trials, channels, times))
    sources[np.arange(trials), 1 + y] *= 2
    mixing = np.eye(channels) + 0.2 * rng.normal(size=(channels, channels))
    return 1e-5 * np.einsum("ck,nkt->nct", mixing, sources), y


def outputs(model, x) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor(np.asarray(x, dtype=np.float64))).numpy()


def decisions(estimator, x) -> np.ndarray:
    found = estimator.decision_function(x)
    return np.stack([-found, found], 1) if found.ndim == 1 else found


LDA = LinearDiscriminantAnalysis
CSP = mne.decoding.CSP


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(lambda: [*classical.csp_lda(4)], id="as made"),
        pytest.param(lambda: [*classical.csp_lda(3, band=(8, 30), sfreq=128, reg=0.1)], id="in a band"),
        pytest.param(lambda: [CSP(4, reg="oas"), LDA()], id="svd"),
        pytest.param(lambda: [CSP(4), LDA(solver="lsqr", shrinkage=0.3)], id="not standardised"),
        pytest.param(lambda: [CSP(4), StandardScaler(with_mean=False), LDA(solver="eigen")], id="eigen, not centred"),
        pytest.param(lambda: [CSP(4, log=True), StandardScaler(with_std=False), LDA()], id="centred only"),
        pytest.param(lambda: [CSP(4, log=False), LDA()], id="no logarithm"),
        pytest.param(lambda: [CSP(4, log=False), StandardScaler(), LDA()], id="no logarithm, standardised"),
        pytest.param(lambda: [CSP(4, norm_trace=True, cov_est="epoch"), LDA()], id="normed traces"),
        pytest.param(lambda: [CSP(20), LDA()], id="all components"),
        pytest.param(lambda: [CSP(2), "passthrough", LDA()], id="a step left out"),
    ],
)
def test_csp_and_lda_become_an_equal_module(classes, steps):
    x, y = rhythms(classes)
    names = np.array(["right", "feet", "left"])[y]
    pipeline = make_pipeline(*steps()).fit(x[:60], names[:60])
    model = equivalents.from_csp_lda(pipeline)
    assert not model.training
    np.testing.assert_allclose(outputs(model, x), decisions(pipeline, x), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(pipeline.classes_[outputs(model, x).argmax(1)], pipeline.predict(x))


def test_unequal_priors_are_those_of_the_module():
    x, y = rhythms()
    pipeline = make_pipeline(CSP(2), LDA(priors=[0.2, 0.8])).fit(x[:50], y[:50])
    np.testing.assert_allclose(outputs(equivalents.from_csp_lda(pipeline), x), decisions(pipeline, x), atol=1e-8)


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("band", [None, (8.0, 30.0)])
@pytest.mark.parametrize("classes", [2, 3])
def test_csp_is_explained_with_a_closed_account(log, band, classes):
    x, y = rhythms(classes)
    pipeline = classical.csp_lda(4, band=band, sfreq=128, log=log).fit(x, y)
    model = equivalents.from_csp_lda(pipeline)
    for composite in ("epsilon", "epsilon-plus"):
        result = signalrp.attribute(model, torch.tensor(x[:5]), composite=composite, audit=True)
        total = result.relevance.sum((1, 2)) + result.absorbed
        torch.testing.assert_close(total, result.explained, atol=1e-10, rtol=0)


@pytest.mark.parametrize("log", [True, False])
def test_relevance_of_csp_is_the_reference_element_by_element(log):
    x, y = rhythms(3)
    pipeline = classical.csp_lda(3, log=log).fit(x, y)
    model = equivalents.from_csp_lda(pipeline)
    target = np.array([0, 1, 2, 1])
    csp, scaler, lda = (step for _, step in pipeline.steps)
    features = pipeline[:1].transform(x).mean(0)
    typical = np.exp(features) if log else csp.mean_ + csp.std_ * features
    weight = lda.coef_ / scaler.scale_ * (1 if log else typical / csp.std_)
    reference = (csp.filters_[:3], typical, weight, x[:4], target, log)
    training = labelled(x)
    composite = signalrp.composite("epsilon", epsilon=1e-12)
    explanation = signalrp.explain(model, training[:4], list(target), composite)
    np.testing.assert_allclose(explanation["relevance"], csp_relevance(*reference), rtol=1e-6, atol=1e-9)
    relative = relative_to_average(model, explanation, training)
    np.testing.assert_allclose(relative["relevance"], csp_relevance(*reference, x), rtol=1e-6, atol=1e-8)


def labelled(x, y=None, sfreq: float = 128.0) -> xr.DataArray:
    return xr.DataArray(
        x,
        dims=("trial", "channel", "time"),
        coords={
            "channel": [f"E{i}" for i in range(x.shape[1])],
            "time": ("time", np.arange(x.shape[2]) / sfreq, {"units": "s"}),
            "label": ("trial", np.zeros(len(x), dtype=int) if y is None else y),
        },
        attrs={"units": "V"},
    )


def test_output_of_the_average_trial_is_what_is_left_in_the_bias():
    x, y = rhythms()
    model = equivalents.from_csp_lda(classical.csp_lda(2).fit(x, y))
    # Two classes of equal priors: nothing speaks for either.
    np.testing.assert_allclose(model.classifier.bias.detach(), 0, atol=1e-10)
    # The average of the logarithms of relative power is 0 in the training trials.
    with torch.no_grad():
        power = model.power(torch.tensor(x))
    np.testing.assert_allclose(power.log().mean(0), 0, atol=1e-10)


@pytest.fixture(scope="module")
def desynchronised():
    """A 10 Hz rhythm at electrode 3 of 8, which in class 0 falls to a quarter in the second half of a second."""
    rng = np.random.default_rng(0)
    trials, channels, times = 240, 8, 128
    y, time = np.arange(trials) % 2, np.arange(times) / 128
    mixing = np.eye(channels) + 0.3 * rng.normal(size=(channels, channels))
    x = np.einsum("ck,nkt->nct", mixing, rng.normal(size=(trials, channels, times)))
    size = np.where((y[:, None] == 0) & (time > 0.5), 0.5, 2.0)
    x[:, 3] += 2 * size * np.sin(2 * np.pi * 10 * time + rng.uniform(0, 2 * np.pi, (trials, 1)))
    return labelled(1e-5 * x, y)


def test_relevance_is_where_the_power_of_the_classes_differs(desynchronised):
    train, test = desynchronised[:160], desynchronised[160:]
    with mne.use_log_level("error"):
        pipeline = classical.csp_lda(2, band=(8, 12), sfreq=128).fit(train.values, train["label"].values)
    model = equivalents.from_csp_lda(pipeline)
    explanation = signalrp.explain(model, test, composite="epsilon", audit=True)
    right = (explanation["target"] == explanation["label"]).values
    assert right.mean() > 0.95
    relative = relative_to_average(model, explanation, train)
    for found in (explanation, relative):
        total = found["relevance"].sum(("channel", "time")) + found["absorbed"]
        np.testing.assert_allclose(total, found["explained"], atol=1e-9)
    # Nothing is left to absorb but stabilisers: the average trial decides for neither class.
    assert float(abs(relative["absorbed"]).max()) < 0.02 * float(abs(relative["explained"]).mean())
    for target in (0, 1):
        chosen = (explanation["target"] == target).values & right
        # Against silence, the rhythm speaks for class 1 and against class 0 wherever it is.
        silence = explanation["relevance"][chosen].mean("trial")
        assert np.sign(float(silence.sel(channel="E3").sum())) == (1 if target else -1)
        assert abs(silence).sum("time").values.argmax() == 3
        # Against the average trial, both classes have their reason where they differ: more, or less, of it.
        average = relative["relevance"][chosen].mean("trial")
        late = average.sel(time=slice(0.5, None))
        assert late.sum("time").values.argmax() == 3
        assert float(late.sel(channel="E3").sum()) > 0.8 * float(average.sum()) > 0


def test_removing_what_is_relevant_against_silence_takes_the_output_down(desynchronised):
    train, test = desynchronised[:160], desynchronised[160:]
    with mne.use_log_level("error"):
        pipeline = classical.csp_lda(2).fit(train.values, train["label"].values)
    model = equivalents.from_csp_lda(pipeline)
    relevance = signalrp.explain(model, test, target=1, composite="epsilon")["relevance"].values
    removed = np.where(np.arange(8)[:, None] == 3, 0.0, test.values)
    change = outputs(model, removed)[:, 1] - outputs(model, test.values)[:, 1]
    assert (relevance[:, 3].sum(1) > 0).all()
    assert (change < 0).all()


def test_other_pipelines_are_refused():
    x, y = rhythms()
    for steps in (
        [CSP(4), LogisticRegression()],
        [StandardScaler(), LDA()],
        [CSP(4), StandardScaler()],
        [FunctionTransformer(np.abs), CSP(4), LDA()],
        [CSP(4), StandardScaler(), StandardScaler(), LDA()],
    ):
        names = ", ".join(type(step).__name__ for step in steps)
        with pytest.raises(ValueError, match=f"the steps {names}; expected CSP"):
            equivalents.from_csp_lda(make_pipeline(*steps))
    with pytest.raises(ValueError, match="not fitted; call fit"):
        equivalents.from_csp_lda(classical.csp_lda(2))
    csp = CSP(4, transform_into="csp_space").fit(x, y)
    lda = LDA().fit(x[:, :4, 0], y)
    with pytest.raises(ValueError, match=r'transforms into "csp_space".*average_power'):
        equivalents.from_csp_lda(make_pipeline(csp, lda))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(lambda: [*classical.erp_lda(128)], id="as made"),
        pytest.param(lambda: [*classical.erp_lda(128, window=0.04)], id="whole windows"),
        pytest.param(lambda: [mne.decoding.Vectorizer(), StandardScaler(), LDA()], id="lda"),
        pytest.param(
            lambda: [
                mne.decoding.Scaler(mne.create_info(6, 128, "eeg")),
                mne.decoding.Vectorizer(),
                LDA(solver="lsqr", shrinkage="auto"),
            ],
            id="scaler and shrunk lda",
        ),
        pytest.param(
            lambda: [mne.decoding.Scaler(scalings="median"), *classical.erp_lda(128)], id="scaler and windows"
        ),
        pytest.param(lambda: [mne.decoding.Vectorizer(), LogisticRegression()], id="logistic"),
        pytest.param(lambda: [mne.decoding.Vectorizer(), RidgeClassifier(fit_intercept=False)], id="no intercept"),
        pytest.param(lambda: [mne.decoding.Vectorizer(), StandardScaler(), LinearSVC()], id="svm"),
        pytest.param(
            lambda: [mne.decoding.Vectorizer(), StandardScaler(), mne.decoding.LinearModel(LogisticRegression())],
            id="linear model of MNE",
        ),
    ],
)
def test_linear_classifiers_become_an_equal_module(classes, steps):
    x, y = rhythms(classes, times=25)
    x += 1e-5 * np.arange(6)[:, None]
    pipeline = make_pipeline(*steps()).fit(x[:60], y[:60])
    model = equivalents.from_linear(pipeline)
    np.testing.assert_allclose(outputs(model, x), decisions(pipeline, x), rtol=1e-8, atol=1e-8)
    result = signalrp.attribute(model, torch.tensor(x[:4]), audit=True)
    total = result.relevance.sum((1, 2)) + result.absorbed
    torch.testing.assert_close(total, result.explained, atol=1e-10, rtol=0)


def test_other_linear_estimators_are_refused():
    x, y = rhythms(3, times=4)
    flat = x.reshape(len(x), -1)
    with pytest.raises(ValueError, match="the steps CSP, LinearSVC; expected, if wanted, Scaler, Vectorizer"):
        equivalents.from_linear(make_pipeline(CSP(4), LinearSVC()))
    with pytest.raises(ValueError, match="LogisticRegression is not fitted or not a linear classifier"):
        equivalents.from_linear(LogisticRegression())
    with pytest.raises(ValueError, match="SVC is not fitted or not a linear classifier"):
        equivalents.from_linear(SVC().fit(flat, y))
    with pytest.raises(ValueError, match="LinearRegression is not fitted or not a linear classifier"):
        equivalents.from_linear(LinearRegression().fit(flat, y))
    with pytest.raises(ValueError, match="decides one-versus-one"):
        equivalents.from_linear(SVC(kernel="linear").fit(flat, y))


def test_equal_on_a_recording(shared_data):
    path = shared_data / "eeg_faceO_pylossless" / "faceO_epochs_128hz.npz"
    if not path.is_file():
        pytest.skip("eeg_faceO_pylossless is not in the folder of real signals")
    with np.load(path) as data:
        chosen = np.flatnonzero((data["subject"] == 0) & (data["label"] >= 2) & (data["label"] <= 3))
        x, y = 1e-7 * data["eeg_0p1uv"][chosen].astype(np.float64), data["label"][chosen] - 2
    # Checkers in the left or the right half of the field; the first two thirds of the recording tell the rest.
    train, test = slice(0, 2 * len(x) // 3), slice(2 * len(x) // 3, None)
    evoked = classical.erp_lda(128, window=0.1).fit(x[train], y[train])
    spatial = classical.csp_lda(band=(8, 30), sfreq=128).fit(x[train], y[train])
    for pipeline, least in ((evoked, 0.9), (spatial, 0.8)):
        model = equivalents.torch_model(pipeline)
        np.testing.assert_allclose(outputs(model, x[test]), decisions(pipeline, x[test]), rtol=1e-6, atol=1e-6)
        assert pipeline.score(x[test], y[test]) > least
