from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from reference import likeness as slow
from reference.planted import cnn, mlp, planted, trained
from torch import nn

import signalrp
from signalrp.validation.sanity.contrast import class_contrast, input_invariance


@pytest.fixture(scope="module")
def signal() -> xr.DataArray:
    return planted(30, 1)


def gradients(model: nn.Module, signal: xr.DataArray, target: torch.Tensor | np.ndarray | None) -> np.ndarray:
    x = torch.tensor(signal.values, requires_grad=True)
    output = model(x)
    chosen = output.argmax(1) if target is None else torch.as_tensor(target)
    (gradient,) = torch.autograd.grad(output[torch.arange(len(x)), chosen].sum(), x)
    return gradient.numpy()


def maps(model: nn.Module, signal: xr.DataArray, target: int) -> np.ndarray:
    return signalrp.explain(model, signal, target, "epsilon")["relevance"].values


def test_contrast_equals_loops_over_classes_and_trials(signal):
    model, few = trained(mlp), signal[:5]
    with torch.no_grad():
        output = model(torch.tensor(few.values)).numpy()
    by_class = [maps(model, few, target) for target in range(3)]
    table = class_contrast(model, few, "epsilon").table.set_index(["other", "measure"])["similarity"]
    expected = np.zeros((2, 5))
    for trial, scores in enumerate(output):
        first, *others = np.argsort(-scores)
        for rank, other in enumerate(others):
            expected[rank, trial] = slow.spearman(by_class[first][trial], by_class[other][trial])
    assert table["1", "spearman"] == pytest.approx(expected[0].mean())
    assert table["2", "spearman"] == pytest.approx(expected[1].mean())
    assert table["all", "spearman"] == pytest.approx(expected.mean())
    assert table["all", "spearman-up-to-sign"] == pytest.approx(abs(expected).mean())
    one = class_contrast(model, few, "epsilon", others=1)
    assert one.table["other"].tolist() == ["all", "1", "all", "1"]
    assert one.table["similarity"].iloc[0] == pytest.approx(expected[0].mean())
    assert "for 1 of 2 other classes" in one.statement


@pytest.mark.parametrize("build", [cnn, mlp])
@pytest.mark.parametrize("method", ["input-x-gradient", "epsilon", "epsilon-plus", gradients])
def test_maps_that_tell_classes_apart_pass(build, method, signal):
    check = class_contrast(trained(build), signal, method)
    assert check, check
    assert check.table["similarity"].iloc[0] < 0


@pytest.mark.parametrize("method", ["guided-backprop", "amplitude", signalrp.ZPlus(), "deep-taylor"])
def test_class_blind_maps_fail(method, signal):
    check = class_contrast(trained(cnn), signal, method)
    assert not check, check
    assert "do not tell classes well apart" in check.statement


def test_deconvnet_is_blind_in_a_deeper_net(signal):
    def deep(classes: int) -> nn.Module:
        layers = [part for before in (3, *[16] * 6) for part in (nn.Conv1d(before, 16, 3, padding=1), nn.ReLU())]
        return nn.Sequential(
            *layers, nn.MaxPool1d(2), nn.Flatten(), nn.Linear(320, 32), nn.ReLU(), nn.Linear(32, classes)
        )

    model = trained(deep)
    assert not class_contrast(model, signal, "deconvnet")
    assert class_contrast(model, signal, "epsilon")


def test_a_map_that_only_turns_round_is_found_by_its_size(signal):
    """ZPlus draws one map for all classes and gives it the sign of the output."""
    check = class_contrast(trained(mlp), signal, signalrp.ZPlus())
    signed, unsigned = (
        check.table.set_index(["other", "measure"]).loc[("all", name)] for name in ("spearman", "spearman-up-to-sign")
    )
    assert signed["high"] < 0.5
    assert unsigned["similarity"] > 0.9


def test_of_two_classes_the_sign_decides():
    signal = planted(20, 1, classes=2)
    model = trained(mlp, 2)
    check = class_contrast(model, signal, "epsilon")
    assert check, check
    assert check.table["similarity"].iloc[0] < -0.9
    assert "asked for is below 0.5 with sign" in check.statement
    assert not class_contrast(model, signal, "amplitude")


def test_contrast_needs_classes(signal):
    single = nn.Sequential(nn.Flatten(), nn.Linear(120, 1)).eval()
    with pytest.raises(ValueError, match=r"output has shape \(30, 1\); class contrast needs"):
        class_contrast(single, signal.drop_vars("label"))
    with pytest.raises(ValueError, match="class contrast needs"):
        class_contrast(trained(mlp), signal, target=lambda output: output[:, 0])
    with pytest.raises(ValueError, match="others is 3; the model has 2 other classes, ask for 1 to 2"):
        class_contrast(trained(mlp), signal, others=3)
    with pytest.raises(ValueError, match="All 30 trials belong to 1 cluster"):
        class_contrast(trained(mlp), signal.assign_coords(subject=("trial", ["me"] * 30)))


@pytest.mark.parametrize("build", [cnn, mlp])
def test_gradients_stay_and_products_with_the_signal_do_not(build, signal):
    model = trained(build)
    before = copy.deepcopy(model.state_dict())
    for method in ("gradient", "guided-backprop"):
        assert input_invariance(model, signal, method), method
    for method in ("input-x-gradient", "integrated-gradients", "epsilon", "amplitude"):
        check = input_invariance(model, signal, method)
        assert not check, method
        assert check.table["change"].item() > 0.2
        assert "relative to the zero of the signal" in check.statement
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_the_change_equals_the_formula(signal):
    """Input x gradient by hand: the gradient stays, the input does not."""
    model = trained(mlp)
    gradient = gradients(model, signal, None)
    shift = np.array([[0.5], [-1.0], [2.0]])
    check = input_invariance(model, signal, "input-x-gradient", shift=shift)
    size = lambda maps: np.sqrt((maps**2).sum((1, 2)))  # noqa: E731
    expected = size(shift * gradient) / size(signal.values * gradient)
    assert check.table["change"].item() == pytest.approx(expected.mean(), rel=1e-4)
    moved = [
        slow.spearman(a, b) for a, b in zip(signal.values * gradient, (signal.values + shift) * gradient, strict=True)
    ]
    assert check.table["spearman"].item() == pytest.approx(np.mean(moved), abs=1e-3)


def test_the_shift_is_one_standard_deviation_of_each_channel_by_default(signal):
    scaled = signal * xr.DataArray([1.0, 10.0, 0.0], dims="channel").astype(np.float32)
    seen = []

    def watch(model: nn.Module, signal: xr.DataArray, target: object) -> np.ndarray:
        seen.append(signal.values)
        return np.random.default_rng(0).normal(size=signal.shape)

    input_invariance(trained(mlp), scaled, watch)
    first, second = seen
    np.testing.assert_allclose(
        second - first, np.broadcast_to(scaled.values.std((0, 2))[:, None], (30, 3, 40)), atol=1e-4
    )


class Normalised(nn.Module):
    """What it does first is no weighted sum."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(120, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.tanh(x.flatten(1)))


def ending(features: int, *first: nn.Module) -> nn.Module:
    return nn.Sequential(*first, nn.ReLU(), nn.Flatten(), nn.Linear(features, 3))


@pytest.mark.parametrize(
    ("build", "how"),
    [
        (lambda: ending(144, nn.Conv1d(3, 4, 5)), "bias"),
        (lambda: ending(144, nn.Conv1d(3, 4, 5, bias=False)), "bias"),
        (lambda: ending(120, nn.Flatten(), nn.Linear(120, 120, bias=False)), "bias"),
        (lambda: ending(304, nn.Unflatten(1, (1, 3)), nn.Conv2d(1, 4, (2, 3))), "subtraction"),
        (lambda: ending(160, nn.Conv1d(3, 4, 5, padding=2)), "subtraction"),
        (lambda: ending(12, nn.Linear(40, 4)), "subtraction"),
        (lambda: ending(120, nn.BatchNorm1d(3)), "subtraction"),
        (Normalised, "subtraction"),
    ],
)
def test_the_shifted_model_says_the_same_of_the_shifted_signal(build, how, signal):
    torch.manual_seed(0)
    model = build().eval()
    outputs = []

    def watch(model: nn.Module, signal: xr.DataArray, target: object) -> np.ndarray:
        with torch.no_grad():
            outputs.append(model(torch.tensor(signal.values)).numpy())
        return gradients(model, signal, target)

    check = input_invariance(model, signal, watch, shift=[[1.0], [2.0], [-3.0]])
    assert check.table["compensated"].item() == how
    np.testing.assert_allclose(*outputs, atol=1e-5)
    assert check


class Gain(nn.Module):
    """The same model behind a factor of 1, which has no bias to change."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x * self.gain)


def test_for_epsilon_a_changed_bias_and_a_subtraction_are_the_same(signal):
    model = trained(mlp)
    first, second = (input_invariance(each, signal, "epsilon").table for each in (model, Gain(model).eval()))
    assert [table["compensated"].item() for table in (first, second)] == ["bias", "subtraction"]
    assert first["change"].item() == pytest.approx(second["change"].item(), rel=1e-3)


def test_classes_without_relevance_are_left_out(signal):
    """The least likely class has no map in any trial, the second one in most."""

    def sparse(model: nn.Module, signal: xr.DataArray, target: torch.Tensor | None) -> np.ndarray:
        found = gradients(model, signal, target)
        with torch.no_grad():
            rank = model(torch.tensor(signal.values)).argsort(1, descending=True).argsort(1)
        if target is not None:
            mine = rank[torch.arange(len(found)), torch.as_tensor(target)].numpy()
            found[(mine == 2) | ((mine == 1) & (np.arange(len(found)) < 12))] = 0
        return found

    check = class_contrast(trained(mlp), signal, sparse)
    table = check.table.set_index(["other", "measure"])["similarity"]
    assert np.isnan(table["2", "spearman"])
    assert table["1", "spearman"] == table["all", "spearman"]
    assert check.statement.endswith("12 of 30 trials are left out: a map is zero or constant.")


def test_models_that_return_more_than_a_tensor(signal):
    class Wordy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = trained(mlp)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"features": x.mean(2), "logits": self.model(x)}

    for check in (input_invariance, class_contrast):
        expected, found = check(trained(mlp), signal, "epsilon"), check(Wordy().eval(), signal, "epsilon")
        assert found.table.equals(expected.table)


def test_bad_shifts_are_refused(signal):
    model = trained(mlp)
    for shift in (0, np.nan, [[0.0], [0.0], [0.0]]):
        with pytest.raises(ValueError, match="The shift is zero or not finite"):
            input_invariance(model, signal, shift=shift)
    with pytest.raises(
        ValueError, match=r"The shift has shape \(7,\); expected one that broadcasts to a trial, \(3, 40\)"
    ):
        input_invariance(model, signal, shift=np.ones(7))
    with pytest.raises(ValueError, match="The signal is constant"):
        input_invariance(model, xr.ones_like(signal))
