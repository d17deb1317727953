from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import signalrp
from signalrp.domains.audio import augmentation, models

SMALL = {"raw-small": (1, 1200), "spectrogram-small": (1, 16, 24), "crnn": (1, 16, 24)}
ALL = {**SMALL, "audionet": (1, 128), "alexnet": (1, 67, 67)}


def trained(name, shape):
    """A net whose batch norms have seen a signal."""
    torch.manual_seed(0)
    net = models.MODELS[name](shape, 3).double()
    net.train()(torch.randn(8, *shape, dtype=torch.float64))
    return net.eval()


def shapes(net):
    return [tuple(p.shape) for p in net.parameters() if p.dim() > 1]


@pytest.mark.parametrize("name", ALL)
def test_every_net_takes_trials_and_returns_logits(name):
    net, x = trained(name, ALL[name]), torch.randn(4, *ALL[name], dtype=torch.float64)
    out = net(x)
    assert out.shape == (4, 3)
    assert not torch.allclose(out.exp().sum(1), torch.ones_like(out[:, 0]), atol=1e-3)
    torch.testing.assert_close(net(x[1:2]), out[1:2])
    torch.testing.assert_close(net(x), out)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus"])
def test_every_net_is_explained_with_a_closed_account(name, composite):
    net, x = trained(name, ALL[name]), torch.randn(2, *ALL[name], dtype=torch.float64)
    result = signalrp.attribute(net, x, composite=composite, audit=True)
    torch.testing.assert_close(
        result.relevance.flatten(1).sum(1) + result.absorbed, result.explained, atol=1e-10, rtol=0
    )
    assert result.relevance.abs().sum() > 0


def test_large_nets_have_the_published_layers():
    assert shapes(models.audionet((1, 8000), 10)) == [
        (100, 1, 3), (64, 100, 3), (128, 64, 3), (128, 128, 3), (128, 128, 3), (128, 128, 3),
        (1024, 128 * 125), (512, 1024), (10, 512),
    ]  # fmt: skip
    net = models.alexnet((1, 227, 227), 2)
    assert shapes(net) == [
        (96, 1, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3),
        (1024, 256 * 6 * 6), (1024, 1024), (2, 1024),
    ]  # fmt: skip
    assert [m.stride for m in net if isinstance(m, nn.Conv2d)] == [(4, 4)] + [(1, 1)] * 4
    assert net(torch.zeros(1, 1, 227, 227)).shape == (1, 2)
    dense = [type(m) for m in models.audionet((1, 8000), 10)][-6:]
    assert nn.ReLU not in dense


def test_small_nets_are_small_at_the_sizes_of_the_study():
    for name, shape in {"raw-small": (1, 8000), "spectrogram-small": (1, 40, 101), "crnn": (1, 40, 101)}.items():
        assert sum(p.numel() for p in models.MODELS[name](shape, 10).parameters()) < 70_000


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("raw-small", (2, 8000)), ("raw-small", (1, 800)), ("audionet", (1, 40, 101)), ("alexnet", (1, 227, 60)),
        ("spectrogram-small", (1, 8000)), ("crnn", (1, 8, 101)),
    ],
)  # fmt: skip
def test_other_shapes_are_refused_with_what_is_wanted(name, shape):
    with pytest.raises(ValueError, match=rf"{name} takes trials of shape .* found \({shape[0]}, {shape[1]}.*signal"):
        models.MODELS[name](shape, 10)


@pytest.mark.parametrize("name", SMALL)
def test_smallest_shape_that_the_message_names_is_enough(name):
    with pytest.raises(ValueError, match="at least") as caught:
        models.MODELS[name]((1,) * len(SMALL[name]), 2)
    least = tuple(int(size) for size in str(caught.value).split("at least (")[1].split(")")[0].split(","))
    assert trained(name, least)(torch.zeros(2, *least, dtype=torch.float64)).shape == (2, 3)


def test_what_changes_at_random_does_so_in_training_only():
    torch.manual_seed(0)
    waves, pictures = torch.randn(200, 1, 50), torch.rand(200, 1, 20, 30) + 1
    for module, x in [
        (augmentation.RandomGain(6.0), waves),
        (augmentation.RandomEqualiser(2.0, 1.0), pictures),
        (augmentation.RandomMask(0.5), pictures),
    ]:
        assert module.eval()(x) is x
        changed = module.train()(x)
        assert changed.shape == x.shape
        assert (changed != x).flatten(1).any(1).float().mean() > 0.9


def test_gain_scales_whole_clips_within_its_range():
    torch.manual_seed(0)
    x = torch.randn(500, 1, 20)
    ratio = 20 * torch.log10((augmentation.RandomGain(6.0)(x) / x)[:, 0])
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-4, rtol=0)
    assert -6 <= ratio.min() < -5.5 < 5.5 < ratio.max() <= 6.001
    assert ratio.mean().abs() < 0.6


def test_equaliser_adds_one_smooth_curve_to_all_frames():
    torch.manual_seed(0)
    x = torch.rand(2000, 1, 41, 3)
    curve = augmentation.RandomEqualiser(2.0, 3.0)(x) - x
    torch.testing.assert_close(curve, curve[..., :1].expand_as(curve), atol=1e-5, rtol=0)
    # Straight between the five frequencies, whose values vary by both standard deviations.
    bends = curve[:, 0, 2:, 0] - 2 * curve[:, 0, 1:-1, 0] + curve[:, 0, :-2, 0]
    assert set(np.flatnonzero(bends.abs().max(0).values > 1e-4) + 1) == {10, 20, 30}
    np.testing.assert_allclose(curve[:, 0, ::10, 0].std(0), (4 + 9) ** 0.5, rtol=0.1)


def test_mask_takes_one_band_and_one_stretch():
    torch.manual_seed(0)
    changed = augmentation.RandomMask(0.25)(torch.ones(300, 1, 20, 40))[:, 0] == 0
    bands, stretches = changed.all(2), changed.all(1)
    assert (changed == (bands[:, :, None] | stretches[:, None])).all()
    assert bands.sum(1).max() == 5
    assert stretches.sum(1).max() == 10
    for rows in (bands, stretches):
        edges = (rows[:, 1:] != rows[:, :-1]).sum(1)
        assert edges.max() <= 2


def test_registries_name_the_same_nets():
    assert set(models.MODELS) == set(models.REPRESENTATION) == set(models.TRAINING)
    assert {models.REPRESENTATION[name] for name in models.DEFAULTS} == {"waveform", "spectrogram"}
