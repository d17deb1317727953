from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.manipulation import constant, slow_curve

from signalrp.validation import perturbation_curves
from signalrp.validation.perturbation.fills import _UNIFORM_STREAM
from signalrp.validation.perturbation.regions import patches, region_perturbation


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.data())
def test_patches_are_numbered_as_in_a_loop(shape: list[int], data: st.DataObject) -> None:
    dims = ["channel", "frequency", "row", "time"][-len(shape) :]
    signal = xr.DataArray(np.zeros((2, *shape)), dims=("trial", *dims))
    named = data.draw(st.lists(st.sampled_from(dims), min_size=1, unique=True))
    sizes = {dim: data.draw(st.integers(1, signal.sizes[dim])) for dim in named}
    labels = patches(signal, sizes)
    assert labels.dims == tuple(dim for dim in dims if dim in sizes)
    corners = sorted(np.ndindex(*[-(-signal.sizes[dim] // sizes[str(dim)]) for dim in labels.dims]))
    for index in np.ndindex(*labels.shape):
        corner = tuple(i // sizes[str(dim)] for i, dim in zip(index, labels.dims, strict=True))
        assert labels.values[index] == corners.index(corner)


def test_patches_keep_coordinates_and_make_smaller_ones_at_the_edge(explanation: xr.Dataset) -> None:
    labels = patches(explanation["signal"], {"time": 5, "channel": 2})
    assert labels.dims == ("channel", "time")
    assert labels.values[0].tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert labels.values[2].tolist() == [3] * 5 + [4] * 5 + [5] * 2
    np.testing.assert_array_equal(labels["channel"], explanation["channel"])


@pytest.mark.parametrize("direction", ["morf", "lerf"])
def test_regions_equal_a_loop_over_contents(model: torch.nn.Module, explanation: xr.Dataset, direction: str) -> None:
    sizes = {"channel": 2, "time": 5}
    curves = region_perturbation(model, explanation, sizes, steps=4, repeats=3, direction=direction, seed=7)
    assert curves["step"].values.tolist() == [0, 1, 2, 3, 4]
    signal, relevance = explanation["signal"].values, explanation["relevance"].values
    labels = np.broadcast_to(patches(explanation["signal"], sizes), signal.shape)
    low, high = signal.min((0, 2))[:, None], signal.max((0, 2))[:, None]
    outputs, correct = [], []
    for seed in np.random.SeedSequence(7).generate_state(3):
        draws = [np.random.default_rng([seed, _UNIFORM_STREAM, trial]).random((3, 12)) for trial in range(7)]
        output, chosen = slow_curve(
            model, signal, relevance, labels, list(range(5)), constant(low + (high - low) * np.array(draws)),
            lerf=direction == "lerf",
        )  # fmt: skip
        outputs.append(output)
        correct.append(chosen == explanation["label"].values)
    found = curves.sel(order="relevance", direction=direction)
    np.testing.assert_allclose(found["output"], np.mean(outputs, 0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["correct"], np.mean(correct, 0), rtol=0, atol=1e-12)
    assert dict(curves["random_output"].sizes) == {"repeat": 3, "step": 5, "trial": 7}
    random = curves["output"].sel(order="random", direction=direction)
    np.testing.assert_allclose(random, curves["random_output"].mean("repeat"), rtol=0, atol=1e-12)


def test_all_patches_are_all_there_is(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    curves = region_perturbation(model, explanation, {"time": 4}, fill="zero", repeats=2)
    assert curves["step"].values.tolist() == [0, 1, 2, 3]
    whole = perturbation_curves(model, explanation, segments=patches(explanation["signal"], {"time": 4}), fill="zero")
    for name in ("output", "correct", "distance"):
        there = whole[name].sel(order="relevance")
        np.testing.assert_allclose(curves[name].sel(order="relevance"), there, rtol=0, atol=1e-12)
    assert curves.attrs["regions"] == "4 time"
    assert curves.attrs["fill"] == "zero"
    assert curves.attrs["distance_95"] == pytest.approx(whole.attrs["distance_95"])


def test_patches_in_space_and_time(any_case: tuple[torch.nn.Module, xr.Dataset]) -> None:
    model, explanation = any_case
    sizes = {str(dim): 2 for dim in explanation["signal"].dims[1:][-3:]}
    curves = region_perturbation(model, explanation, sizes, repeats=2)
    whole = perturbation_curves(model, explanation, segments=patches(explanation["signal"], sizes), fill="uniform")
    assert curves["step"].values.tolist() == whole["step"].values.tolist()
    other = region_perturbation(model, explanation, sizes, repeats=2, seed=1)
    assert abs(curves["output"] - other["output"]).max() > 1e-3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "sizes is empty"),
        ({"frequency": 2}, "Patches along 'frequency' do not fit the signal; choose from channel, time"),
        ({"trial": 2}, "Patches along 'trial' do not fit"),
        ({"time": 13}, "A patch of 13 samples along time does not fit the signal; .* from 1 to 12"),
        ({"time": 0}, "A patch of 0 samples"),
        ({"channel": 1.5}, "A patch of 1.5 samples"),
    ],
)
def test_patches_outside_the_signal_are_refused(
    model: torch.nn.Module, explanation: xr.Dataset, sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        region_perturbation(model, explanation, sizes)


def test_steps_and_signal_are_needed(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    for options in ({"steps": 0}, {"repeats": 0}):
        with pytest.raises(ValueError, match="both must be at least 1"):
            region_perturbation(model, explanation, {"time": 2}, **options)
    with pytest.raises(ValueError, match="no variable 'signal'"):
        region_perturbation(model, explanation.drop_vars("signal"), {"time": 2})
