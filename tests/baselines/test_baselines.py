"""What holds of every method: one call, one structure, nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.baseline_cases import CLASSES, NAMES, OWN, REFERENCE, RNG, Epochs, ask, epochs
from reference.checks import assert_same_state, state
from reference.networks import randomise
from torch import nn

import signalrp
from signalrp.baselines import explain_with, methods
from signalrp.propagation.composites import COMPOSITES

pytest.importorskip("captum")


@pytest.fixture
def model() -> nn.Module:
    return randomise(Epochs())


@pytest.fixture
def signal() -> xr.DataArray:
    return epochs()


def test_the_table_names_every_method_and_its_source():
    table = methods()
    assert table.columns.tolist() == ["name", "kind", "description", "needs", "source"]
    assert table["name"].is_unique
    assert table["name"][table["kind"] == "LRP composite"].tolist() == list(COMPOSITES)
    assert set(table["kind"]) == {"LRP composite", "baseline", "yardstick"}
    assert table["name"][table["kind"] == "yardstick"].tolist() == ["amplitude", "random"]
    assert (table["description"] != "").all()
    cited = table["source"].str.contains(r"\d{4}, (?:arXiv:\d{4}\.\d{5}|arXiv:\d{4}\.\d{4}|doi:10\.)")
    assert table["name"][~cited].tolist() == ["amplitude"]
    with pytest.raises(ValueError, match="there is no method 'saliency'; choose one of epsilon, ") as refusal:
        explain_with("saliency", nn.Flatten().eval(), np.zeros((1, 2, 3)))
    assert all(name in str(refusal.value) for name in table["name"])


@pytest.mark.parametrize("name", NAMES)
def test_every_method_returns_the_dataset_that_lrp_returns(model, signal, name):
    explanation = ask(name, model, signal, classes=CLASSES)
    wanted = signalrp.explain(model, signal, classes=CLASSES)
    assert explanation["relevance"].dtype == np.float64
    assert explanation["relevance"].attrs == wanted["relevance"].attrs
    xr.testing.assert_identical(
        explanation.drop_vars("relevance").drop_attrs(), wanted.drop_vars("relevance").drop_attrs()
    )
    xr.testing.assert_identical(explanation["signal"], wanted["signal"])
    assert explanation["relevance"].dims == signal.dims
    kept = {key: value for key, value in wanted.attrs.items() if key != "composite"}
    own = {"method": name} | ({"composite": name} if name in COMPOSITES else {})
    assert explanation.attrs == kept | own
    assert float(np.abs(explanation["relevance"]).sum()) > 0


def test_a_file_loses_nothing(model, signal, tmp_path):
    explanation = ask("deeplift", model, signal, classes=CLASSES)
    explanation.to_netcdf(tmp_path / "explanation.nc")
    xr.testing.assert_identical(signalrp.load(tmp_path / "explanation.nc"), explanation)


@pytest.mark.parametrize("name", NAMES)
def test_batches_do_not_change_the_result(model, signal, name):
    whole, parts = (ask(name, model, signal, batch_size=size)["relevance"] for size in (100, 3))
    np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-12 * float(np.abs(whole).max()))
    first = ask(name, model, signal[:2], batch_size=100)["relevance"]
    np.testing.assert_allclose(first, whole[:2], rtol=1e-9, atol=1e-12 * float(np.abs(whole).max()))


@pytest.mark.parametrize("name", NAMES)
def test_the_model_and_the_random_numbers_stay_as_they_are(model, signal, name):
    model.head.weight.requires_grad_(False)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    model.relu.register_forward_hook(lambda *_: None)
    before, weight = state(model), model.conv.weight.data_ptr()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    ask(name, model, signal)
    assert_same_state(before, state(model))
    assert model.conv.weight.data_ptr() == weight
    assert (model.conv.weight.grad == 1).all()
    assert model.relu.inplace
    assert torch.equal(numbers[0], torch.get_rng_state())
    assert (numbers[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    with pytest.raises(ValueError, match="one number per sample"):
        ask(name, model, signal, lambda out: out)
    assert_same_state(before, state(model))


@pytest.mark.parametrize("name", OWN)
def test_the_model_gets_no_more_than_a_batch(model, signal, name):
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    ask(name, model, signal, batch_size=4)
    handle.remove()
    # DeepLIFT runs each trial beside the reference.
    assert max(sizes) <= (8 if name == "deeplift" else 4)


PER_TRIAL = [2, 0, 1, 1, 2, 0, 2]
TARGETS = {
    "one": 1,
    "list": PER_TRIAL,
    "tensor": torch.tensor(PER_TRIAL),
    "callable": lambda out: out[:, 0] - out[:, 2],
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("kind", TARGETS)
def test_targets_are_those_of_lrp(model, signal, name, kind):
    target = TARGETS[kind]
    explanation = ask(name, model, signal, target, batch_size=3)
    wanted = signalrp.explain(model, signal, target, batch_size=3)
    np.testing.assert_allclose(explanation["explained"], wanted["explained"], rtol=1e-12)
    assert ("target" in explanation) == ("target" in wanted) == (kind != "callable")
    # The first trial by itself has the same random numbers.
    alone = ask(name, model, signal[:1], target if kind in ("one", "callable") else PER_TRIAL[0])["relevance"]
    scale = float(np.abs(explanation["relevance"]).max())
    np.testing.assert_allclose(alone[0], explanation["relevance"][0], rtol=1e-9, atol=1e-12 * scale)


class Regression(nn.Module):
    """One number per trial."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(60, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)[:, 0]


class Wrapped(nn.Module):
    """A dict comes out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.model(x)
        return {"loss": logits.mean(), "logits": logits}


@pytest.mark.parametrize("name", OWN)
def test_outputs_of_other_forms(model, signal, name):
    explanation = ask(name, randomise(Regression()), signal)
    assert explanation["output"].dims == ("trial",)
    assert "target" not in explanation
    np.testing.assert_array_equal(explanation["explained"], explanation["output"])
    wrapped, bare = (ask(name, m, signal)["relevance"] for m in (Wrapped(model).eval(), model))
    np.testing.assert_array_equal(wrapped, bare)


@pytest.mark.parametrize("name", OWN)
def test_signals_of_more_dimensions(name):
    dims = ("trial", "rgb", "frame", "row", "column")
    clips = xr.DataArray(RNG.normal(size=(3, 1, 6, 6, 6)), dims=dims, coords={"frame": ("frame", np.arange(6) / 25)})
    net = randomise(nn.Sequential(nn.Conv3d(1, 3, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(24, 2)))
    explanation = explain_with(name, net, clips, reference=clips, batch_size=2)
    assert explanation["relevance"].dims == dims
    xr.testing.assert_identical(explanation["frame"], clips["frame"])
    spectra = xr.DataArray(RNG.normal(size=(3, 2, 5, 8)), dims=("trial", "channel", "frequency", "time"))
    net = randomise(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 2)))
    assert explain_with(name, net, spectra, reference=spectra)["relevance"].dims == spectra.dims


@pytest.mark.parametrize("name", OWN)
def test_single_precision_and_plain_arrays(model, signal, name):
    double = ask(name, model, signal.values)["relevance"]
    single = ask(name, model.float(), torch.tensor(signal.values), channels=["a", "b", "c"], time=np.arange(20))
    assert single["relevance"].dtype == np.float32
    assert single["channel"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(single["relevance"], double, atol=2e-3 * float(np.abs(double).max()))


def test_composites_and_rules_are_methods(model, signal):
    rule = signalrp.Gamma(0.1)
    for method in (rule, signalrp.composite(rule)):
        explanation = explain_with(method, model, signal, per_unit=True, unknown="gradient", audit=True)
        wanted = signalrp.explain(model, signal, composite=rule, per_unit=True, audit=True)
        xr.testing.assert_identical(explanation, wanted.assign_attrs(method=wanted.attrs["composite"]))
    attention = explain_with("epsilon", model, signal, attention="attnlrp", epsilon=0.1)
    xr.testing.assert_equal(attention, signalrp.explain(model, signal, composite=signalrp.Epsilon(0.1)))
    with pytest.raises(ValueError, match="a composite has its options already, found epsilon"):
        explain_with(rule, model, signal, epsilon=0.1)


def returns(value: object) -> object:
    def mine(model: nn.Module, signal: xr.DataArray, target: object) -> object:
        assert isinstance(model, Epochs)
        assert signal.dims == ("trial", "channel", "time")
        assert target == 1
        return value

    return mine


def test_functions_are_methods(model, signal):
    twice = 2 * signal
    wanted = signalrp.explain(model, signal, 1, per_unit=True)
    for value in (twice, twice.values, torch.tensor(twice.values), twice.transpose("time", ...)):
        explanation = explain_with(returns(value), model, signal, 1, batch_size=3)
        np.testing.assert_array_equal(explanation["relevance"], twice)
        xr.testing.assert_allclose(explanation.drop_vars("relevance"), wanted.drop_vars(["relevance", "per_unit"]))
        assert explanation.attrs["method"] == "mine"
    xr.testing.assert_equal(explain_with(returns(wanted), model, signal, 1, per_unit=True), wanted)
    for value, message in (
        (signal[:3], r"mine returned relevance of shape \(3, 3, 20\)"),
        (signal.values.astype(str), r"expected real numbers in the shape of the signal, \(7, 3, 20\)"),
        (xr.Dataset({"saliency": signal}), "without the variable 'relevance'"),
        (signal * np.nan, "mine is NaN or infinite in trial 0"),
    ):
        with pytest.raises(ValueError, match=message):
            explain_with(returns(value), model, signal, 1)
    with pytest.raises(ValueError, match="mine takes no option 'steps'"):
        explain_with(returns(twice), model, signal, 1, steps=3)


def test_references_may_be_labelled(model, signal):
    wanted = ask("gradient-shap", model, signal)["relevance"]
    labelled = xr.DataArray(REFERENCE, dims=("trial", "channel", "time")).transpose("time", "trial", "channel")
    found = explain_with("gradient-shap", model, signal, reference=labelled)["relevance"]
    np.testing.assert_array_equal(found, wanted)
    one = explain_with("deeplift", model, signal, reference=labelled.isel(trial=0))["relevance"]
    np.testing.assert_array_equal(one, explain_with("deeplift", model, signal, reference=REFERENCE[:1])["relevance"])


def test_progress_counts_the_batches(model, signal, capsys):
    pytest.importorskip("tqdm")
    explain_with("gradient", model, signal, batch_size=3, progress=True)
    assert "3/3" in capsys.readouterr().err
