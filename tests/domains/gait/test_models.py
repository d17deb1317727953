from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import signalrp
from signalrp.domains.gait import models, published

FOLDER = Path(os.environ.get("SIGNALRP_SHARED_DATA", "")) / "gait_clinical_grf"
needs_clinical = pytest.mark.skipif(
    not os.environ.get("SIGNALRP_SHARED_DATA") or not FOLDER.is_dir(),
    reason="gait_clinical_grf: SIGNALRP_SHARED_DATA names no folder that holds it",
)


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_network_takes_trials_and_returns_classes(name, channels):
    torch.manual_seed(0)
    model = models.MODELS[name](channels, 101, 4).eval()
    x = torch.randn(3, channels, 101)
    out = model(x)
    assert out.shape == (3, 4)
    # Logits: a softmax at the end would give relevance of one class to what speaks against the others.
    assert not torch.allclose(out.sum(1), torch.ones(3), atol=1e-3)
    # Trials do not see each other.
    torch.testing.assert_close(model(x[1:2]), out[1:2])


@pytest.mark.parametrize("name", models.MODELS)
def test_every_network_can_be_explained_with_a_closed_account(name):
    torch.manual_seed(0)
    model = models.MODELS[name](2, 101, 4).double().eval()
    result = signalrp.attribute(model, torch.randn(2, 2, 101, dtype=torch.float64), composite="epsilon", audit=True)
    total = result.relevance.sum((1, 2)) + result.absorbed
    torch.testing.assert_close(total, result.explained, atol=1e-10, rtol=0)


def layers(model: torch.nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for name, parameter in model.named_parameters() if name.endswith("weight")]


def test_layers_are_those_of_the_papers():
    assert layers(models.linear(6, 101, 57)) == [(57, 606)]
    assert layers(models.mlp(6, 101, 57)) == [(768, 606), (768, 768), (57, 768)]
    assert layers(models.mlp(1, 10, 3, hidden=(5,))) == [(5, 10), (3, 5)]
    assert layers(models.cnn_a(6, 101, 57)) == [(32, 6, 6), (57, 32 * 96)]
    assert layers(models.cnn_c3(6, 101, 57)) == [(32, 1, 3, 3), (32, 32, 3, 3), (32, 32, 2, 2), (57, 32 * 96)]
    assert layers(models.Cnn1DC8(6, 101, 2)) == [(24, 1, 8), (32, 24, 8), (48, 32, 6), (2, 48 * 48)]


@pytest.mark.parametrize(
    ("channels", "heights"), [(1, [1, 1, 1]), (2, [2, 1, 1]), (3, [3, 1, 1]), (4, [3, 2, 1]), (6, [3, 3, 2])]
)
def test_cnn_c3_spans_the_channels_that_are_left(channels, heights):
    shapes = layers(models.cnn_c3(channels, 20, 2))
    assert [shape[2] for shape in shapes[:3]] == heights
    assert [shape[3] for shape in shapes[:3]] == [3, 3, 2]


def test_signals_that_are_too_short_are_refused():
    for build, shortest in ((models.cnn_a, 6), (models.cnn_c3, 6)):
        assert build(2, shortest, 3).eval()(torch.zeros(1, 2, shortest)).shape == (1, 3)
        with pytest.raises(ValueError, match="resample"):
            build(2, shortest - 1, 3)
    with pytest.raises(ValueError, match="resample"):
        models.Cnn1DC8(1, 20, 3)


@needs_clinical
def test_published_network_has_its_published_accuracy():
    signal = published.published_input(FOLDER)
    injured = (signal["label"].values > 0).astype(int)
    accuracies = []
    for fold in range(10):
        weights = published.published_cnn(FOLDER, fold)
        model = models.Cnn1DC8.from_state(weights.state)
        assert tuple(layer.stride[0] for layer in (model.conv0, model.conv1, model.conv2)) == weights.strides
        assert not model.training
        assert model.linear.weight.dtype == torch.float64
        test = published.published_split(FOLDER, fold)
        with torch.no_grad():
            chosen = model(torch.from_numpy(signal.values[test])).argmax(1).numpy()
        accuracies.append((chosen == injured[test]).mean())
    assert np.mean(accuracies) == pytest.approx(0.861, abs=5e-4)


def test_weights_of_another_size_are_refused():
    state = models.Cnn1DC8(6, 101, 2).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        models.Cnn1DC8.from_state(state, channels=5)


def machine(classes: int, channels: int = 2, points: int = 9, **options):
    svm = pytest.importorskip("sklearn.svm")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, channels, points)).astype(np.float32)
    y = np.arange(60) % classes
    x[np.arange(60), 0, y] += 2
    # Names in an order of their own: outputs follow classes_, which is sorted.
    names = np.array(["c", "a", "b", "d"])[y]
    fitted = svm.LinearSVC(random_state=0, max_iter=20000, **options).fit(x.reshape(60, -1), names)
    return fitted, x


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}])
def test_a_linear_machine_becomes_an_equal_module(classes, options):
    fitted, x = machine(classes, **options)
    model = models.from_linear_svm(fitted, 2, 9)
    with torch.no_grad():
        out = model(torch.from_numpy(x)).numpy()
    decision = fitted.decision_function(x.reshape(60, -1))
    expected = np.stack([-decision, decision], 1) if classes == 2 else decision
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_array_equal(fitted.classes_[out.argmax(1)], fitted.predict(x.reshape(60, -1)))


def test_a_linear_machine_can_be_explained():
    fitted, x = machine(3)
    model = models.from_linear_svm(fitted, 2, 9)
    relevance = signalrp.explain(model, x, composite="epsilon")["relevance"].values
    chosen = fitted.decision_function(x.reshape(60, -1)).argmax(1)
    np.testing.assert_allclose(relevance, x * fitted.coef_[chosen].reshape(60, 2, 9), rtol=1e-3, atol=1e-5)


def test_machines_that_do_not_fit_are_refused():
    svm = pytest.importorskip("sklearn.svm")
    fitted, x = machine(3)
    for channels, points in ((3, 9), (2, 8)):
        with pytest.raises(ValueError, match=rf"\(3, 18\), expected one row .* {channels * points} columns"):
            models.from_linear_svm(fitted, channels, points)
    with pytest.raises(ValueError, match="LinearSVC is not fitted"):
        models.from_linear_svm(svm.LinearSVC(), 2, 9)
    y = np.arange(60) % 4
    with pytest.raises(ValueError, match="SVC is not fitted or not linear"):
        models.from_linear_svm(svm.SVC(kernel="rbf").fit(x.reshape(60, -1), y), 2, 9)
    # One-versus-one: three classes have three pairs, so that the shape of the weights tells nothing.
    for classes in (3, 4):
        pairs = svm.SVC(kernel="linear").fit(x.reshape(60, -1), np.arange(60) % classes)
        with pytest.raises(ValueError, match="decides one-versus-one"):
            models.from_linear_svm(pairs, 2, 9)


def test_a_machine_of_two_classes_may_be_of_any_linear_kind():
    svm = pytest.importorskip("sklearn.svm")
    _, x = machine(2)
    fitted = svm.SVC(kernel="linear").fit(x.reshape(60, -1), np.arange(60) % 2)
    with torch.no_grad():
        out = models.from_linear_svm(fitted, 2, 9)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(out[:, 1], fitted.decision_function(x.reshape(60, -1)), atol=1e-5)
    np.testing.assert_array_equal(out[:, 0], -out[:, 1])
