from __future__ import annotations

import pytest
import torch
from reference.divided_attention import timesformer as reference
from torch import nn

import signalrp
from signalrp.domains.video import models

SMALL = {"small-3d": (3, 4, 9, 12), "cnn-lstm": (3, 3, 9, 12), "timesformer": (3, 4, 8, 16)}


def trained(name, shape):
    """A net whose batch norms have seen clips."""
    torch.manual_seed(0)
    net = models.MODELS[name](shape, 3).double()
    net.train()(torch.rand(8, *shape, dtype=torch.float64))
    return net.eval()


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_small_nets_take_clips_and_return_logits(name):
    net, x = trained(name, SMALL[name]), torch.rand(4, *SMALL[name], dtype=torch.float64)
    out = net(x)
    assert out.shape == (4, 3)
    assert not torch.allclose(out.exp().sum(1), torch.ones_like(out[:, 0]), atol=1e-3)
    torch.testing.assert_close(net(x[1:2]), out[1:2])
    # The order of frames matters to each of them.
    assert not torch.allclose(net(x.flip(2)), out, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus"])
def test_small_nets_are_explained_with_a_closed_account(name, composite):
    net, x = trained(name, SMALL[name]), torch.rand(2, *SMALL[name], dtype=torch.float64)
    result = signalrp.attribute(net, x, composite=composite, audit=True)
    torch.testing.assert_close(
        result.relevance.flatten(1).sum(1) + result.absorbed, result.explained, atol=1e-10, rtol=0
    )
    assert result.relevance.abs().sum() > 0


def test_c3d_has_the_published_layers():
    with torch.device("meta"):
        net = models.c3d((3, 16, 112, 112), 487)
        assert net(torch.zeros(1, 3, 16, 112, 112)).shape == (1, 487)
    assert [m.out_channels for m in net if isinstance(m, nn.Conv3d)] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert {m.kernel_size for m in net if isinstance(m, nn.Conv3d)} == {(3, 3, 3)}
    assert [m.in_features for m in net if isinstance(m, nn.Linear)] == [8192, 4096, 4096]


@pytest.mark.parametrize("size", [32, 48, 50, 63, 64, 100])
def test_c3d_takes_any_size(size):
    with torch.device("meta"):
        assert models.c3d((3, 17, size, 40), 2)(torch.zeros(1, 3, 17, size, 40)).shape == (1, 2)


def test_r2plus1d_has_as_many_weights_as_published():
    with torch.device("meta"):
        net = models.r2plus1d_18((3, 16, 112, 112), 400)
        assert net(torch.zeros(2, 3, 16, 112, 112)).shape == (2, 400)
    # 33.3 million, as the net of 3 x 3 x 3 convolutions, which it is made to equal.
    assert 33.3e6 < count(net) < 33.4e6
    kernels = {m.kernel_size for m in net.modules() if isinstance(m, nn.Conv3d)}
    assert kernels == {(1, 7, 7), (1, 3, 3), (3, 1, 1), (1, 1, 1)}
    # 18 layers: a convolution in space and time counts once, shortcuts do not.
    layers = sum(m.kernel_size == (3, 1, 1) for m in net.modules() if isinstance(m, nn.Conv3d)) + 1
    assert layers == 18


def test_r2plus1d_is_explained_with_a_closed_account():
    torch.manual_seed(0)
    net = models.r2plus1d_18((3, 8, 16, 16), 2).double()
    x = torch.rand(1, 3, 8, 16, 16, dtype=torch.float64)
    net.train()(torch.cat([x, x + 0.1]))
    result = signalrp.attribute(net.eval(), x, audit=True)
    torch.testing.assert_close(
        result.relevance.flatten(1).sum(1) + result.absorbed, result.explained, atol=1e-9, rtol=0
    )


def test_divided_attention_is_that_computed_token_by_token():
    net = trained("timesformer", SMALL["timesformer"])
    x = torch.rand(2, *SMALL["timesformer"], dtype=torch.float64)
    expected = torch.stack([reference(net, clip) for clip in x])
    torch.testing.assert_close(net(x), expected, atol=1e-10, rtol=0)


def test_last_states_of_both_directions_are_classified():
    net = trained("cnn-lstm", SMALL["cnn-lstm"])
    x = torch.rand(2, *SMALL["cnn-lstm"], dtype=torch.float64)
    shown = [torch.cat([x[:, :, 0], 0 * x[:, :, 0]], 1)]
    shown += [torch.cat([x[:, :, number], x[:, :, number] - x[:, :, number - 1]], 1) for number in (1, 2)]
    described = torch.stack([net.frame(frame) for frame in shown], 1)
    _, (last, _) = net.recurrent(described)
    torch.testing.assert_close(net(x), net.classifier(last.transpose(0, 1).flatten(1)))


def test_frames_may_be_shown_without_their_change():
    net = models.CNNLSTM((3, 3, 8, 8), 2, change=False).eval()
    x = torch.rand(2, 3, 3, 8, 8)
    assert net.frame[0].in_channels == 3
    described = torch.stack([net.frame(x[:, :, number]) for number in range(3)], 1)
    _, (last, _) = net.recurrent(described)
    torch.testing.assert_close(net(x), net.classifier(last.transpose(0, 1).flatten(1)))


def test_small_nets_are_small_at_the_size_of_the_study():
    assert sum(count(models.MODELS[name]((3, 16, 48, 48), 4)) for name in models.DEFAULTS) < 300_000


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("small-3d", (1, 16, 48, 48)), ("small-3d", (3, 2, 48, 48)), ("cnn-lstm", (3, 48, 48)),
        ("timesformer", (3, 16, 4, 48)), ("c3d", (3, 8, 112, 112)), ("r2plus1d-18", (16, 3, 48, 48)),
    ],
)  # fmt: skip
def test_other_shapes_are_refused_with_what_is_wanted(name, shape):
    with pytest.raises(ValueError, match=rf"{name} takes clips of shape .* found \({shape[0]}, .*signal.shape"):
        models.MODELS[name](shape, 4)


def test_pieces_of_patches_are_refused():
    with pytest.raises(ValueError, match=r"whole patches of 2 x 8 x 8 .*found clips of 16 x 48 x 50; read"):
        models.TimeSformer((3, 16, 48, 50), 4)
    with pytest.raises(ValueError, match=r"whole patches of 2 x 8 x 8 .*found clips of 15 x"):
        models.TimeSformer((3, 15, 48, 48), 4)
