"""Nothing silently wrong: what a method cannot be right for is refused in one sentence."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from reference.baseline_cases import OWN, REFERENCE, TRIALS, Epochs, ask, epochs
from reference.checks import assert_same_state, state
from reference.networks import network, randomise
from torch import nn

from signalrp.baselines import explain_with, methods

pytest.importorskip("captum")


@pytest.fixture
def model() -> nn.Module:
    return randomise(Epochs())


@pytest.fixture
def signal() -> xr.DataArray:
    return epochs().drop_vars("label")


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.lstm(x.mT)[0][:, -1]))


def test_recurrent_nets_are_explained_or_refused(signal):
    net = randomise(Recurrent())
    for name in OWN:
        if name == "deeplift":
            with pytest.raises(
                ValueError, match=r"miss the difference of the outputs, .* by .*; make every nonlinearity"
            ):
                ask(name, net, signal)
        elif name.startswith("pattern"):
            with pytest.raises(ValueError, match="uses weights or buffers in lstm"):
                ask(name, net, signal)
        else:
            assert np.isfinite(ask(name, net, signal)["relevance"]).all()
    plain = nn.Sequential(nn.RNN(20, 3, nonlinearity="relu"))
    for name in ("deconvnet", "guided-backprop"):
        with pytest.raises(ValueError, match="inside its kernel"):
            explain_with(name, plain.double().eval(), signal, lambda out: out[0].mean((1, 2)))


def test_models_without_relus_have_no_rule_for_them(signal):
    net, x = network("eegnet")
    for name in ("deconvnet", "guided-backprop"):
        with pytest.raises(ValueError, match=f"{name} is another rule for ReLUs and the model calls none"):
            explain_with(name, net, x.numpy())


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu = nn.Linear(60, 6), nn.Linear(6, 6), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.two(self.relu(self.one(x.flatten(1)))))


class Functional(Reused):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(F.relu(self.one(x.flatten(1))))


def test_deeplift_is_refused_where_captum_does_not_see_the_nonlinearity(signal):
    for net, message in (
        (Reused(), "it runs a module twice"),
        (Functional(), "miss the difference"),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.MaxPool1d(3, 1), nn.Flatten(), nn.Linear(64, 2)), "miss the difference"),
        (nn.Sequential(nn.MaxPool1d(2, dilation=2), nn.Flatten(), nn.Linear(27, 2)), "invalid output_size"),
    ):
        net = randomise(net)
        before = state(net)
        with pytest.raises(ValueError, match=f'{message}.*or use "integrated-gradients"'):
            ask("deeplift", net, signal)
        assert_same_state(before, state(net))


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(60, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.detach().flatten(1))


def test_models_that_cut_the_way_are_explained_by_occlusion_alone(signal):
    net = randomise(Cut())
    for name in ("gradient", "integrated-gradients", "smoothgrad", "gradient-shap", "deeplift"):
        with pytest.raises(ValueError, match=r'does not depend on the inputs by a differentiable way.*"occlusion"'):
            ask(name, net, signal)
    assert float(np.abs(ask("occlusion", net, signal)["relevance"]).min()) > 0


def test_a_derivative_that_does_not_exist_is_told(signal):
    with pytest.raises(ValueError, match="gradient is NaN or infinite in trial 2"):
        explain_with(
            "gradient", nn.Flatten().eval(), signal * 0 + (np.arange(7) != 2)[:, None, None], lambda x: x.sqrt()[:, 0]
        )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gradient", {"steps": 3}, "gradient takes no option 'steps'; it has none"),
        ("smoothgrad", {"sigma": 3}, "smoothgrad takes no option 'sigma'; it has samples, noise"),
        ("epsilon", {"samples": 3}, "does not take samples"),
        ("integrated-gradients", {"steps": 0}, "steps must be at least 1, found 0"),
        ("smoothgrad", {"samples": 0}, "samples must be at least 1, found 0"),
        ("smoothgrad", {"noise": 0}, "a share of the signal's range above 0"),
        ("gradient-shap", {"samples": 0}, "samples must be at least 1, found 0"),
        ("gradient", {"batch_size": 0}, "at least 1, found 0"),
        ("gradient", {"device": "cuda"}, "the model is on cpu and cuda was asked for"),
        *[(name, {"per_unit": True}, f"{name} is not the signal times") for name in OWN
          if name not in ("input-x-gradient",)],
        ("occlusion", {"segments": np.arange(19)}, r"Segments have shape \(19,\)"),
        ("occlusion", {"segments": np.zeros((20, 3), int)}, r"Segments have shape \(20, 3\)"),
        ("occlusion", {"segments": np.zeros(20)}, "Segments are float64; expected integer labels"),
        ("occlusion", {"segments": np.full(20, -1)}, "hold no label of 0 or more"),
        ("occlusion", {"segments": xr.DataArray([0, 1], dims="channel")}, r"Segments have shape \(2,\) over"),
        ("occlusion", {"segments": xr.DataArray([0, 1], dims="electrode")}, "lacks electrode"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(model, signal, name, options, message):
    with pytest.raises(ValueError, match=message):
        ask(name, model, signal, **options)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (REFERENCE[:, :2], r"the reference has shape \(12, 2, 20\); expected trials of shape \(3, 20\)"),
        (REFERENCE[:0], r"the reference has shape \(0, 3, 20\)"),
        (np.where(REFERENCE > 2, np.nan, REFERENCE), "values of the reference are NaN or infinite"),
        (REFERENCE.astype(complex), "the reference must hold real numbers, found complex128"),
        (xr.DataArray(REFERENCE[0], dims=("channel", "sample")), "the reference has dimensions"),
    ],
)
def test_references_that_do_not_fit_are_refused(model, signal, reference, message):
    with pytest.raises(ValueError, match=message):
        explain_with("integrated-gradients", model, signal, reference=reference)


def test_signals_that_do_not_fit_are_refused(model, signal):
    for wrong, message in (
        (signal[:0], "holds no trial"),
        (signal.where(signal < 2), "input values are NaN"),
        (signal.astype(complex), "real numbers"),
        (signal.transpose("time", ...), "the first must be 'trial'"),
        (signal.assign_coords(explained=("trial", np.arange(TRIALS))), "coordinate 'explained' has the name"),
        (signal.assign_coords(label=("trial", np.arange(TRIALS))), "labels run from 0 to 6"),
    ):
        with pytest.raises(ValueError, match=message):
            explain_with("amplitude", model, wrong)
    with pytest.raises(ValueError, match="training mode"):
        explain_with("gradient", model.train(), signal)
    with pytest.raises(ValueError, match="gradient-shap compares with data; give reference="):
        explain_with("gradient-shap", model.eval(), signal)


def test_without_captum_its_methods_say_what_to_install(model, signal, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "captum", None)
    needs = methods().set_index("name")["needs"].str.contains("captum")
    for name in OWN:
        if needs[name]:
            with pytest.raises(ImportError, match=r'this method needs captum: pip install "signalrp\[validation\]"'):
                ask(name, model, signal)
        else:
            assert ask(name, model, signal)["relevance"].shape == signal.shape
