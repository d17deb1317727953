from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.checks import assert_same_state, state
from reference.networks import randomise
from reference.patterns import Layer, led_back, patterns
from torch import nn

from signalrp.baselines import explain_with, fit_patterns

RNG = np.random.default_rng(0)
METHODS = ["pattern-net", "pattern-attribution"]


def signal(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(values, dims=("trial", "channel", "time")[: values.ndim])


def as_layer(module: nn.Module, relu: bool, **options: int) -> Layer:
    return Layer(module.weight.detach().numpy(), module.bias.detach().numpy(), relu, **options)


def mlp() -> tuple[nn.Module, list[Layer]]:
    net = randomise(
        nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    )
    return net, [as_layer(net[1], True), as_layer(net[3], True), as_layer(net[5], False)]


def convolutional() -> tuple[nn.Module, list[Layer]]:
    net = randomise(
        nn.Sequential(
            nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv1d(4, 4, 2, dilation=2, groups=2),
            nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3),
        )
    )  # fmt: skip
    layers = [as_layer(net[0], True, stride=2, padding=1), as_layer(net[2], True, dilation=2, groups=2)]
    return net, [*layers, as_layer(net[5], False)]


NETS = {"mlp": (mlp, (2, 4)), "convolutional": (convolutional, (2, 8))}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("estimator", ["two-component", "linear"])
def test_patterns_and_maps_are_those_of_the_formulas(name, estimator):
    make, shape = NETS[name]
    net, layers = make()
    data, x = RNG.normal(0.3, 1, (40, *shape)), RNG.normal(size=(5, *shape))
    fitted = fit_patterns(net, data, estimator=estimator, batch_size=16)
    expected = patterns(layers, data, estimator == "two-component")
    assert fitted.rectified == (True, True, False) if estimator == "two-component" else not any(fitted.rectified)
    for found, wanted in zip(fitted.patterns, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    for method in METHODS:
        explanation = explain_with(method, net, signal(x), 1, patterns=fitted, batch_size=2)
        wanted = [led_back(layers, expected, trial, 1, method == METHODS[1]) for trial in x]
        np.testing.assert_allclose(explanation["relevance"], wanted, rtol=1e-7, atol=1e-9 * np.abs(wanted).max())
        again = explain_with(method, net, signal(x), 1, reference=data, estimator=estimator)
        np.testing.assert_allclose(again["relevance"], explanation["relevance"], rtol=1e-9, atol=1e-12)


@given(
    dims=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    relu=st.booleans(),
)
def test_convolutions_of_all_shapes(dims, kernel, stride, padding, dilation, groups, relu):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](2, 2, kernel, stride, padding, dilation, groups)
    net = randomise(nn.Sequential(conv, *([nn.ReLU()] if relu else [])))
    layer = as_layer(conv, relu, stride=stride, padding=padding, dilation=dilation, groups=groups)
    data = np.random.default_rng(1).normal(0.5, 1, (4, 2, *(5,) * dims))
    expected = patterns([layer], data, True)[0]
    np.testing.assert_allclose(fit_patterns(net, data).patterns[0], expected, rtol=1e-7, atol=1e-9)


def test_the_filter_cancels_the_distractor_and_the_pattern_is_the_signal():
    # The example of the paper: x = a_s y + a_d e; the filter (1, -1) reads y, but y lies in x_1 alone.
    y, distractor = RNG.uniform(-1, 1, 20_000), RNG.normal(0, 2, 20_000)
    data = np.stack([y + distractor, distractor], 1)
    net = nn.Linear(2, 1).double()
    net.weight.data, net.bias.data = torch.tensor([[1.0, -1.0]]).double(), torch.zeros(1).double()
    for model in (net.eval(), nn.Sequential(net, nn.ReLU()).eval()):
        np.testing.assert_allclose(fit_patterns(model, data).patterns[0], [[1, 0]], atol=0.06)
    # The linear estimator does not mind where the data lie.
    np.testing.assert_allclose(fit_patterns(net, data + 100).patterns[0], [[1, 0]], atol=0.06)
    x = signal(data[:4])
    found = explain_with("pattern-net", net, x, lambda out: out[:, 0], reference=data)
    np.testing.assert_allclose(found["relevance"], np.outer(y[:4], [1, 0]), atol=0.06)
    found = explain_with("pattern-attribution", net, x, lambda out: out[:, 0], reference=data)
    np.testing.assert_allclose(found["relevance"], np.outer(y[:4], [1, 0]), atol=0.06)
    gradient = explain_with("input-x-gradient", net, x, lambda out: out[:, 0])
    assert np.abs(gradient["relevance"][:, 1]).max() > 0.5


@pytest.mark.parametrize("estimator", ["two-component", "linear"])
def test_every_pattern_answers_its_filter_with_1(estimator):
    net, _ = convolutional()
    fitted = fit_patterns(net, RNG.normal(size=(30, 2, 8)), estimator=estimator)
    for module, pattern in zip((net[0], net[2], net[5]), fitted.patterns, strict=True):
        np.testing.assert_allclose((module.weight.detach() * pattern).flatten(1).sum(1), 1, rtol=1e-12)


def folded(net: nn.Sequential) -> nn.Sequential:
    """Return the net with its batch norms merged by hand."""
    (conv, norm, _, before, dense) = net[0], net[1], net[2], net[5], net[6]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    one = nn.Conv1d(2, 3, 3).double()
    one.weight.data = conv.weight * scale[:, None, None]
    one.bias.data = (conv.bias - norm.running_mean) * scale + norm.bias
    factor = before.weight / (before.running_var + before.eps).sqrt()
    two = nn.Linear(12, 3).double()
    two.weight.data = dense.weight * factor
    two.bias.data = dense.bias + dense.weight @ (before.bias - before.running_mean * factor)
    return nn.Sequential(one, nn.ReLU(), nn.Flatten(), two).eval()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_norm_counts_as_part_of_the_sum(method):
    net = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12),
        nn.Linear(12, 3),
    )  # fmt: skip
    net = randomise(net)
    net[1].weight.data[1] *= -1
    data, x = RNG.normal(size=(50, 2, 6)), signal(RNG.normal(size=(4, 2, 6)))
    found, wanted = (explain_with(method, m, x, reference=data)["relevance"] for m in (net, folded(net)))
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    assert fit_patterns(net, data).rectified == (True, False)


class Written(nn.Module):
    """The convolutional net with functions, one ReLU in place, one sum overwritten before its ReLU."""

    def __init__(self, change: str = "") -> None:
        super().__init__()
        net = convolutional()[0]
        self.one, self.two, self.three, self.change = net[0], net[2], net[5], change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        if self.change == "add":
            x = x + 1
        if self.change == "in place":
            x += 1
        x = torch.relu_(x) if self.change == "relu_" else x.relu()
        weight, bias = (nn.Parameter(p.detach()) for p in (self.two.weight, self.two.bias))
        x = F.relu(F.conv1d(x, bias=bias, weight=weight, dilation=2, groups=2), inplace=True)
        return F.linear(x.flatten(1), self.three.weight, bias=self.three.bias)


@pytest.mark.parametrize("change", ["", "relu_"])
def test_it_makes_no_difference_how_the_model_is_written(change):
    data, x = RNG.normal(size=(20, 2, 8)), signal(RNG.normal(size=(3, 2, 8)))
    for method in METHODS:
        found, wanted = (
            explain_with(method, m, x, reference=data)["relevance"]
            for m in (Written(change).eval(), convolutional()[0])
        )
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("change", ["add", "in place"])
def test_what_lies_between_sum_and_relu_makes_the_estimator_linear(change):
    assert fit_patterns(Written(change).eval(), RNG.normal(size=(20, 2, 8))).rectified == (False, True, False)


def test_a_module_that_runs_twice_has_a_pattern_for_each_run():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.conv(x).relu()).mean(-1)

    net = randomise(Twice())
    layer = [as_layer(net.conv, True, padding=1), as_layer(net.conv, False, padding=1)]
    data = RNG.normal(size=(20, 2, 6))
    for found, wanted in zip(fit_patterns(net, data).patterns, patterns(layer, data, True), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_units_that_never_move_have_no_pattern():
    net, _ = mlp()
    net[1].bias.data[2] = -1000.0
    net[3].weight.data[:, 4] = 0.0
    fitted = fit_patterns(net, RNG.normal(size=(30, 2, 4)))
    assert not fitted.patterns[0][2].any()
    assert all(torch.isfinite(pattern).all() for pattern in fitted.patterns)
    explanation = explain_with("pattern-attribution", net, RNG.normal(size=(3, 2, 4)), patterns=fitted)
    assert np.isfinite(explanation["relevance"]).all()
    constant = fit_patterns(nn.Linear(3, 2).double().eval(), np.tile(RNG.normal(size=3), (7, 1)))
    assert not constant.patterns[0].any()


def test_data_pass_once_in_batches():
    net, _ = convolutional()
    sizes: list[int] = []
    handle = net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    data = RNG.normal(5, 1, (23, 2, 8))
    parts = fit_patterns(net, data, batch_size=10)
    handle.remove()
    assert sizes == [10, 10, 3]
    whole = fit_patterns(net, torch.from_numpy(data), batch_size=100)
    for found, wanted in zip(parts.patterns, whole.patterns, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12)
    single = fit_patterns(net.float(), data)
    for found, wanted in zip(single.patterns, whole.patterns, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_weights_that_are_computed_on_the_way_are_weights():
    net = convolutional()[0]
    data, x = RNG.normal(size=(20, 2, 8)), signal(RNG.normal(size=(3, 2, 8)))
    wanted = explain_with("pattern-attribution", net, x, 0, reference=data)["relevance"]
    nn.utils.parametrizations.weight_norm(net[0])
    nn.utils.parametrizations.weight_norm(net[5])
    before = state(net.eval())
    found = explain_with("pattern-attribution", net, x, 0, reference=data)["relevance"]
    assert_same_state(before, state(net))
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12)
    nn.utils.parametrizations.spectral_norm(net[2])
    assert len(fit_patterns(net.eval(), data).patterns) == 3


class Filterbank(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", torch.ones(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.bank


class Uses(nn.Module):
    def __init__(self, module: nn.Module | None) -> None:
        super().__init__()
        self.module = module
        self.weight, self.head = nn.Parameter(torch.ones(6)), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.weight if self.module is None else self.module(x)
        return self.head(x[0] if isinstance(x, tuple) else x).mean(1)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.LSTM(6, 6), "lstm"),
        (nn.LayerNorm(6), "layer_norm"),
        (nn.ConvTranspose1d(4, 4, 1), "conv_transpose1d"),
        (
            nn.TransformerEncoderLayer(6, 2, batch_first=True),
            "_transformer_encoder_layer_fwd|multi_head_attention_forward",
        ),
        (nn.PReLU(), "prelu"),
        (Filterbank(), "matmul"),
        (None, "mul"),
    ],
)
def test_weights_elsewhere_are_refused(module, name):
    with pytest.raises(
        ValueError, match=f"this model uses weights or buffers in ({name}|__?{name}_?_?): choose another method"
    ):
        fit_patterns(Uses(module).eval(), RNG.normal(size=(5, 4, 6)))


def test_weights_that_the_signal_makes_are_refused():
    class Dynamic(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.conv1d(x, x[:1, :, :3])

    with pytest.raises(ValueError, match="belong to fixed weights; this model makes those of conv1d from the signal"):
        fit_patterns(Dynamic().eval(), RNG.normal(size=(5, 4, 6)))


def test_patterns_of_other_weights_are_refused():
    net, _ = mlp()
    x = RNG.normal(size=(3, 2, 4))
    fitted = fit_patterns(net, RNG.normal(size=(20, 2, 4)))
    net[3].weight.data += 0.1
    others = [net, convolutional()[0], nn.Sequential(*net[:2]), nn.Sequential(*net, nn.Linear(3, 3).double())]
    for other, shape in zip(others, ((2, 4), (2, 8), (2, 4), (2, 4)), strict=True):
        with pytest.raises(ValueError, match="fitted for other weights"):
            explain_with("pattern-net", other.eval(), np.zeros((2, *shape)) + x[:2, :, :1], patterns=fitted)


class Moody(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(x) if x.sum() > 0 else self.two(self.one(x))


def test_what_patterns_cannot_be_fitted_to_is_refused():
    net, _ = mlp()
    data = RNG.normal(size=(20, 2, 4))
    with pytest.raises(ValueError, match='must be "two-component" or "linear", found \'relu\''):
        fit_patterns(net, data, estimator="relu")
    with pytest.raises(ValueError, match="at least 1, found 0"):
        fit_patterns(net, data, batch_size=0)
    with pytest.raises(ValueError, match="holds no trial"):
        fit_patterns(net, data[:0])
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit_patterns(net, np.where(data > 2, np.nan, data))
    with pytest.raises(ValueError, match="the first must be 'trial'"):
        fit_patterns(net, signal(data).transpose("channel", ...))
    with pytest.raises(ValueError, match="no linear layer and no convolution"):
        fit_patterns(nn.Flatten().eval(), data)
    with pytest.raises(ValueError, match="training mode"):
        fit_patterns(mlp()[0].train(), data)
    with pytest.raises(ValueError, match="other weighted sums for other trials"):
        fit_patterns(Moody().eval(), np.stack([np.ones(4), -np.ones(4)]), batch_size=1)
    norm = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="mixes trials"):
        explain_with("pattern-net", norm, data, lambda out: out[:, 0, 0], reference=data)
    for method in METHODS:
        with pytest.raises(ValueError, match=f"{method} is fitted to data; give reference="):
            explain_with(method, net, data)
        with pytest.raises(ValueError, match="there is no per_unit"):
            explain_with(method, net, data, reference=data, per_unit=True)


@pytest.mark.parametrize("method", METHODS)
def test_clips_and_epochs_keep_their_dimensions(method):
    clip = randomise(
        nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
    )
    video = xr.DataArray(RNG.normal(size=(3, 3, 4, 5, 6)), dims=("trial", "rgb", "frame", "row", "column"))
    explanation = explain_with(method, clip, video, reference=video)
    assert explanation["relevance"].dims == video.dims
    assert bool((np.abs(explanation["relevance"]).sum(video.dims[1:]) > 0).all())
