from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import signalrp
from signalrp.domains.eeg import models
from signalrp.training import fit_classifier


def shapes(model: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of the weights, without batch norms."""
    return [tuple(p.shape) for p in model.parameters() if p.dim() > 1]


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize(("channels", "points", "sfreq"), [(3, 90, 128), (32, 128, 128), (5, 450, 250)])
def test_every_net_takes_trials_and_returns_classes(name, channels, points, sfreq):
    torch.manual_seed(0)
    model = models.MODELS[name](channels, points, 4, sfreq).eval()
    x = torch.randn(3, channels, points)
    out = model(x)
    assert out.shape == (3, 4)
    # Logits, not probabilities, nor their logarithms.
    assert not torch.allclose(out.exp().sum(1), torch.ones(3), atol=1e-3)
    assert not torch.allclose(out.sum(1), torch.ones(3), atol=1e-3)
    torch.testing.assert_close(model(x[1:2]), out[1:2])


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat"])
def test_every_net_is_explained_with_a_closed_account(name, composite):
    torch.manual_seed(0)
    model = models.MODELS[name](4, 90, 3, 128.0).double()
    model.train()(torch.randn(20, 4, 90, dtype=torch.float64))  # batch norms that have seen a signal
    x = torch.randn(2, 4, 90, dtype=torch.float64)
    result = signalrp.attribute(model.eval(), x, composite=composite, audit=True)
    torch.testing.assert_close(result.relevance.sum((1, 2)) + result.absorbed, result.explained, atol=1e-10, rtol=0)
    torch.testing.assert_close(result.output, model(x))
    assert result.relevance.abs().sum() > 0


def test_layers_are_those_of_the_papers():
    assert shapes(models.sturm(118, 301, 2)) == [(500, 118 * 301), (2, 500)]
    assert shapes(models.EEGNet(64, 128, 2, 128)) == [
        (8, 1, 1, 64), (16, 1, 64, 1), (16, 1, 1, 16), (16, 16, 1, 1), (2, 16 * 4),
    ]  # fmt: skip
    assert shapes(models.shallow_convnet(22, 1125, 4, 250)) == [(40, 1, 25), (40, 40, 22), (4, 40 * 69)]
    assert shapes(models.deep4(22, 1125, 4, 250)) == [
        (25, 1, 10), (25, 25, 22), (50, 25, 10), (100, 50, 10), (200, 100, 10), (4, 200 * 9),
    ]  # fmt: skip
    pools = [(m.kernel_size, m.stride) for m in models.deep4(22, 1125, 4, 250) if isinstance(m, nn.MaxPool1d)]
    assert pools == [(3, 3)] * 4


@pytest.mark.parametrize(("temporal", "expected"), [(8, 2258), (4, 1066)])
def test_eegnet_has_as_many_parameters_as_published(temporal, expected):
    # Table 3 of the paper: P300, 64 channels, 1 s at 128 Hz.
    model = models.EEGNet(64, 128, 2, 128, temporal=temporal, pointwise=2 * temporal)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_eegnet_keeps_its_length_to_the_factors_of_the_paper():
    model = models.EEGNet(4, 128, 2, 128).eval()
    x = torch.randn(2, 4, 128)
    temporal = model.temporal(x.unsqueeze(1))
    assert temporal.shape == (2, 8, 4, 128)
    spatial = model.spatial(temporal)
    assert spatial.shape == (2, 16, 1, 32)
    assert model.separable(spatial).shape == (2, 16, 1, 4)
    # Half a second of filter, 32 Hz and 4 Hz at any rate.
    twice = models.EEGNet(4, 256, 2, 256).eval()
    assert twice.temporal[1].kernel_size == (1, 128)
    assert twice.spatial(twice.temporal(torch.randn(2, 1, 4, 256))).shape == (2, 16, 1, 32)


def test_eegnet_weights_stay_within_their_norms():
    torch.manual_seed(0)
    model = models.EEGNet(6, 64, 3, 128)
    for layer in (model.spatial[0], model.classifier):
        nn.init.normal_(layer.weight, std=5.0)
    raw = model.spatial[0].weight.detach().clone()
    x, y = torch.randn(30, 6, 64), torch.arange(30) % 3
    with torch.no_grad():
        out = model.eval()(x)
    # What it computes with is capped at once; what it holds changes in training only.
    torch.testing.assert_close(model.spatial[0].weight, raw, atol=0, rtol=0)
    capped = models.EEGNet(6, 64, 3, 128)
    capped.load_state_dict(model.state_dict())
    with torch.no_grad():
        for layer, most in ((capped.spatial[0], 1.0), (capped.classifier, 0.25)):
            norms = layer.weight.flatten(1).norm(dim=1)
            layer.weight *= (most / norms).clamp(max=1).view(-1, *(1,) * (layer.weight.dim() - 1))
        torch.testing.assert_close(capped.eval()(x), out)
    # A whole training step on top: the optimiser steps out of the ball, the next pass leads back.
    fit_classifier(model, x, y, epochs=3, learning_rate=0.1)
    model.train()(x)
    assert float(model.spatial[0].weight.detach().flatten(1).norm(dim=1).max()) <= 1 + 1e-6
    assert float(model.classifier.weight.detach().norm(dim=1).max()) <= 0.25 + 1e-6
    assert float(model.classifier.weight.detach().norm(dim=1).max()) > 0.1


def test_explaining_leaves_weights_beyond_the_norm_as_they_are():
    torch.manual_seed(0)
    model = models.EEGNet(6, 64, 3, 128).double().eval()
    nn.init.normal_(model.classifier.weight, std=5.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    signalrp.attribute(model, torch.randn(2, 6, 64, dtype=torch.float64))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)


def test_one_convolution_in_space_and_time_equals_two():
    torch.manual_seed(0)
    both = models.SpaceTimeConv(5, 3, 4, 7).double()
    x = torch.randn(2, 5, 20, dtype=torch.float64)
    found = both(x).detach()
    temporal, spatial = both.temporal.detach(), both.spatial.detach()
    maps = torch.stack([nn.functional.conv1d(x[:, c : c + 1], temporal) for c in range(5)], dim=2)
    torch.testing.assert_close(found, torch.einsum("sfc,nfct->nst", spatial, maps))
    assert found.shape == (2, 4, 14)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat"])
def test_rules_take_composed_and_capped_weights_for_those_of_plain_layers(composite):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 90, dtype=torch.float64)
    deep, eegnet = models.deep4(4, 90, 3).double(), models.EEGNet(4, 90, 3).double()
    for model in (deep, eegnet):
        model.train()(torch.randn(20, 4, 90, dtype=torch.float64))
        model.eval()
    with torch.no_grad():
        one = nn.Conv1d(4, 25, 5, bias=False).double()
        one.weight.copy_(torch.einsum("sfc,fk->sck", deep[0].spatial, deep[0].temporal[:, 0]))
        eegnet.spatial[0].weight *= 5
        eegnet.classifier.weight *= 5
        plain = copy.deepcopy(eegnet)
        plain.spatial[0] = nn.Conv2d(8, 16, (4, 1), groups=8, bias=False).double()
        plain.spatial[0].weight.copy_(torch.renorm(eegnet.spatial[0].weight, 2, 0, 1.0))
        plain.classifier = nn.Linear(32, 3).double()
        plain.classifier.weight.copy_(torch.renorm(eegnet.classifier.weight, 2, 0, 0.25))
        plain.classifier.bias.copy_(eegnet.classifier.bias)
    for model, expected in ((deep, nn.Sequential(one, *deep[1:]).eval()), (eegnet, plain.eval())):
        found = signalrp.attribute(model, x, composite=composite).relevance
        torch.testing.assert_close(found, signalrp.attribute(expected, x, composite=composite).relevance)


def test_shallow_convnet_is_the_logarithm_of_power():
    torch.manual_seed(0)
    model = models.shallow_convnet(3, 90, 2, 128, filters=4).double().eval()
    x = torch.randn(2, 3, 90, dtype=torch.float64)
    source = model[1](model[0](x)).detach()
    power = model[2](source)
    for window in range(power.shape[-1]):
        expected = source[..., 8 * window : 8 * window + 38].square().mean(-1).log()
        torch.testing.assert_close(power[..., window], expected)
    assert float(model[2](torch.zeros(1, 4, 78, dtype=torch.float64)).max()) == pytest.approx(math.log(1e-6))


@pytest.mark.parametrize(
    ("name", "shortest", "sfreq"),
    [("eegnet", 32, 128), ("shallow-convnet", 50, 128), ("deep4", 76, 128), ("deep4", 441, 250)],
)
def test_epochs_that_are_too_short_are_refused(name, shortest, sfreq):
    assert models.MODELS[name](2, shortest, 3, sfreq).eval()(torch.zeros(1, 2, shortest)).shape == (1, 3)
    with pytest.raises(ValueError, match=f"at least {shortest} samples at {sfreq} Hz, found {shortest - 1}; cut"):
        models.MODELS[name](2, shortest - 1, 3, sfreq)


def planted(trials: int = 160, channels: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of 90 samples at 128 Hz, and in class 1 a deflection of 100 ms on three channels."""
    rng = np.random.default_rng(0)
    mixing = np.eye(channels) + 0.3 * rng.normal(size=(channels, channels))
    x = np.einsum("ck,nkt->nct", mixing, rng.normal(size=(trials, channels, 90)))
    y = np.arange(trials) % 2
    shape = np.exp(-0.5 * ((np.arange(90) - 50) / 5) ** 2)
    x[:, 4:7] += 2.0 * y[:, None, None] * shape
    x = (x - x.mean((0, 2), keepdims=True)) / x.std((0, 2), keepdims=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.MODELS)
def test_training_settings_find_a_planted_potential(name):
    x, y = planted()
    torch.manual_seed(0)
    model = models.MODELS[name](16, 90, 2, 128)
    fit_classifier(model, x[:120], y[:120], **models.TRAINING[name])
    with torch.no_grad():
        right = (model(x[120:]).argmax(1) == y[120:]).float().mean()
    assert float(right) >= 0.8
    # Relevance for class 1 where the potential is, on the trials that have it.
    explanation = signalrp.explain(model, x[120:][y[120:] == 1], target=1, composite="epsilon")
    relevance = explanation["relevance"].mean("trial").values
    assert relevance[4:7, 40:61].sum() > 0.5 * relevance.sum() > 0


def test_every_net_has_settings():
    assert models.TRAINING.keys() == models.MODELS.keys()
    assert models.DEFAULT in models.MODELS
