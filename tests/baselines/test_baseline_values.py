"""Every baseline against an independent, slow computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.networks import network, randomise
from torch import nn

from signalrp.baselines import explain_with

pytest.importorskip("captum")
RNG = np.random.default_rng(0)
W1, B1, W2, B2 = RNG.normal(size=(7, 6)), RNG.normal(size=7), RNG.normal(size=(3, 7)), RNG.normal(size=3)
X = RNG.normal(size=(5, 2, 3))
DATA = RNG.normal(0.5, 1, size=(11, 2, 3))
TARGETS = [0, 2, 1, 1, 2]


class Dense(nn.Module):
    """Two layers, with a ReLU written in one of the ways there are."""

    def __init__(self, relu: str = "module") -> None:
        super().__init__()
        self.one, self.two, self.act, self.relu = nn.Linear(6, 7), nn.Linear(7, 3), nn.ReLU(relu == "in place"), relu
        for layer, weight, bias in ((self.one, W1, B1), (self.two, W2, B2)):
            layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x.flatten(1))
        if self.relu == "function":
            x = F.relu(x)
        elif self.relu == "function in place":
            F.relu(x, True)
        elif self.relu == "keyword":
            x = F.relu(input=x, inplace=True)
        elif self.relu == "method":
            x = x.relu()
        elif self.relu == "method in place":
            x.relu_()
        else:
            x = self.act(x)
        return self.two(x)


def hidden(x: np.ndarray) -> np.ndarray:
    return W1 @ x.reshape(-1) + B1


def output(x: np.ndarray) -> np.ndarray:
    return W2 @ np.maximum(hidden(x), 0) + B2


def slope(x: np.ndarray, target: int) -> np.ndarray:
    return (W1.T @ (W2[target] * (hidden(x) > 0))).reshape(2, 3)


def relevance(
    method: str, x: np.ndarray = X, target: object = TARGETS, model: nn.Module | None = None, **options: object
):
    model = model or Dense().eval()
    return explain_with(method, model, x, target, batch_size=2, **options)["relevance"].values


def test_gradient_by_finite_differences():
    net, x = network("norms")
    found = explain_with("gradient", net, x.numpy(), 1)["relevance"]
    product = explain_with("input-x-gradient", net, x.numpy(), 1, per_unit=True)
    step = 1e-6
    for place in ((0, 0, 0), (0, 1, 7), (1, 1, 13)):
        moved = torch.zeros_like(x)
        moved[place] = step
        with torch.no_grad():
            wanted = float((net(x + moved) - net(x - moved))[place[0], 1]) / (2 * step)
        np.testing.assert_allclose(found.values[place], abs(wanted), rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(product["per_unit"].values[place], wanted, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(product["relevance"], product["per_unit"] * x.numpy())


def test_gradient_of_a_dense_net():
    wanted = np.array([slope(x, t) for x, t in zip(X, TARGETS, strict=True)])
    np.testing.assert_allclose(relevance("gradient"), np.abs(wanted), rtol=1e-12)
    np.testing.assert_allclose(relevance("input-x-gradient"), X * wanted, rtol=1e-12)


@pytest.mark.parametrize("reference", [None, DATA, DATA[3]])
def test_integrated_gradients_by_a_sum_along_the_way(reference):
    origin = np.zeros((2, 3)) if reference is None else DATA.mean(0) if reference.ndim == 3 else reference
    found = relevance("integrated-gradients", reference=reference, steps=50)
    nodes, weights = np.polynomial.legendre.leggauss(50)
    for row, x, t in zip(found, X, TARGETS, strict=True):
        way = x - origin
        mean = sum(w / 2 * slope(origin + (a + 1) / 2 * way, t) for a, w in zip(nodes, weights, strict=True))
        # Captum's weights of the quadrature are in float32.
        np.testing.assert_allclose(row, way * mean, rtol=1e-6, atol=1e-8)
        fine = np.mean([slope(origin + a * way, t) for a in (np.arange(4000) + 0.5) / 4000], axis=0)
        np.testing.assert_allclose(row, way * fine, atol=0.05 * np.abs(way * fine).max())
        np.testing.assert_allclose((way * fine).sum(), output(x)[t] - output(origin)[t], atol=2e-3)


def test_integrated_gradients_warn_when_they_are_not_complete():
    steep = nn.Sequential(nn.Flatten(), nn.Linear(6, 1), nn.ReLU(), nn.Linear(1, 2)).double().eval()
    steep[1].weight.data[:], steep[1].bias.data[:] = 1.0, -5.0
    steep[3].weight.data[:], steep[3].bias.data[:] = 1.0, 0.0
    with pytest.warns(UserWarning, match=r"in trial 1 integrated gradients miss .*, 1, by .*; raise steps, now 3"):
        explain_with("integrated-gradients", steep, np.array([0.5, 1])[:, None, None] + np.zeros((1, 2, 3)), 0, steps=3)


def test_integrated_gradients_are_complete():
    net, x = network("eegnet")
    reference = RNG.normal(size=(9, 3, 24))
    found = explain_with("integrated-gradients", net, x.numpy(), reference=reference, steps=200)
    with torch.no_grad():
        start = net(torch.tensor(reference.mean(0, keepdims=True)))[0].numpy()
    difference = found["explained"] - start[found["target"].values]
    np.testing.assert_allclose(found["relevance"].sum(("channel", "time")), difference, rtol=1e-6)


def test_smoothgrad_by_a_loop_over_the_same_noise():
    found = relevance("smoothgrad", samples=20, noise=0.3, seed=4)
    for trial, (x, t) in enumerate(zip(X, TARGETS, strict=True)):
        generator = np.random.default_rng([4, trial])
        spread = 0.3 * (x.max(1, keepdims=True) - x.min(1, keepdims=True))
        slopes = [slope(x + spread * generator.standard_normal((2, 3)), t) for _ in range(20)]
        np.testing.assert_allclose(found[trial], np.abs(np.mean(slopes, axis=0)), rtol=1e-10)


def test_smoothgrad_without_channels_takes_the_range_of_the_trial():
    signal = xr.DataArray(X, dims=("trial", "row", "column"))
    found = explain_with("smoothgrad", Dense().eval(), signal, 0, samples=3)["relevance"].values[2]
    generator = np.random.default_rng([0, 2])
    slopes = [slope(X[2] + 0.15 * np.ptp(X[2]) * generator.standard_normal((2, 3)), 0) for _ in range(3)]
    np.testing.assert_allclose(found, np.abs(np.mean(slopes, axis=0)), rtol=1e-10)


def test_gradient_shap_by_a_loop_over_the_same_draws():
    found = relevance("gradient-shap", reference=DATA, samples=15, seed=2)
    for trial, (x, t) in enumerate(zip(X, TARGETS, strict=True)):
        generator, total = np.random.default_rng([2, trial]), np.zeros((2, 3))
        for _ in range(15):
            start = DATA[generator.integers(len(DATA))]
            total += (x - start) * slope(start + generator.uniform() * (x - start), t)
        np.testing.assert_allclose(found[trial], total / 15, rtol=1e-10)


def test_gradient_shap_sums_to_what_the_data_expect():
    found = relevance("gradient-shap", reference=DATA, samples=1500).sum((1, 2))
    wanted = [output(x)[t] - np.mean([output(y)[t] for y in DATA]) for x, t in zip(X, TARGETS, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=0.15 * np.abs(wanted).max())


RELUS = ["module", "in place", "function", "function in place", "keyword", "method", "method in place"]


@pytest.mark.parametrize("relu", RELUS)
def test_deconvnet_and_guided_backprop_of_a_dense_net(relu):
    net = Dense(relu).eval()
    wanted = np.array([(W1.T @ np.maximum(W2[t], 0)).reshape(2, 3) for t in TARGETS])
    np.testing.assert_allclose(relevance("deconvnet", model=net), wanted, rtol=1e-12)
    guided = [(W1.T @ (np.maximum(W2[t], 0) * (hidden(x) > 0))).reshape(2, 3) for x, t in zip(X, TARGETS, strict=True)]
    np.testing.assert_allclose(relevance("guided-backprop", model=net), guided, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("name", ["plain", "vgg", "resnet in place"])
def test_deconvnet_and_guided_backprop_are_those_of_captum_where_it_sees_the_relus(name):
    from captum.attr import Deconvolution, GuidedBackprop

    net, x = network(name)
    for method, captum in (("deconvnet", Deconvolution), ("guided-backprop", GuidedBackprop)):
        wanted = captum(net).attribute(x.clone().requires_grad_(), target=1)
        found = explain_with(method, net, x.numpy(), 1)["relevance"]
        np.testing.assert_allclose(found, wanted.detach(), rtol=1e-12, atol=1e-14)


def removal(model: nn.Module, x: np.ndarray, target: int, labels: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Occlude segment after segment of one trial."""

    def score(signal: np.ndarray) -> float:
        with torch.no_grad():
            return float(model(torch.tensor(signal[None]))[0, target])

    result = np.zeros_like(x)
    for label in np.unique(labels[labels >= 0]):
        inside = labels == label
        result[inside] = (score(x) - score(np.where(inside, fill, x))) / inside.sum()
    return result


@given(seed=st.integers(0, 1000), kind=st.sampled_from(["time", "channel, time", "trial"]), mean=st.booleans())
def test_occlusion_by_a_loop_over_segments(seed, kind, mean):
    generator = np.random.default_rng(seed)
    shape = {"time": (3,), "channel, time": (2, 3), "trial": X.shape}[kind]
    labels = generator.integers(-1, 4, shape) * 7
    labels.flat[0] = 7
    found = relevance("occlusion", segments=labels, reference=DATA if mean else None)
    whole = np.broadcast_to(labels, X.shape)
    fill = DATA.mean(0) if mean else np.zeros((2, 3))
    for row, x, t, own in zip(found, X, TARGETS, whole, strict=True):
        np.testing.assert_allclose(row, removal(Dense().eval(), x, t, own, fill), rtol=1e-10, atol=1e-12)


def test_occlusion_knows_segments_by_their_names():
    signal = xr.DataArray(X, dims=("trial", "channel", "time"))
    labels = xr.DataArray([[0, 1], [2, 0], [1, 1]], dims=("time", "channel"))
    found = explain_with("occlusion", Dense().eval(), signal, 0, segments=labels)["relevance"]
    np.testing.assert_array_equal(found, relevance("occlusion", target=0, segments=labels.values.T))
    whole = explain_with("occlusion", Dense().eval(), signal, 0, segments=xr.DataArray([0, 0], dims="channel"))
    fall = whole["explained"] - output(np.zeros(6))[0]
    np.testing.assert_allclose(whole["relevance"].sum(("channel", "time")), fall, rtol=1e-12)


def test_occlusion_cuts_sensible_windows_by_itself():
    long = RNG.normal(size=(2, 3, 40))
    net = randomise(nn.Sequential(nn.Flatten(), nn.Linear(120, 5), nn.Tanh(), nn.Linear(5, 2)))
    labels = np.arange(3)[:, None] * 10 + np.arange(40) // 4
    np.testing.assert_array_equal(
        relevance("occlusion", long, 0, net), relevance("occlusion", long, 0, net, segments=labels)
    )
    clip = xr.DataArray(RNG.normal(size=(2, 3, 6, 12, 4)), dims=("trial", "rgb", "frame", "row", "column"))
    net = randomise(nn.Sequential(nn.Flatten(), nn.Linear(clip[0].size, 2), nn.Tanh()))
    found = explain_with("occlusion", net, clip, 0)["relevance"].values
    blocks = found.reshape(2, 3, 6, 6, 2, 4)
    np.testing.assert_array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :, :1], blocks.shape))
    assert len(np.unique(found[0])) == 6 * 6 * 4


def test_deeplift_of_a_linear_model_is_weight_times_difference():
    net = randomise(nn.Sequential(nn.Flatten(), nn.Linear(6, 3)))
    weight = net[1].weight.detach().numpy().reshape(3, 2, 3)
    found = relevance("deeplift", model=net, reference=DATA)
    np.testing.assert_allclose(found, weight[TARGETS] * (X - DATA.mean(0)), rtol=1e-10)


def test_deeplift_of_a_dense_net_by_the_rescale_rule():
    origin = DATA.mean(0)
    found = relevance("deeplift", reference=DATA)
    for row, x, t in zip(found, X, TARGETS, strict=True):
        difference = hidden(x) - hidden(origin)
        multiplier = (np.maximum(hidden(x), 0) - np.maximum(hidden(origin), 0)) / difference
        np.testing.assert_allclose(row, (x - origin) * (W1.T @ (W2[t] * multiplier)).reshape(2, 3), rtol=1e-8)
        np.testing.assert_allclose(row.sum(), output(x)[t] - output(origin)[t], rtol=1e-8)


def convolutional() -> nn.Module:
    return randomise(
        nn.Sequential(
            nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.ReLU(inplace=True), nn.MaxPool1d(2), nn.Conv1d(5, 4, 3), nn.ELU(),
            nn.Tanh(), nn.Dropout(), nn.Flatten(), nn.Linear(20, 3), nn.Sigmoid(),
        )
    )  # fmt: skip


@pytest.mark.parametrize("reference", [None, RNG.normal(size=(6, 2, 16))])
def test_deeplift_is_complete_where_nonlinearities_follow_one_another(reference):
    net, x = convolutional(), RNG.normal(size=(4, 2, 16))
    origin = np.zeros((1, 2, 16)) if reference is None else reference.mean(0, keepdims=True)
    found = explain_with("deeplift", net, x, 1, reference=reference)
    with torch.no_grad():
        wanted = net(torch.tensor(x))[:, 1] - net(torch.tensor(origin))[:, 1]
    np.testing.assert_allclose(found["relevance"].sum(("channel", "time")), wanted, rtol=1e-6)
    alone = explain_with("deeplift", net, x[2:3], 1, reference=reference)["relevance"]
    np.testing.assert_allclose(alone[0], found["relevance"][2], rtol=1e-12)


def test_deeplift_of_a_trial_does_not_depend_on_the_others():
    net = randomise(nn.Sequential(nn.MaxPool1d(2), nn.Flatten(), nn.Linear(16, 3)))
    x = RNG.normal(size=(4, 2, 16)) * (RNG.uniform(size=(4, 2, 16)) > 0.4)
    found = explain_with("deeplift", net, x, [0, 1, 2, 1], per_unit=True)["per_unit"]
    alone = explain_with("deeplift", net, x[2:3], 2, per_unit=True)["per_unit"]
    np.testing.assert_allclose(found[2], alone[0], rtol=1e-12)


@pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients", "deeplift"])
def test_per_unit_is_what_the_signal_is_multiplied_by(method):
    explanation = explain_with(method, Dense().eval(), X, TARGETS, per_unit=True, batch_size=2)
    np.testing.assert_allclose(explanation["relevance"], X * explanation["per_unit"], rtol=1e-14)
    assert explanation["per_unit"].attrs["units"] == "relevance per unit of signal"
    if method == "integrated-gradients":
        # Its value is known where the signal itself is 0.
        silent = explain_with(method, Dense().eval(), 0 * X, 1, per_unit=True)["per_unit"]
        np.testing.assert_allclose(silent, [slope(0 * x, 1) for x in X], rtol=1e-7)


def test_yardsticks():
    np.testing.assert_array_equal(relevance("amplitude"), np.abs(X))
    found = relevance("random", seed=3)
    wanted = [np.random.default_rng([3, trial]).standard_normal((2, 3)) for trial in range(5)]
    np.testing.assert_array_equal(found, wanted)
    assert (relevance("random") != found).all()


def test_published_maps_of_a_linear_gait_model(shared_data):
    # Epsilon relevance is signal times gradient here, but for the stabiliser of 1e-5 (doi:10.1145/3474121).
    folder = shared_data / "gait_clinical_grf"
    if not folder.is_dir():
        pytest.skip("SIGNALRP_SHARED_DATA has no gait_clinical_grf")
    with np.load(folder / "gait_clinical_grf.npz") as table:
        grf, order = table["grf"], table["permutation"]
        first = table["split_index"][: table["split_sizes"][0]].astype(int)
        classes = (table["injury"] > 0).astype(int)[order][first]
    low, high = grf.min((0, 2), keepdims=True), grf.max((0, 2), keepdims=True)
    signals = ((grf - low) / (high - low))[order]
    with np.load(folder / "published_linear_models_and_lrp.npz") as table:
        weight, bias, published = (
            table[f"MlpLinear/fold0/{key}"].astype(float) for key in ("weight", "bias", "R_pred_act_epsilon")
        )
    dense = nn.Linear(606, 2).double()
    # The published models read (time, channel).
    dense.weight.data = torch.tensor(weight.T.reshape(2, 101, 6).swapaxes(1, 2).reshape(2, 606))
    dense.bias.data = torch.tensor(bias)
    net = nn.Sequential(nn.Flatten(), dense).eval()
    for method in ("input-x-gradient", "integrated-gradients", "deeplift"):
        found = explain_with(method, net, signals[first], classes)
        score = found["explained"].values[:, None, None]
        wanted = published.swapaxes(1, 2) * (1 + 1e-5 / np.abs(score))
        np.testing.assert_allclose(found["relevance"], wanted, atol=1e-6)
    found = explain_with("pattern-attribution", net, signals[first], 1, reference=signals)
    flat, filters = signals.reshape(len(signals), -1), dense.weight.detach().numpy()[1]
    output = flat @ filters
    pattern = (flat - flat.mean(0)).T @ (output - output.mean()) / len(flat) / output.var()
    wanted = found["explained"].values[:, None] * filters * pattern
    np.testing.assert_allclose(found["relevance"].values.reshape(wanted.shape), wanted, rtol=1e-7, atol=1e-10)
