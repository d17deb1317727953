from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference import shot_boundaries as reference

import signalrp
from signalrp import manifests
from signalrp.domains.video import transnet

THEIRS = {
    "projection": "frame_sim_layer.projection", "learnt": "frame_sim_layer", "colours": "color_hist_layer",
    "dense": "fc1", "single": "cls_layer1", "many": "cls_layer2",
}  # fmt: skip


def drawn():
    """A net with random weights, batch norms too, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = transnet.TransNetV2().eval().double()
        for name, value in net.named_buffers():
            if name.endswith(("mean", "var")):
                value.uniform_(0.01, 0.1)
    return net


def published_names(net):
    """The weights of a net under the names they were published with."""
    state = {}
    for name, value in net.state_dict().items():
        top, *rest = name.split(".")
        if top == "stages":
            stage, _, block, kind, *rest = rest
            if kind == "sides":
                kind, rest = f"Conv3D_{2 ** int(rest[0])}", ["layers", *rest[1:]]
            top, rest = f"SDDCNN.{stage}.DDCNN.{block}", ["bn" if kind == "norm" else kind, *rest]
        top = THEIRS.get(top, top)
        state[".".join([top, *rest])] = value
    return state


def clips(values, **along):
    dims = ("trial", "rgb", "frame", "row", "column")
    coords = {"frame": ("frame", np.arange(values.shape[2]) / 25, {"units": "s"})}
    coords |= {"rgb": ["red", "green", "blue"], "row": np.arange(values.shape[3]), "column": np.arange(values.shape[4])}
    return xr.DataArray(values, coords | {k: ("trial", v) for k, v in along.items()}, dims, "video", {"units": "1"})


def noise(*shape, dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    return (torch.rand(*shape, 27, 48, generator=draw, dtype=dtype) * 255).round() / 255


@pytest.fixture(scope="module")
def published():
    if set(manifests.verify("transnetv2").values()) != {"verified"}:
        pytest.skip("the weights of TransNet V2 are not here: signalrp data fetch transnetv2")
    return transnet.published()


def test_published_weights_give_the_published_outputs(published):
    x = torch.tensor(reference.clip()).permute(3, 0, 1, 2)[None].float() / 255
    with torch.no_grad():
        single, many = published(x)[0], published.whole(x)[0]
    np.testing.assert_allclose(single[50:64], reference.SINGLE, atol=2e-3)
    np.testing.assert_allclose(many[50:64], reference.MANY, atol=2e-3)
    assert int(single.argmax()) == reference.CUT - 1
    assert sum(p.numel() for p in published.parameters()) == 7_616_258


def test_colours_are_counted_pixel_by_pixel():
    x = noise(2, 3, 2)
    found = transnet.histograms(x)
    for clip, counts in zip(x, found, strict=True):
        for number in range(2):
            frame = (clip[:, number] * 255).round().permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(counts[number], reference.histogram(frame))
    # Bytes between which 32 lies, in the precision of a net.
    edges = torch.tensor([31, 32, 63, 64, 255, 0], dtype=torch.float32)[:, None, None, None, None] / 255
    bins = transnet.histograms(edges.expand(6, 3, 1, 1, 1)).argmax(2)[:, 0]
    assert bins.tolist() == [0, 73, 73, 146, 511, 0]


@pytest.mark.parametrize("frames", [3, 60])
def test_likeness_is_that_computed_pair_by_pair(frames):
    net, vectors = drawn(), torch.randn(2, frames, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = net.learnt(vectors).detach().numpy()
    weight, bias = net.learnt.fc.weight.detach().numpy(), net.learnt.fc.bias.detach().numpy()
    for clip, expected in zip(found, vectors.numpy(), strict=True):
        np.testing.assert_allclose(clip, reference.alike(expected, weight, bias), atol=1e-10)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus"])
def test_account_is_closed_and_says_what_the_colours_gave(composite):
    net, x, frame = drawn(), noise(1, 3, 4), 2
    result = signalrp.attribute(net, x, frame, composite, audit=True)
    torch.testing.assert_close(
        result.relevance.flatten(1).sum(1) + result.absorbed, result.explained, atol=1e-10, rtol=0
    )
    cut = result.ledger["cut"].sum()
    table = transnet.branches(net, clips(x.numpy()), frame)
    np.testing.assert_allclose(cut, table["colours"][0], atol=1e-8)
    assert abs(cut) > 1e-4
    np.testing.assert_allclose(table["logit"], result.explained)
    np.testing.assert_allclose(table[["maps", "learnt", "colours", "bias"]].sum(axis=1), table["logit"])


def test_relevance_stays_within_reach_of_the_dilated_convolutions_where_likeness_has_no_weight():
    net = drawn()
    with torch.no_grad():
        net.learnt.fc.weight.zero_()
    relevance = signalrp.attribute(net, noise(1, 3, 6), 2, "epsilon").relevance
    assert relevance.abs().sum() > 0
    # Frames count as they do for the output: what does not reach it gets none.
    x = noise(1, 3, 6).requires_grad_()
    net(x)[0, 2].backward()
    reached = x.grad.abs().sum((0, 1, 3, 4)) > 0
    assert ((relevance.abs().sum((0, 1, 3, 4)) > 0) == reached).all()


def test_weights_come_from_the_manifest_by_their_published_names(tmp_path, monkeypatch):
    net = drawn().float()
    torch.save(published_names(net), tmp_path / "transnetv2.pth")
    monkeypatch.setattr(manifests, "fetch", lambda name, root: tmp_path)
    found = transnet.published()
    assert not found.training
    x = noise(1, 3, 2, dtype=torch.float32)
    torch.testing.assert_close(found(x), net(x))
    (tmp_path / "transnetv2.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(manifests.DataError, match="holds no weights"):
        transnet.published()


def test_frames_are_averaged_to_the_size_and_steps_that_it_takes():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (2, 3, 2, 27, 48)) / 255
    large = clips(np.repeat(np.repeat(small, 2, axis=3), 2, axis=4), subject=["a", "b"], label=[0, 1])
    found = transnet.frames(large.transpose("trial", "frame", "rgb", "row", "column"))
    assert found.shape == (2, 3, 2, 27, 48)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * 255, np.round(found * 255), atol=1e-4)
    np.testing.assert_allclose(found["row"][:2], [0.5, 2.5])
    np.testing.assert_array_equal(found["subject"], ["a", "b"])
    flat = transnet.frames(clips(np.full((1, 3, 2, 60, 31), 0.4)))
    np.testing.assert_allclose(flat, 102 / 255, rtol=1e-6)
    np.testing.assert_array_equal(transnet.frames(clips(small)), small.astype(np.float32))
    # Every clip, colour and frame stays itself.
    grades = np.arange(2 * 3 * 4).reshape(2, 3, 4) / 51
    found = transnet.frames(clips(np.broadcast_to(grades[..., None, None], (2, 3, 4, 54, 96))))
    np.testing.assert_allclose(found.mean(("row", "column")), grades, atol=1e-6)


def test_probability_is_that_of_the_logit():
    net, x = drawn(), noise(2, 3, 3)
    found = transnet.probability(net, clips(x.numpy(), subject=["a", "b"]))
    np.testing.assert_allclose(found, torch.sigmoid(net(x)).detach())
    assert found.dims == ("trial", "frame")
    np.testing.assert_array_equal(found["subject"], ["a", "b"])


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match=r"takes \(clip, rgb, frame, 27, 48\), found \(1, 3, 2, 28, 48\)"):
        drawn()(torch.zeros(1, 3, 2, 28, 48, dtype=torch.float64))
    with pytest.raises(ValueError, match="from 0 to 1, found 0 to 255; divide"):
        transnet.frames(clips(np.linspace(0, 255, 3 * 2 * 30 * 50).reshape(1, 3, 2, 30, 50)))
    with pytest.raises(ValueError, match=r"clips are \(trial, rgb, frame, row, column\), found"):
        transnet.frames(clips(np.zeros((1, 3, 2, 30, 50))).isel(rgb=0))
    with pytest.raises(ValueError, match=r"not the weights of TransNet V2 \(.* more do not fit"):
        transnet.from_state({"conv1.weight": torch.zeros(1)})
    state = published_names(drawn())
    state["fc1.bias"] = torch.zeros(7)
    with pytest.raises(ValueError, match=r"not the weights of TransNet V2 \(dense.bias and 0 more"):
        transnet.from_state(state)
