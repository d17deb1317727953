from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.manipulation import nearest

from signalrp.validation import perturbation_curves
from signalrp.validation.perturbation.distance import REFERENCE_TRIALS, neighbours, watched
from signalrp.validation.perturbation.machine import _REFERENCE_STREAM


def hidden(model: torch.nn.Module, signal: np.ndarray) -> np.ndarray:
    return torch.relu(model.first(torch.tensor(signal).flatten(1))).detach().numpy()


def hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


def zeroed(explanation: xr.Dataset, order: np.ndarray, count: int) -> np.ndarray:
    cut = explanation["signal"].values.reshape(7, -1).copy()
    np.put_along_axis(cut, order[:, :count], 0, 1)
    return cut.reshape(explanation["signal"].shape)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
def test_distances_equal_a_dense_computation(model: torch.nn.Module, explanation: xr.Dataset, mode: str) -> None:
    curves = perturbation_curves(
        model, explanation, fill="zero", fractions=(0.25, 0.5, 1), repeats=2, batch_size=5, mode=mode
    )
    data = hidden(model, explanation["signal"].values)
    own = np.array([nearest(data[t], np.delete(data, t, 0)) for t in range(7)])
    unit = np.median(own)
    assert curves.attrs["distance_95"] == pytest.approx(np.percentile(own, 95) / unit, abs=1e-12)
    order = np.argsort(-explanation["relevance"].values.reshape(7, -1), 1)
    for step, count in enumerate((0, 9, 18, 36)):
        gone = order[:, :count] if mode == "deletion" else order[:, count:]
        found = hidden(model, zeroed(explanation, gone, 36))
        expected = [nearest(found[t], np.delete(data, t, 0)) / unit for t in range(7)]
        distance = curves["distance"].sel(order="relevance", direction="morf")[step]
        np.testing.assert_allclose(distance, expected, rtol=0, atol=1e-10)
    assert curves["distance"].dims == ("order", "direction", "step", "trial")
    assert curves["random_distance"].dims == ("repeat", "step", "trial")
    random = curves["distance"].sel(order="random", direction="lerf")
    np.testing.assert_allclose(random, curves["random_distance"].mean("repeat"))


def test_a_trial_is_not_its_own_neighbour_in_a_reference_that_holds_it(
    model: torch.nn.Module, explanation: xr.Dataset
) -> None:
    reference = np.concatenate([np.random.default_rng(0).normal(1, 1, (4, 3, 12)), explanation["signal"].values[:3]])
    curves = perturbation_curves(model, explanation, orders="relevance", reference=reference, fractions=(0.5,))
    data, trials = hidden(model, reference), hidden(model, explanation["signal"].values)
    unit = np.median([nearest(data[t], np.delete(data, t, 0)) for t in range(7)])
    for trial in range(7):
        others = np.delete(data, 4 + trial, 0) if trial < 3 else data
        expected = nearest(trials[trial], others) / unit
        assert curves["distance"][0, 0, 0, trial].item() == pytest.approx(expected, abs=1e-10)


def test_some_of_a_large_reference_are_drawn_with_the_seed(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    reference = np.random.default_rng(0).normal(1, 1, (500, 3, 12))
    for seed in (0, 1):
        curves = perturbation_curves(model, explanation, orders="relevance", reference=reference, seed=seed)
        drawn = np.random.default_rng([seed, _REFERENCE_STREAM]).choice(500, REFERENCE_TRIALS, replace=False)
        data = hidden(model, reference[drawn])
        unit = np.median([nearest(data[t], np.delete(data, t, 0)) for t in range(REFERENCE_TRIALS)])
        expected = [nearest(trial, data) / unit for trial in hidden(model, explanation["signal"].values)]
        np.testing.assert_allclose(curves["distance"][0, 0, 0], expected, rtol=0, atol=1e-10)


def test_far_fills_are_far(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    near, far = (
        perturbation_curves(model, explanation, orders="relevance", fill=fill, fractions=(1,))["distance"][0, 0, 1]
        for fill in ("trial-swap", lambda signal, mask: signal * 0 + 1000)
    )
    # a whole trial swapped is a trial of the data
    np.testing.assert_allclose(near, 0, atol=1e-12)
    assert (far > 100).all()


class Odd(torch.nn.Module):
    """Ends in something that no distance can be told of."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.last = torch.nn.Linear(12 if kind == "rows" else 36, 3).double()
        self.mixing = torch.nn.Parameter(torch.ones(36, 3, dtype=torch.float64))
        self.words = torch.nn.Embedding(2, 3).double()
        torch.nn.init.constant_(self.last.weight, 0.01)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.kind == "rows":
            return self.last(inputs.flatten(0, 1)).view(len(inputs), 3, 3).sum(1)
        if self.kind == "same":
            return self.last(inputs.flatten(1) * 0)
        if self.kind == "words":
            return self.words((inputs[:, 0, 0] > 0).long())
        return inputs.flatten(1) @ self.mixing


@pytest.mark.parametrize("kind", ["rows", "same", "words", "matrix"])
def test_without_features_of_trials_nothing_is_written(explanation: xr.Dataset, kind: str) -> None:
    model = Odd(kind).eval()
    bare = explanation.drop_vars(["output", "target"]).assign(label=("trial", [0, 1, 2, 0, 1, 2, 0]))
    curves = perturbation_curves(model, bare, repeats=2)
    assert not {"distance", "random_distance"} & set(curves.data_vars)
    assert "distance_95" not in curves.attrs


def test_functions_and_few_trials_have_no_distance(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    plain = perturbation_curves(lambda x: model(x.double()), explanation, repeats=2)
    assert "distance" not in plain
    np.testing.assert_allclose(
        plain["output"], perturbation_curves(model, explanation, repeats=2)["output"], rtol=1e-5, atol=1e-5
    )
    pair = explanation.isel(trial=[0, 3])
    assert "distance" not in perturbation_curves(model, pair, repeats=2)
    assert neighbours(torch.ones(5, 2), np.arange(5)) is None


def test_the_last_module_called_counts_and_kernels_do_too(explanation: xr.Dataset) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv1d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv1d(4, 3, 3), torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(), torch.nn.BatchNorm1d(3),
    ).double().eval()  # fmt: skip
    with watched(net) as features:
        inputs = torch.tensor(explanation["signal"].values)
        expected = net[:2](inputs).flatten(1)
        net(inputs)
        np.testing.assert_array_equal(features.of(7), expected.detach())
        assert features.of(7) is None
        net.half()(inputs.half())
        assert features.of(7).dtype == torch.float32
    assert hooks(net) == 0


def test_hooks_go_on_every_way_out(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    perturbation_curves(model, explanation, repeats=2)
    assert hooks(model) == 0

    def broken(signal: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert hooks(model) == 2
        raise KeyError("from the user's own fill")

    with pytest.raises(KeyError, match="the user's own"):
        perturbation_curves(model, explanation, fill=broken)
    assert hooks(model) == 0


def test_scripted_models_have_no_distance(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    scripted = torch.jit.trace(model, torch.tensor(explanation["signal"].values))
    assert "distance" not in perturbation_curves(scripted, explanation, repeats=2)
