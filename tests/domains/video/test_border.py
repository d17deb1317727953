import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.video_loops import LAYOUTS, clips, explained, place_and_time

import signalrp
from signalrp.domains.video.border import border_effect, border_profile, cut, same_frames, shuffled
from signalrp.domains.video.frames import frame_shares
from signalrp.validation import bootstrap_interval, paired_difference


def by_frame(frames, **coords):
    """An explanation whose relevance per frame (trial, frame) is given."""
    values = np.asarray(frames, dtype=np.float64)[:, None, :, None, None] * np.ones((1, 1, 1, 2, 2)) / 4
    return explained(clips(values, **coords))


def traced(content, gain, starts, length):
    """Relevance (content of the frame shown) × (gain of the position) of clips cut out of videos (video, frame)."""
    long = clips(np.asarray(content, dtype=np.float64)[:, None, :, None, None])
    signal = cut(long, starts, length)
    factor = xr.DataArray(gain, dims="frame")
    return explained((signal * factor.variable).transpose(*signal.dims), signal)


def bump(frames, height, k=1):
    gain = np.ones(frames)
    gain[:k] = gain[-k:] = height
    return gain


@given(layout=st.permutations(["rgb", "frame", "row", "column"]), frames=st.integers(1, 4), seed=st.integers(0, 99))
def test_cut_and_shuffled_clips_can_be_traced(layout, frames, seed):
    rng = np.random.default_rng(seed)
    values = rng.random((3, 2, 7, 2, 2))
    long = clips(values, layout, first=("trial", [0, 5, 9]), step=("trial", [1, 1, 2]), trial=[4, 5, 6])
    starts = rng.integers(0, 8 - frames, 2).tolist()
    short = cut(long, starts, frames)
    assert short.dims == long.dims
    assert short.attrs == long.attrs
    assert short["trial"].values.tolist() == list(range(6))
    assert short["source"].values.tolist() == [0, 1, 2, 0, 1, 2]
    assert short["subject"].values.tolist() == ["s0", "s1", "s2"] * 2
    assert short["first"].values.tolist() == [f + s * o for o in starts for f, s in ((0, 1), (5, 1), (9, 2))]
    mixed = shuffled(short, seed)
    for clips_, order in ((short, None), (mixed, seed)):
        plain = clips_.transpose("trial", "rgb", "frame", "row", "column")
        for number in range(6):
            shown = plain["source_frame"].values[number]
            for position, frame in enumerate(shown):
                np.testing.assert_array_equal(plain.values[number, :, position], values[number % 3, :, frame])
            if order is None:
                assert shown.tolist() == list(range(starts[number // 3], starts[number // 3] + frames))
    assert [sorted(row) for row in mixed["source_frame"].values] == short["source_frame"].values.tolist()
    np.testing.assert_array_equal(mixed["frame"], short["frame"])


def test_shuffled_orders_differ_between_clips_and_seeds():
    signal = clips(np.random.default_rng(0).random((4, 1, 9, 2, 2)))
    one, two = (shuffled(signal, seed)["source_frame"].values for seed in (0, 1))
    assert (one[0] != one[1]).any()
    assert (one != two).any()
    np.testing.assert_array_equal(shuffled(signal, 0)["source_frame"], one)


def test_truth_and_explanations_go_along():
    long = clips(np.random.default_rng(1).random((2, 3, 6, 4, 4)))
    truth = (long > 0.5).any("rgb").drop_attrs().assign_coords(onset=("trial", [1, 2]), offset=("trial", [4, 6]))
    part = cut(truth, [2], 3)
    assert part.dtype == bool
    assert part["onset"].values.tolist() == [0, 0]
    assert part["offset"].values.tolist() == [2, 3]
    net = signalrp_net(long)
    explanation = signalrp.explain(net, shuffled(cut(long, [0, 2], 3)))
    assert explanation["source_frame"].dims == ("trial", "frame")


def signalrp_net(signal):
    from torch import nn

    size = signal[0].size // signal.sizes["frame"] * 3
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 2)).double().eval()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_profile_and_effect_position_by_position(layout):
    rng = np.random.default_rng(2)
    one, two = (clips(rng.standard_normal((8, 3, 6, 2, 2)), layout, subjects=4) for _ in range(2))
    explanations = {"net": explained(one), "other": explained(two)}
    profile = border_profile(explanations, "positive")
    assert profile["name"].tolist() == ["net"] * 6 + ["other"] * 6
    assert profile["position"].tolist() == [1, 2, 3, 4, 5, 6] * 2
    effect = border_effect(explanations, k=2, part="positive").set_index("name")
    ratios = {}
    for name, relevance in (("net", one), ("other", two)):
        sums = place_and_time(relevance, "positive").sum((2, 3))
        shares = np.array([row / row.sum() for row in sums])
        np.testing.assert_allclose(profile.loc[profile["name"] == name, "share"], shares.mean(0))
        ends = [sum(row[[0, 1, 4, 5]]) / (4 / 6) for row in shares]
        ratios[name] = ends
        own = effect.loc[name]
        assert own["ratio"] == pytest.approx(np.mean(ends))
        assert own["first"] == pytest.approx(np.mean([sum(row[:2]) / (2 / 6) for row in shares]))
        assert own["last"] == pytest.approx(np.mean([sum(row[4:]) / (2 / 6) for row in shares]))
        interval = bootstrap_interval(ends, one["subject"].values)
        assert (own["low"], own["high"]) == pytest.approx((float(interval.low), float(interval.high)))
        assert own["p"] == paired_difference(ends, np.ones(8), one["subject"].values).p
    means = {name: [np.mean([r[t] for t in (s, s + 4)]) for s in range(4)] for name, r in ratios.items()}
    expected = paired_difference(means["other"], means["net"])
    found = effect.loc["other", ["difference", "difference_low", "difference_high", "difference_p"]]
    np.testing.assert_allclose(found.astype(float), expected)
    assert effect.loc["net", ["difference", "difference_p"]].isna().all()


def test_a_planted_border_is_found_and_an_even_clip_has_none():
    rng = np.random.default_rng(3)
    planted = by_frame(rng.uniform(0.5, 1.5, (30, 16)) * bump(16, 2.0, 2))
    even = by_frame(rng.uniform(0.5, 1.5, (30, 16)))
    effect = border_effect({"planted": planted, "even": even}, k=2).set_index("name")
    assert effect.loc["planted", "ratio"] == pytest.approx(1.6, abs=0.1)
    assert effect.loc["planted", "p"] < 0.01
    assert effect.loc["even", "low"] < 1 < effect.loc["even", "high"]
    assert effect.loc["even", "difference_high"] < -0.4
    assert effect.loc["even", "difference_p"] < 0.01
    ps = [
        border_effect(by_frame(np.random.default_rng(s).uniform(0.5, 1.5, (20, 16))), seed=s)["p"][0] for s in range(40)
    ]
    assert np.mean(np.array(ps) < 0.05) <= 0.125
    # at one end only
    one = by_frame(rng.uniform(0.5, 1.5, (30, 16)) * np.r_[3.0, np.ones(15)])
    row = border_effect(one).iloc[0]
    assert row["first"] > 2
    assert row["last"] < 1


def test_content_at_the_ends_looks_like_a_border_but_not_frame_by_frame():
    rng = np.random.default_rng(4)
    content = rng.uniform(0.5, 1.5, (12, 24))
    content[:, 4], content[:, 19] = 6.0, 6.0
    fooled = traced(content, np.ones(16), [4], 16)
    assert border_effect(fooled).loc[0, "low"] > 2
    mixed = explained(shuffled(fooled["signal"]))
    assert abs(border_effect(mixed).loc[0, "ratio"] - 1) < 0.7
    found = same_frames(traced(content, np.ones(16), [0, 2, 4, 6, 8], 16)).iloc[0]
    assert found["difference"] == pytest.approx(0, abs=1e-12)
    # while relevance that gathers at the border, whatever is shown, is found there
    found = same_frames(traced(content, bump(16, 2.0), [0, 2, 4, 6, 8], 16)).iloc[0]
    assert found["border"] / found["inside"] == pytest.approx(2)
    assert found["low"] > 0
    assert found["p"] < 0.01
    assert found["videos"] == 12


def test_same_frames_video_by_video():
    rng = np.random.default_rng(5)
    long = clips(rng.random((4, 1, 9, 2, 2)), subjects=2)
    short = cut(long, [0, 2, 4], 5)
    explanation = explained(short.copy(data=rng.standard_normal(short.shape)), short)
    values = place_and_time(explanation["relevance"], "absolute").sum((2, 3))
    border, inside, count = [], [], 0
    for video in range(4):
        mean = values[[video, video + 4, video + 8]].mean()
        ends, middles = [], []
        for frame in range(9):
            at = [(start, frame - 2 * start) for start in range(3) if 0 <= frame - 2 * start < 5]
            outer = [values[video + 4 * start, p] / mean for start, p in at if p in (0, 4)]
            inner = [values[video + 4 * start, p] / mean for start, p in at if p not in (0, 4)]
            if outer and inner:
                ends.append(np.mean(outer))
                middles.append(np.mean(inner))
                count += 1
        border.append(np.mean(ends))
        inside.append(np.mean(middles))
    expected = paired_difference(border, inside, ["s0", "s1", "s0", "s1"])
    found = same_frames(explanation).iloc[0]
    assert found["frames"] == count
    np.testing.assert_allclose(found[["difference", "low", "high", "p"]].astype(float), expected)
    halves = [explanation.isel(trial=slice(0, 4)), explanation.isel(trial=slice(4, 12))]
    np.testing.assert_allclose(same_frames(halves).iloc[0].astype(float), found.astype(float))
    alone = same_frames(explanation, subject=np.tile(np.arange(4), 3)).iloc[0]
    assert alone["p"] == paired_difference(border, inside).p
    split = same_frames(halves, subject=np.tile(np.arange(4), 3)).iloc[0]
    assert split["p"] == alone["p"]


def test_clips_without_subjects_are_clustered_by_their_video():
    rng = np.random.default_rng(6)
    long = clips(rng.random((5, 1, 12, 1, 1))).drop_vars("subject")
    explanation = explained(cut(long, [0, 3, 6], 6))
    shares = frame_shares(explanation)
    ratio = (shares[:, 0] + shares[:, -1]).values * 3
    expected = paired_difference(ratio, np.ones(15), np.tile(np.arange(5), 3))
    assert border_effect(explanation).loc[0, "p"] == expected.p
    # one clip of each video against three
    whole = border_effect({"one": explained(cut(long, [3], 6)), "three": explanation})
    assert np.isfinite(whole.loc[1, "difference"])


def test_what_cannot_be_compared_is_refused():
    even = by_frame(np.ones((4, 6)))
    with pytest.raises(ValueError, match="k is 3 for clips of 6 frames"):
        border_effect(even, k=3)
    with pytest.raises(ValueError, match="There is no explanation"):
        border_profile({})
    strangers = even.assign_coords(subject=("trial", list("abcd")))
    with pytest.raises(ValueError, match="other has 0 subjects"):
        border_effect({"net": even, "other": strangers})
    with pytest.raises(ValueError, match="lacks the coordinate source"):
        same_frames(even)
    with pytest.raises(ValueError, match="starts is empty"):
        cut(even["signal"], [], 3)
    with pytest.raises(ValueError, match="do not lie within clips of 6 frames"):
        cut(even["signal"], [4], 3)
    with pytest.raises(ValueError, match="Fewer than two videos"):
        same_frames(traced(np.ones((3, 12)), np.ones(4), [0, 4, 8], 4))
    with pytest.raises(ValueError, match="Net relevance may sum to 0"):
        same_frames(even, part="net")
    with pytest.raises(ValueError, match="Video 1 has no absolute relevance"):
        same_frames(traced([[1] * 8, [0] * 8, [1] * 8], np.ones(4), [0, 1, 2], 4))
