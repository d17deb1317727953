from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from signalrp.validation import perturbation_curves, windows
from signalrp.validation.checks import removal_steps
from signalrp.validation.orders import random_scores

FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0)


def removed_first(scores: NDArray[np.floating], lerf: bool) -> list[int]:
    """Piece numbers in the order of removal, by Python's own stable sort."""
    order = sorted(range(len(scores)), key=lambda piece: -scores[piece])
    return order[::-1] if lerf else order


def filled(
    trial: NDArray[np.floating], mask: NDArray[np.bool_], fill: str, reference: NDArray[np.floating]
) -> NDArray[np.floating]:
    result = trial.copy()
    for channel in range(trial.shape[0]):
        for time in range(trial.shape[1]):
            if not mask[channel, time]:
                continue
            if fill == "zero":
                result[channel, time] = 0
            elif fill == "mean" or mask[channel].all():
                result[channel, time] = reference[:, channel, time].mean()
            else:
                kept = np.flatnonzero(~mask[channel])
                result[channel, time] = np.interp(time, kept, trial[channel, kept])
    return result


def slow_curve(
    model: torch.nn.Module, explanation: xr.Dataset, scores: NDArray[np.floating], labels: NDArray[np.int64],
    counts: list[int], fill: str, lerf: bool, score: str = "sum",
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:  # fmt: skip
    """One trial and one step at a time, for scores per sample."""
    signal = explanation["signal"].values
    outputs, correct = np.empty((len(counts), len(signal))), np.empty((len(counts), len(signal)), bool)
    for trial, values in enumerate(signal):
        pieces = [piece for piece in np.unique(labels[trial]) if piece >= 0]
        sums = [getattr(scores[trial][labels[trial] == piece], score)() for piece in pieces]
        order = [pieces[i] for i in removed_first(np.array(sums), lerf)]
        before = model(torch.tensor(values[None]))[0].argmax()
        for step, count in enumerate(counts):
            mask = np.isin(labels[trial], order[:count])
            output = model(torch.tensor(filled(values, mask, fill, signal))[None])[0]
            outputs[step, trial] = output[before].item()
            correct[step, trial] = output.argmax().item() == explanation["label"].values[trial]
    return outputs, correct


def samples(explanation: xr.Dataset) -> NDArray[np.int64]:
    shape = explanation["signal"].shape
    return np.broadcast_to(np.arange(shape[1] * shape[2]).reshape(shape[1:]), shape)


@pytest.mark.parametrize("fill", ["mean", "zero", "interpolate"])
@pytest.mark.parametrize("direction", ["morf", "lerf"])
def test_samples_removed_as_in_an_explicit_loop(
    model: torch.nn.Module, explanation: xr.Dataset, fill: str, direction: str
) -> None:
    curves = perturbation_curves(model, explanation, fill=fill, fractions=FRACTIONS, repeats=2, seed=4, batch_size=20)
    counts = [int(fraction * 36) for fraction in FRACTIONS]
    lerf = direction == "lerf"
    for order in ("relevance", "amplitude"):
        scores = explanation["relevance"].values if order == "relevance" else abs(explanation["signal"].values)
        output, correct = slow_curve(model, explanation, scores, samples(explanation), counts, fill, lerf)
        found = curves.sel(order=order, direction=direction)
        np.testing.assert_allclose(found["output"], output, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found["correct"], correct)
    for repeat in range(2):
        scores = random_scores(slice(0, 7), 36, seed=4, repeat=repeat).numpy().reshape(7, 3, 12)
        output, correct = slow_curve(model, explanation, scores, samples(explanation), counts, fill, lerf=False)
        np.testing.assert_allclose(curves["random_output"][repeat], output, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(curves["random_correct"][repeat], correct)
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
    output, correct = slow_curve(
        model, explanation, explanation["relevance"].values, labels, list(range(7)), "mean",
        direction == "lerf", score,
    )  # fmt: skip
    np.testing.assert_allclose(curves["output"][0, 0], output, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(curves["correct"][0, 0], correct)


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


@pytest.mark.parametrize("fill", ["noise", "interpolate", "mean"])
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
@pytest.mark.parametrize("fill", ["mean", "zero", "interpolate", "noise"])
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
        (explanation.isel(channel=0, drop=True), {}, "signal has dimensions"),
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


def test_unfit_models_are_refused(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="training mode"):
        perturbation_curves(model.train(), explanation)
    model.eval()
    with pytest.raises(ValueError, match=r"expected a tensor \(trial, class\)"):
        perturbation_curves(lambda x: x, explanation)
    with pytest.raises(ValueError, match="NaN or infinite outputs"):
        perturbation_curves(lambda x: torch.full((len(x), 3), torch.nan), explanation)
