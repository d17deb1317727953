from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import signalrp

pytest.importorskip("mne")
pytest.importorskip("sklearn")

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from signalrp.domains.eeg import classical
from signalrp.domains.eeg.equivalents import CspLda, torch_model


class Fitted:
    """What is left of a fitted skorch net: the module's class, and the module."""

    def __init__(self, fit: bool = True) -> None:
        self.module = nn.Linear
        if fit:
            self.module_ = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).train()

    def fit(self, x, y):
        return self

    def predict(self, x):
        return x


class Search:
    def __init__(self, estimator=None) -> None:
        self.param_grid = {}
        if estimator is not None:
            self.best_estimator_ = estimator


def test_the_module_of_a_fitted_estimator_is_found():
    net = Fitted()
    for estimator in (
        net, net.module_, Search(net), Pipeline([("net", net)]),
        Pipeline([("nothing", "passthrough"), ("net", net)]),
    ):  # fmt: skip
        net.module_.train()
        assert torch_model(estimator) is net.module_
        assert not net.module_.training
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    explanation = signalrp.explain(torch_model(net), x, composite="epsilon")
    assert explanation["relevance"].shape == (4, 2, 3)


def test_estimators_of_scikit_learn_become_modules():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3, 24)), np.arange(40) % 2
    fitted = classical.csp_lda(2, reg=None).fit(x, y)
    assert isinstance(torch_model(fitted), CspLda)
    for linear, signal in (
        (classical.erp_lda(128).fit(x, y), x),
        (LinearDiscriminantAnalysis().fit(x[..., 0], y), x[..., :1]),
    ):
        out = torch_model(linear)(torch.tensor(signal)).detach().numpy()
        decision = linear.decision_function(signal if hasattr(linear, "steps") else signal[..., 0])
        np.testing.assert_allclose(out[:, 1], decision, atol=1e-9)


def test_estimators_without_a_module_are_refused():
    for estimator in (Fitted(fit=False), Search(), Pipeline([("net", Fitted(fit=False))])):
        with pytest.raises(ValueError, match=r"the (Fitted|Search) is not fitted; call fit"):
            torch_model(estimator)
    scaled = Pipeline([("scale", StandardScaler()), ("net", Fitted())])
    with pytest.raises(ValueError, match=r"by StandardScaler before its net; .*pipeline\[:-1\]"):
        torch_model(scaled)
    with pytest.raises(TypeError, match="no torch module is in the dict"):
        torch_model({})
    with pytest.raises(ValueError, match="the Pipeline is not fitted or not a linear classifier"):
        torch_model(Pipeline([("nothing", "passthrough")]))
