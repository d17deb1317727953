from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from reference.manipulation import fill_by_loops, removed_first, samples, slow_curve

from signalrp.validation import perturbation_curves, windows
from signalrp.validation.checks import removal_steps
from signalrp.validation.perturbation.fills import FILLS
from signalrp.validation.perturbation.machine import trials_at_once
from signalrp.validation.perturbation.orders import random_scores, removal_order
from signalrp.validation.statistics import area_under_accuracy, area_under_output

FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0)


@pytest.mark.parametrize("fill", ["mean", "zero", "interpolate"])
@pytest.mark.parametrize("direction", ["morf", "lerf"])
def test_samples_removed_as_in_an_explicit_loop(
    model: torch.nn.Module, explanation: xr.Dataset, fill: str, direction: str
) -> None:
    curves = perturbation_curves(model, explanation, fill=fill, fractions=FRACTIONS, repeats=2, seed=4, batch_size=20)
    counts = [int(fraction * 36) for fraction in FRACTIONS]
    values, label = explanation["signal"].values, explanation["label"].values
    lerf, filled, labels = direction == "lerf", fill_by_loops(fill, explanation["signal"]), samples(values.shape)
    for order in ("relevance", "amplitude"):
        scores = explanation["relevance"].values if order == "relevance" else abs(values)
        output, chosen = slow_curve(model, values, scores, labels, counts, filled, lerf=lerf)
        found = curves.sel(order=order, direction=direction)
        np.testing.assert_allclose(found["output"], output, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found["correct"], chosen == label)
    for repeat in range(2):
        scores = random_scores(slice(0, 7), 36, seed=4, repeat=repeat).numpy().reshape(7, 3, 12)
        output, chosen = slow_curve(model, values, scores, labels, counts, filled)
        np.testing.assert_allclose(curves["random_output"][repeat], output, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(curves["random_correct"][repeat], chosen == label)
    np.testing.assert_allclose(
        curves["correct"].sel(order="random", direction=direction), curves["random_correct"].mean("repeat")
    )


@pytest.mark.parametrize("score", ["sum", "mean"])
@pytest.mark.parametrize("direction", ["morf", "lerf"])
def test_segments_removed_as_in_an_explicit_loop(
    model: torch.nn.Module, explanation: xr.Dataset, score: str, direction: str
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 6, size=explanation["signal"].shape) * 10
    labels[2][labels[2] == 30] = 0  # a trial that lacks a segment
    curves = perturbation_curves(
        model, explanation, segments=labels, orders="relevance", direction=direction, segment_score=score
    )
    assert curves["step"].attrs["units"] == "segments"
    assert curves["step"].values.tolist() == [0, 1, 2, 3, 4, 5, 6]
    output, chosen = slow_curve(
        model, explanation["signal"].values, explanation["relevance"].values, labels, list(range(7)),
        fill_by_loops("mean", explanation["signal"]), lerf=direction == "lerf", score=score,
    )  # fmt: skip
    np.testing.assert_allclose(curves["output"][0, 0], output, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(curves["correct"][0, 0], chosen == explanation["label"].values)


def test_areas_are_those_of_trapezoids(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    curves = perturbation_curves(model, explanation, fractions=(0.1, 0.5, 0.7), repeats=2)
    for area, name in ((area_under_output, "output"), (area_under_accuracy, "correct")):
        found = area(curves)
        assert found.dims == ("order", "direction", "trial")
        for index in np.ndindex(found.shape):
            values = curves[name].transpose("order", "direction", "trial", "step").values[index]
            pieces = [(values[k] + values[k + 1]) / 2 * width for k, width in enumerate((10, 40, 20))]
            assert found.values[index] == pytest.approx(sum(pieces) / 70)


@pytest.mark.parametrize("size", [1, 2, 5, 2000])
def test_ties_are_broken_alike_by_any_sort(size: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, size=(4, size)).astype(float)
    scores[2] = rng.normal(size=size)
    scores[3] = -np.inf
    order = removal_order(torch.tensor(scores)).numpy()
    for trial in range(4):
        assert order[trial].tolist() == removed_first(scores[trial], lerf=False)


def test_segments_by_fraction_of_their_number(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    labels = windows(explanation["signal"], 4)
    one_by_one = perturbation_curves(model, explanation, segments=labels, repeats=2)
    halves = perturbation_curves(model, explanation, segments=labels, fractions=(0.5, 1), repeats=2)
    assert halves["step"].attrs["units"] == "%"
    assert halves["step"].values.tolist() == [0, 50, 100]
    np.testing.assert_allclose(halves["output"], one_by_one["output"].sel(step=[0, 6, 12]), rtol=0, atol=1e-12)


def test_fractions_round_down_but_not_below_what_they_mean() -> None:
    steps, counts = removal_steps((0.29, 0.019, 1.0), 100, one_by_one=False)
    np.testing.assert_allclose(steps, [0, 1.9, 29, 100])
    assert counts.tolist() == [0, 1, 29, 100]


def test_ties_go_in_the_order_of_channel_and_time(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    flat = explanation.assign(relevance=xr.zeros_like(explanation["relevance"]))
    curves = perturbation_curves(model, flat, orders="relevance", fractions=(0.5,), fill="zero")
    values = explanation["signal"].values
    for direction, removed in (("morf", slice(0, 18)), ("lerf", slice(18, 36))):
        cut = values.reshape(7, 36).copy()
        cut[:, removed] = 0
        output = model(torch.tensor(cut.reshape(values.shape))).detach().numpy()
        expected = output[np.arange(7), curves["predicted"]]
        np.testing.assert_allclose(curves["output"].sel(direction=direction, step=50)[0], expected, atol=1e-12)


@pytest.mark.parametrize("fill", FILLS)
def test_batches_equal_single_trials(model: torch.nn.Module, explanation: xr.Dataset, fill: str) -> None:
    whole = perturbation_curves(model, explanation, fill=fill, repeats=3)
    single = perturbation_curves(model, explanation, fill=fill, repeats=3, batch_size=1)
    xr.testing.assert_allclose(whole, single, rtol=0, atol=1e-12)


def test_seeds_repeat_and_differ(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    first, again, other = (
        perturbation_curves(model, explanation, fill="noise", repeats=2, seed=seed) for seed in (1, 1, 2)
    )
    xr.testing.assert_identical(first, again)
    for name in ("random_output", "output"):
        assert not np.allclose(first[name][..., 1:, :], other[name][..., 1:, :])
    assert not np.allclose(first["random_output"][0, 1:], first["random_output"][1, 1:])


def test_reference_and_transform(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    raw = explanation.assign(signal=explanation["signal"] * 10)
    reference = np.full((2, 3, 12), 5.0)
    curves = perturbation_curves(
        model, raw, reference=reference, transform=lambda x: x / 10, fractions=(1,), orders="relevance"
    )
    gone = model(torch.full((7, 3, 12), 0.5, dtype=torch.float64)).detach().numpy()
    expected = gone[np.arange(7), curves["predicted"]]
    np.testing.assert_allclose(curves["output"].sel(step=100, direction="morf")[0], expected)


def test_any_scores_may_order(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    orders = {"ours": "relevance", "theirs": explanation["relevance"].transpose("time", "trial", "channel")}
    curves = perturbation_curves(model, explanation, orders=orders)
    assert curves["order"].values.tolist() == ["ours", "theirs"]
    np.testing.assert_array_equal(curves["output"][0], curves["output"][1])
    assert "random_output" not in curves


def test_folds_join_and_survive_a_file(model: torch.nn.Module, explanation: xr.Dataset, tmp_path: Path) -> None:
    explanation = explanation.assign(label=("trial", np.arange(7) % 3))
    parts = [
        perturbation_curves(model, explanation.isel(trial=fold), repeats=2, reference=explanation["signal"])
        for fold in (slice(0, 3), slice(3, 7))
    ]
    joined = xr.concat(parts, "trial")
    whole = perturbation_curves(model, explanation, repeats=2)
    assert joined["subject"].values.tolist() == explanation["subject"].values.tolist()
    np.testing.assert_allclose(
        joined["output"].sel(order="relevance"), whole["output"].sel(order="relevance"), atol=1e-12
    )
    joined.to_netcdf(tmp_path / "curves.nc")
    with xr.open_dataset(tmp_path / "curves.nc") as loaded:
        xr.testing.assert_equal(joined, loaded.load())
        assert loaded["step"].attrs["units"] == "%"


def test_true_class_leaks(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    leaking = explanation.assign(target=explanation["label"])
    with pytest.warns(UserWarning, match="leaks the label"):
        perturbation_curves(model, leaking, orders="relevance")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        perturbation_curves(model, explanation, orders="relevance")


def test_model_stays_as_it_was(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    perturbation_curves(model, explanation, device="cpu")
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("fill", FILLS)
def test_cuda_equals_cpu(model: torch.nn.Module, explanation: xr.Dataset, fill: str) -> None:
    here = perturbation_curves(model, explanation, fill=fill, repeats=2)
    there = perturbation_curves(model, explanation, fill=fill, repeats=2, device="cuda")
    xr.testing.assert_allclose(here, there, atol=1e-10)
    assert next(model.parameters()).device.type == "cpu"


def test_bad_input_is_refused(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    broken = explanation.copy(deep=True)
    broken["relevance"][2, 0, 0] = np.nan
    other = explanation.assign(output=explanation["output"] + 1)
    label = explanation["label"]
    cases: list[tuple[xr.Dataset, dict[str, object], str]] = [
        (broken, {}, "relevance has NaN or infinite values in 1 of 7 trials, first in trial 2"),
        (explanation.drop_vars("label"), {}, "no variable 'label'"),
        (explanation.drop_vars("relevance"), {}, "no variable 'relevance'"),
        (explanation.isel(channel=0, time=0, drop=True), {}, "signal has dimensions .*expected trial and at least one"),
        (explanation.assign(relevance=explanation["relevance"][:, 0]), {}, "expected the same in both"),
        (explanation.assign(signal=explanation["signal"] + 0j), {}, "signal is complex128; expected real numbers"),
        (explanation.isel(trial=slice(0, 0)), {}, "is empty"),
        (explanation.assign(label=label + 0.5), {}, "integers counted from 0"),
        (explanation.assign(label=label + 9), {}, "the model knows classes 0 to 2"),
        (other, {}, "outputs differ"),
        (explanation, {"orders": "gradient"}, "'gradient' is unknown"),
        (explanation, {"orders": ()}, "orders is empty"),
        (explanation, {"orders": {"mine": np.zeros((7, 3))}}, "have shape"),
        (explanation, {"orders": {"mine": np.full((7, 3, 12), np.nan)}}, "not all finite"),
        (explanation, {"fill": "median"}, "'median' is unknown"),
        (explanation, {"fill": lambda signal, mask: signal[:1]}, "The fill returned"),
        (explanation, {"direction": "up"}, "'up' is unknown"),
        (explanation, {"fractions": (0.1, 1.5)}, "between 0 and 1"),
        (explanation, {"fractions": (-0.1,)}, "between 0 and 1"),
        (explanation, {"fractions": (0,)}, "nothing above 0"),
        (explanation, {"segments": np.zeros(5, int)}, "have shape"),
        (explanation, {"segments": np.zeros((1, 7, 3, 12), int)}, "have 4 dimensions"),
        (explanation, {"segments": xr.DataArray([0, 1], dims="frequency")}, "the signal .* lacks frequency"),
        (explanation, {"segments": windows(explanation["signal"], 4)[::-1]}, "different coordinates along channel"),
        (explanation, {"segments": windows(explanation["signal"], 4).assign_coords(time=range(12))}, "along time"),
        (explanation, {"orders": {"mine": explanation["relevance"][:, ::-1]}}, "'mine' and the signal have different"),
        (explanation, {"orders": {"mine": explanation["relevance"][0]}}, "Give one score per sample of every trial"),
        (explanation, {"reference": explanation["signal"][:, ::-1]}, "coordinates along channel"),
        (explanation, {"reference": explanation["signal"][0]}, "The reference has dimensions"),
        (explanation, {"mode": "erase"}, "'erase' is unknown"),
        (explanation, {"batch_size": 0}, "at least 1"),
        (explanation.isel(trial=[2]), {"fill": "trial-swap"}, "needs another trial .* reference="),
        (explanation.isel(trial=[2]), {}, "needs a mean over other trials"),
        (explanation, {"segments": np.zeros(12)}, "expected integer labels"),
        (explanation, {"segments": np.full(12, -1)}, "no label of 0 or more"),
        (explanation, {"segment_score": "max"}, "'max' is unknown"),
        (explanation, {"repeats": 0}, "at least 1"),
        (explanation, {"reference": np.zeros((4, 3, 5))}, "The reference has shape"),
        (explanation, {"reference": np.full((4, 3, 12), np.inf)}, "The reference has NaN"),
    ]
    for data, options, message in cases:
        with pytest.raises(ValueError, match=message):
            perturbation_curves(model, data, **options)


def test_labels_of_one_class_say_nothing(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    same = explanation.assign(label=xr.full_like(explanation["label"], 1))
    with pytest.warns(UserWarning, match="All trials have the label 1.*read the output instead"):
        perturbation_curves(model, same, orders="relevance")


def test_unfit_models_are_refused(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="training mode"):
        perturbation_curves(model.train(), explanation)
    model.eval()
    with pytest.raises(ValueError, match=r"expected a tensor \(trial, class\)"):
        perturbation_curves(lambda x: x, explanation)
    with pytest.raises(ValueError, match="NaN or infinite outputs"):
        perturbation_curves(lambda x: torch.full((len(x), 3), torch.nan), explanation)


@pytest.mark.parametrize(
    ("asked", "samples", "device", "expected"),
    [(None, 36, "cpu", 1024), (None, 22_000, "cpu", 23), (None, 2**22, "cpu", 1), (None, 22_000, "cuda", 1024),
     (None, 2**20, "cuda", 64), (5000, 22_000, "cpu", 5000)],
)  # fmt: skip
def test_batches_are_bounded_by_samples(asked: int | None, samples: int, device: str, expected: int) -> None:
    assert torch.get_num_threads() == 1
    assert trials_at_once(asked, samples, torch.device(device)) == expected
