from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from signalrp.baselines import explain_with
from signalrp.validation import aopc, perturbation_curves
from signalrp.validation.context import context_ratio
from signalrp.validation.likeness import likeness
from signalrp.validation.localisation import mass_accuracy, pointing_game, rank_accuracy
from signalrp.validation.perturbation.regions import patches
from signalrp.validation.quantus import quantus_scores, to_quantus
from signalrp.validation.sanity import cascading_randomisation, efficient_mprt, histogram_entropy
from signalrp.validation.sanity import weights as sanity_module
from signalrp.validation.statistics import area_under_output

TRIALS, CHANNELS, LENGTH, CLASSES = 9, 4, 18, 3


@pytest.fixture
def quantus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # Quantus 0.6 computes areas by a function that NumPy 2.4 has under this name only
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    # it imports zennit where that is there, and zennit torchvision, which need not be there
    monkeypatch.setitem(sys.modules, "zennit", None)
    # OpenCV, which it imports, may be there and lack a library of the system
    reason = 'quantus cannot be imported: pip install "signalrp[quantus]"'
    return pytest.importorskip("quantus", reason=reason, exc_type=ImportError)


class Classifier(nn.Module):
    """Convolution over time, in 64 bits, of any signal (trial, …) whose last dimension is time."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(rows, 6, 5)
        self.second = nn.Linear(6 * (LENGTH - 4), CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        assert inputs.dtype == torch.float64
        return self.second(torch.tanh(self.first(inputs.flatten(1, -2))).flatten(1))


def case(shape: tuple[int, ...], dims: tuple[str, ...], seed: int = 0, **options: Any) -> tuple[nn.Module, xr.Dataset]:
    """A model of its own and the explanation of some trials, whose values 32 bits hold exactly."""
    torch.manual_seed(seed)
    model = Classifier(int(np.prod(shape[:-1]))).double().eval()
    values = np.random.default_rng(seed).normal(0.5, 1, size=(TRIALS, *shape)).astype(np.float32).astype(np.float64)
    signal = xr.DataArray(
        values,
        dims=("trial", *dims),
        coords={"subject": ("trial", np.arange(TRIALS) // 3), "label": ("trial", np.arange(TRIALS) % CLASSES)},
    )
    return model, explain_with("epsilon", model, signal, **options)


@pytest.fixture
def signals() -> tuple[nn.Module, xr.Dataset]:
    return case((CHANNELS, LENGTH), ("channel", "time"))


@pytest.fixture
def images() -> tuple[nn.Module, xr.Dataset]:
    return case((3, 4, LENGTH), ("rgb", "row", "column"))


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6, atol=1e-6)


def test_quantus_gets_what_was_explained(signals: tuple[nn.Module, xr.Dataset]) -> None:
    model, explanation = signals
    arguments = to_quantus(model, explanation)
    np.testing.assert_array_equal(arguments["x_batch"][:, 0], explanation["signal"])
    np.testing.assert_array_equal(arguments["a_batch"][:, 0], explanation["relevance"])
    assert arguments["x_batch"].shape == (TRIALS, 1, CHANNELS, LENGTH)
    assert arguments["s_batch"] is None
    assert (arguments["channel_first"], arguments["softmax"], arguments["device"]) == (True, False, "cpu")
    output = arguments["model"](torch.Tensor(arguments["x_batch"]))
    np.testing.assert_array_equal(output.detach(), explanation["output"])
    assert not arguments["model"].training
    # the class that was explained, not the one predicted
    of_one = explain_with("epsilon", model, explanation["signal"], 1)
    np.testing.assert_array_equal(to_quantus(model, of_one)["y_batch"], np.ones(TRIALS))
    np.testing.assert_array_equal(arguments["y_batch"], explanation["output"].argmax("class"))


@pytest.mark.parametrize("order", [("rgb", "row", "column"), ("row", "rgb", "column")])
def test_colours_are_quantus_channels_and_pixels_hold_them_together(order: tuple[str, ...]) -> None:
    sizes = {"rgb": 3, "row": 4, "column": LENGTH}
    model, explanation = case(tuple(sizes[dim] for dim in order), order)
    mask = xr.DataArray(np.arange(LENGTH) < 5, dims="column")
    arguments = to_quantus(model, explanation, mask, channel="rgb")
    turned = explanation[["signal", "relevance"]].transpose("trial", "rgb", "row", "column")
    np.testing.assert_array_equal(arguments["x_batch"], turned["signal"])
    close(arguments["a_batch"][:, 0], turned["relevance"].sum("rgb"))
    np.testing.assert_array_equal(
        arguments["s_batch"], np.broadcast_to(mask.values, (TRIALS, 1, 4, LENGTH)).astype(bool)
    )
    output = arguments["model"](torch.Tensor(arguments["x_batch"]))
    np.testing.assert_array_equal(output.detach(), explanation["output"])
    again = arguments["explain_func"](arguments["model"], arguments["x_batch"][:4], arguments["y_batch"][:4])
    close(again, arguments["a_batch"][:4])


@pytest.mark.parametrize("method", ["epsilon-plus", "amplitude", "gradient"])
def test_explains_again_by_the_method_of_the_explanation(method: str) -> None:
    pytest.importorskip("captum")
    model, explanation = case((CHANNELS, LENGTH), ("channel", "time"))
    explanation = explain_with(method, model, explanation["signal"])
    arguments = to_quantus(model, explanation)
    again = arguments["explain_func"](arguments["model"], arguments["x_batch"], arguments["y_batch"], device="cpu")
    close(again, arguments["a_batch"])
    other = to_quantus(model, explanation, method="epsilon")["explain_func"]
    expected = explain_with("epsilon", model, explanation["signal"])["relevance"].values[:, None]
    close(other(arguments["model"], arguments["x_batch"], arguments["y_batch"]), expected)


def test_another_method_than_the_explanations_is_not_taken_for_it(signals: tuple[nn.Module, xr.Dataset]) -> None:
    model, explanation = signals
    # the name alone does not tell the options
    coarse = explain_with("epsilon", model, explanation["signal"], epsilon=0.5)
    arguments = to_quantus(model, coarse)
    asked = arguments["model"], arguments["x_batch"], arguments["y_batch"]
    with pytest.raises(
        ValueError, match="Explaining again by 'epsilon' does not give the relevance of the explanation"
    ):
        arguments["explain_func"](*asked)
    again = to_quantus(model, coarse, method="epsilon", epsilon=0.5)["explain_func"]
    close(again(*asked), arguments["a_batch"])


@pytest.mark.parametrize("size", [1, 6])
def test_pixel_flipping_is_a_perturbation_curve(
    quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset], size: int
) -> None:
    model, explanation = signals
    samples = CHANNELS * LENGTH
    curves = perturbation_curves(
        model, explanation, orders="relevance", fill="zero", fractions=np.arange(0, samples + 1, size) / samples
    )
    settings = {"features_in_step": size, "perturb_baseline": 0.0}
    for direction, sign in (("morf", 1), ("lerf", -1)):
        ranked = explanation.assign(relevance=sign * explanation["relevance"])
        found = quantus_scores("PixelFlipping", model, ranked, settings=settings)
        assert found.dims == ("trial", "step")
        expected = curves["output"].sel(order="relevance", direction=direction)
        # Quantus leaves out the step that removes nothing
        close(found, expected.transpose("trial", "step")[:, 1:])
        area = quantus_scores("PixelFlipping", model, ranked, settings={**settings, "return_auc_per_sample": True})
        first = expected.isel(step=slice(2)).mean("step")
        ours = area_under_output(curves).sel(order="relevance", direction=direction)
        close(area, ours * (curves.sizes["step"] - 1) - first)


@pytest.mark.parametrize("direction", ["morf", "lerf"])
def test_region_perturbation_and_selectivity_remove_patches(
    quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset], direction: str
) -> None:
    model, explanation = signals
    regions = patches(explanation["signal"], {"channel": 2, "time": 2})
    curves = perturbation_curves(
        model, explanation, orders="relevance", fill="zero", segments=regions, direction=direction
    )
    output = curves["output"].sel(order="relevance", direction=direction).transpose("trial", "step")
    settings = {"patch_size": 2, "perturb_baseline": 0.0, "normalise": False}
    regional = {**settings, "order": direction, "regions_evaluation": 18}
    found = quantus_scores("RegionPerturbation", model, explanation, settings=regional)
    assert found.shape == (TRIALS, 18)
    close(found, (curves["initial_output"] - output)[:, 1:])
    # AOPC counts the step that removes nothing as well
    close(found.sum("step") / 19, aopc(curves).sel(order="relevance", direction=direction))
    if direction == "morf":
        close(quantus_scores("Selectivity", model, explanation, settings=settings), output[:, 1:])


def test_pixels_of_images_are_segments_of_all_colours(
    quantus: ModuleType, images: tuple[nn.Module, xr.Dataset]
) -> None:
    model, explanation = images
    pixels = xr.DataArray(np.arange(4 * LENGTH).reshape(4, LENGTH), dims=("row", "column"))
    curves = perturbation_curves(model, explanation, orders="relevance", fill="zero", segments=pixels, direction="morf")
    settings = {"features_in_step": 3, "perturb_baseline": 0.0}
    found = quantus_scores("PixelFlipping", model, explanation, settings=settings, channel="rgb")
    close(found, curves["output"].sel(order="relevance", direction="morf").transpose("trial", "step")[:, 1:])


@pytest.mark.parametrize(
    "dims", [("time",), ("channel",), ("channel", "time"), ("trial", "channel", "time"), ("trial", "time")]
)
def test_localisation_agrees(quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset], dims: tuple[str, ...]) -> None:
    model, explanation = signals
    sizes = tuple(explanation.sizes[dim] for dim in dims)
    draws = np.random.default_rng(len(dims)).random(sizes)
    mask = xr.DataArray((draws < 0.4) | (draws == draws.min()), dims=dims) & ~xr.DataArray(
        draws == draws.max(), dims=dims
    )
    positive = explanation.assign(relevance=explanation["relevance"].clip(min=0))
    plain = {"normalise": False, "abs": False}

    def scores(name: str, data: xr.Dataset, **settings: Any) -> xr.DataArray:
        return quantus_scores(name, model, data, mask, settings={**plain, **settings})

    mass = mass_accuracy(explanation, mask)
    close(scores("RelevanceMassAccuracy", positive), mass)
    close(scores("RelevanceMassAccuracy", explanation, abs=True), mass_accuracy(explanation, mask, "absolute"))
    close(scores("RelevanceRankAccuracy", explanation), rank_accuracy(explanation, mask))
    close(scores("RelevanceRankAccuracy", explanation, abs=True), rank_accuracy(explanation, mask, "absolute"))
    hits = scores("PointingGame", explanation)
    close(hits, pointing_game(explanation, mask))
    close(scores("PointingGame", explanation, abs=True), pointing_game(explanation, mask, "absolute"))
    inside = scores("AttributionLocalisation", explanation, positive_attributions=True)
    close(inside, mass)
    # the same share, as the density outside over that inside
    area = mask.broadcast_like(explanation["relevance"]).mean(("channel", "time"))
    close(((1 - inside) / (1 - area)) / (inside / area), context_ratio(explanation, mask))
    assert 0 < float(mass.mean()) < 1


class _Recorder:
    """Explains and keeps the models and their maps, each whole."""

    def __init__(self, explain_func: Any) -> None:
        self.explain_func = explain_func
        self.models: list[nn.Module] = []
        self.maps: list[np.ndarray] = []

    def __call__(self, model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **options: Any) -> np.ndarray:
        self.models.append(deepcopy(model.model))
        self.maps.append(self.explain_func(model, inputs, targets, **options))
        return self.maps[-1].copy()


def recorded(metric: Any, model: nn.Module, explanation: xr.Dataset, **changed: Any) -> tuple[Any, _Recorder]:
    arguments = to_quantus(model, explanation)
    recorder = _Recorder(arguments["explain_func"])
    return metric(**{**arguments, "explain_func": recorder, **changed}), recorder


def use(models: list[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our tests take these randomised models instead of drawing their own."""

    def given(*_: object) -> Iterator[nn.Module]:
        return iter(models)

    monkeypatch.setattr(sanity_module, "cascade", given)


def test_randomised_layers_change_the_maps_as_much(
    quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, explanation = signals
    cases = {
        "spearman-absolute": {},
        "spearman": {"abs": False},
        "correlation": {"abs": False, "similarity_func": quantus.similarity_func.correlation_pearson},
    }
    for measure, settings in cases.items():
        scores, recorder = recorded(quantus.MPRT(disable_warnings=True, **settings), model, explanation)
        assert list(scores) == ["original", "model.second", "model.first"]
        for layer, maps in zip(scores, recorder.maps, strict=True):
            close(scores[layer], likeness(explanation["relevance"].values, maps[:, 0], measure))
        close(scores["original"], np.ones(TRIALS))
        assert np.mean(scores["model.first"]) < 0.95
        use(recorder.models[1:], monkeypatch)
        check = cascading_randomisation(model, explanation, "epsilon", measures=[measure], repeats=1)
        assert list(check.table["layer"]) == ["second", "first"]
        close(check.table["similarity"], [np.mean(scores[layer]) for layer in ("model.second", "model.first")])
    named = quantus_scores("MPRT", model, explanation)
    assert named.dims == ("step", "trial")
    assert named["step"].values.tolist() == ["original", "second", "first"]


def test_efficient_mprt_agrees(
    quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, explanation = signals
    metric = quantus.EfficientMPRT(disable_warnings=True)
    scores, recorder = recorded(metric, model, explanation, softmax=True)
    before, after = (histogram_entropy(maps[:, 0], 100) for maps in (recorder.maps[0], recorder.maps[-1]))
    close(metric.explanation_scores_by_layer["orig"], before)
    close(scores, (after - before) / before)
    use(recorder.models[-1:], monkeypatch)
    check = efficient_mprt(model, explanation, "epsilon", repeats=1)
    close(check.table["rise"].iloc[0], np.mean(scores))
    close(quantus_scores("EfficientMPRT", model, explanation), scores)


def test_metrics_of_every_kind_take_it(quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset]) -> None:
    model, explanation = signals
    mask = xr.DataArray(np.arange(LENGTH) < 6, dims="time")
    settings: dict[str, dict[str, Any]] = {
        "FaithfulnessCorrelation": {"nr_runs": 4, "subset_size": 8},
        "FaithfulnessEstimate": {},
        "ROAD": {"percentages": [10, 50]},
        "Infidelity": {"n_perturb_samples": 2, "perturb_patch_sizes": [2]},
        "LocalLipschitzEstimate": {"nr_samples": 2},
        "MaxSensitivity": {"nr_samples": 2},
        "AUC": {},
        "TopKIntersection": {"k": 10},
        "Sparseness": {},
        "Complexity": {},
        "RandomLogit": {"num_classes": CLASSES},
        "Completeness": {},
        "SmoothMPRT": {"nr_samples": 2},
    }
    dims: dict[str, tuple[str, ...]] = {
        "FaithfulnessCorrelation": (),
        "ROAD": ("step",),
        "SmoothMPRT": ("step", "trial"),
    }
    for name, options in settings.items():
        found = quantus_scores(name, model, explanation, mask, settings=options)
        assert found.name == name
        assert found.dims == dims.get(name, ("trial",)), name
        assert np.isfinite(found).all(), name
        if "trial" in found.dims:
            np.testing.assert_array_equal(found["subject"], explanation["subject"])
    made = quantus_scores(quantus.TopKIntersection(k=10, disable_warnings=True), model, explanation, mask)
    xr.testing.assert_identical(made, quantus_scores("TopKIntersection", model, explanation, mask, settings={"k": 10}))


def test_maps_of_more_dimensions_are_taken(quantus: ModuleType) -> None:
    model, explanation = case((2, 3, LENGTH), ("channel", "frequency", "time"))
    mask = xr.DataArray([True, False, False], dims="frequency")
    found = quantus_scores("RelevanceRankAccuracy", model, explanation, mask)
    close(found, rank_accuracy(explanation, mask))
    curve = quantus_scores("PixelFlipping", model, explanation, settings={"features_in_step": 12})
    assert curve.sizes == {"trial": TRIALS, "step": 9}


def test_what_is_wrong_is_said(quantus: ModuleType, signals: tuple[nn.Module, xr.Dataset]) -> None:
    model, explanation = signals
    with pytest.raises(ValueError, match="Quantus has no metric 'Flipping'; choose from FaithfulnessCorrelation"):
        quantus_scores("Flipping", model, explanation)
    with pytest.raises(ValueError, match="PointingGame needs a mask of where the cause is"):
        quantus_scores("PointingGame", model, explanation)
    with pytest.raises(ValueError, match="settings are for a metric given by name"):
        quantus_scores(quantus.Sparseness(), model, explanation, settings={"abs": True})
    nameless = explanation.drop_attrs()
    assert np.isfinite(quantus_scores("Sparseness", model, nameless)).all()
    with pytest.raises(ValueError, match="does not name its method; give method="):
        quantus_scores("MaxSensitivity", model, nameless, settings={"nr_samples": 2})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda data: data.drop_vars("target"), {}, "has no variable 'target'"),
        (lambda data: data.drop_vars("signal"), {}, "has no variable 'signal'"),
        (lambda data: data.assign(waveform=data["signal"]), {}, "seen in another basis"),
        (lambda data: data, {"channel": "rgb"}, "channel is 'rgb'; the signal has channel, time"),
        (lambda data: data, {"mask": xr.DataArray([True], dims="row")}, "The mask has dimensions"),
        (
            lambda data: data,
            {
                "mask": xr.ones_like(xr.DataArray(np.ones((CHANNELS, LENGTH)), dims=("channel", "time")), bool),
                "channel": "channel",
            },
            "The mask depends on channel",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    signals: tuple[nn.Module, xr.Dataset], change: Any, options: dict[str, Any], message: str
) -> None:
    model, explanation = signals
    with pytest.raises(ValueError, match=message):
        to_quantus(model, change(explanation), **options)


def test_a_model_in_training_is_refused(signals: tuple[nn.Module, xr.Dataset]) -> None:
    model, explanation = signals
    with pytest.raises(ValueError, match="training mode"):
        to_quantus(model.train(), explanation)


def test_quantus_is_asked_for(signals: tuple[nn.Module, xr.Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quantus", None)
    with pytest.raises(ImportError, match=r'quantus_scores needs quantus: pip install "signalrp\[quantus\]"'):
        quantus_scores("Sparseness", *signals)
