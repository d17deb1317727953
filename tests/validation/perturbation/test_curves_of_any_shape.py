"""Signals of any dimensions, segments over some of them, and both modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.manipulation import constant, fill_by_loops, samples, slow_curve

from signalrp.validation import perturbation_curves, windows
from signalrp.validation.perturbation.fills import UserFill

FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
@pytest.mark.parametrize("fill", ["mean", lambda signal, mask: signal * 0])
def test_signals_of_any_dimensions_as_in_an_explicit_loop(
    any_case: tuple[torch.nn.Module, xr.Dataset], mode: str, fill: str | UserFill
) -> None:
    model, explanation = any_case
    values, relevance = explanation["signal"].values, explanation["relevance"].values
    name = fill if isinstance(fill, str) else "zero"
    count = values[0].size
    counts = [int(fraction * count) for fraction in FRACTIONS]
    curves = perturbation_curves(model, explanation, fill=fill, fractions=FRACTIONS, repeats=1, mode=mode, batch_size=9)
    for direction in ("morf", "lerf"):
        output, chosen = slow_curve(
            model, values, relevance, samples(values.shape), counts, fill_by_loops(name, explanation["signal"]),
            lerf=direction == "lerf", insertion=mode == "insertion",
        )  # fmt: skip
        found = curves.sel(order="relevance", direction=direction)
        np.testing.assert_allclose(found["output"], output, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found["correct"], chosen == explanation["label"].values)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.sampled_from(["morf", "lerf"]),
    st.integers(1, 40), st.integers(0, 2**31),
)  # fmt: skip
def test_any_shape_as_in_an_explicit_loop(
    shape: list[int], insertion: bool, direction: str, batch_size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values, relevance = rng.normal(size=(3, *shape)), rng.integers(-2, 3, size=(3, *shape)).astype(float)
    dims = ("trial", "a", "b", "c", "d")[: len(shape) + 1]
    explanation = xr.Dataset({"signal": (dims, values), "relevance": (dims, relevance), "label": ("trial", [0, 1, 2])})
    weights = torch.tensor(rng.normal(size=(values[0].size, 3)))
    counts = list(range(values[0].size + 1))
    curves = perturbation_curves(
        lambda x: torch.tanh(x.double().flatten(1)) @ weights, explanation, orders="relevance", direction=direction,
        fractions=np.array(counts) / counts[-1], batch_size=batch_size, mode="insertion" if insertion else "deletion",
    )  # fmt: skip
    output, _ = slow_curve(
        lambda x: torch.tanh(x.flatten(1)) @ weights, values, relevance, samples(values.shape), counts,
        constant(values.mean(0)), lerf=direction == "lerf", insertion=insertion,
    )  # fmt: skip
    # a plain function is given single precision
    np.testing.assert_allclose(curves["output"][0, 0], output, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
def test_segments_over_some_dimensions_as_in_an_explicit_loop(
    any_case: tuple[torch.nn.Module, xr.Dataset], mode: str
) -> None:
    model, explanation = any_case
    signal, relevance = explanation["signal"], explanation["relevance"].values
    rng = np.random.default_rng(1)
    for dims in ((signal.dims[-1],), (signal.dims[0], signal.dims[-1]), signal.dims[:0:-1]):
        shape = [signal.sizes[dim] for dim in dims]
        labels = xr.DataArray(rng.integers(-1, 3, size=shape), dims=dims)
        labels[{dims[0]: 0, dims[-1]: 0}] = 2
        whole = labels.broadcast_like(signal).transpose(*signal.dims).values
        curves = perturbation_curves(model, explanation, orders="relevance", segments=labels, mode=mode)
        counts = curves["step"].values.astype(int).tolist()
        output, chosen = slow_curve(
            model, signal.values, relevance, whole, counts, fill_by_loops("mean", signal),
            insertion=mode == "insertion",
        )  # fmt: skip
        np.testing.assert_allclose(curves["output"].sel(direction="morf")[0], output, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(curves["correct"].sel(direction="morf")[0], chosen == explanation["label"].values)


@pytest.mark.parametrize("fill", ["mean", "interpolate", "noise"])
@pytest.mark.parametrize("by", ["samples", "segments"])
def test_insertion_is_deletion_from_the_other_end(
    model: torch.nn.Module, explanation: xr.Dataset, fill: str, by: str
) -> None:
    segments = windows(explanation["signal"], 4) if by == "segments" else None
    fractions = (0, 0.25, 0.5, 0.75, 1)
    deleted, inserted = (
        perturbation_curves(
            model, explanation, orders=("relevance", "amplitude"), fill=fill, segments=segments, fractions=fractions,
            mode=mode,
        )
        for mode in ("deletion", "insertion")
    )  # fmt: skip
    for direction, other in (("morf", "lerf"), ("lerf", "morf")):
        for name in ("output", "correct", "distance"):
            there = deleted[name].sel(direction=other)[:, ::-1].values
            np.testing.assert_allclose(inserted[name].sel(direction=direction), there, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(inserted["initial_output"], deleted["initial_output"])
    assert inserted["step"].attrs == {"long_name": "inserted", "units": "%"}
    assert (deleted.attrs["perturbation"], inserted.attrs["perturbation"]) == ("deletion", "insertion")


def test_samples_that_belong_to_no_segment_are_there_from_the_first_insertion(
    model: torch.nn.Module, explanation: xr.Dataset
) -> None:
    labels = np.full(12, -1)
    labels[3:5] = 0
    curves = perturbation_curves(model, explanation, orders="relevance", fill="zero", segments=labels, mode="insertion")
    cut = explanation["signal"].values.copy()
    cut[:, :, 3:5] = 0
    expected = model(torch.tensor(cut)).detach().numpy()[np.arange(7), curves["predicted"]]
    for direction in ("morf", "lerf"):
        found = curves["output"].sel(order="relevance", direction=direction)
        np.testing.assert_allclose(found.sel(step=0), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.sel(step=1), curves["initial_output"], rtol=0, atol=1e-12)


def test_the_model_gets_the_dimensions_in_the_order_of_the_signal(
    model: torch.nn.Module, explanation: xr.Dataset
) -> None:
    class Turned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.model(inputs.transpose(1, 2))

    segments = windows(explanation["signal"], 4)
    turned = explanation.transpose("time", "channel", "trial", "class")
    found = perturbation_curves(Turned().eval(), turned, segments=segments, repeats=2)
    xr.testing.assert_allclose(found, perturbation_curves(model, explanation, segments=segments, repeats=2))


def test_plain_segments_of_other_dimensions_have_the_whole_shape(any_case: tuple[torch.nn.Module, xr.Dataset]) -> None:
    model, explanation = any_case
    signal = explanation["signal"]
    labels = np.arange(signal[0].size).reshape(signal.shape[1:]) % 2
    for whole in (labels, np.broadcast_to(labels, signal.shape)):
        curves = perturbation_curves(model, explanation, segments=whole, orders="relevance")
        assert curves["step"].values.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"Give an xarray.DataArray to say which dimensions"):
        perturbation_curves(model, explanation, segments=np.zeros(signal.shape[1] + 1, int))
